/**
 * Cuts ICU's data, 26 MB in a library and 12 MB in Bun, down to what somebody asks for.
 *
 * The data is one block with a table of contents, the same on every platform that is little-endian:
 *
 *     header   u16 size, bytes DA 27, u16 size and 2 more, 4 bytes of properties, "CmnD", …
 *     table    u32 count, count × (u32 offset of the name, u32 offset of the item), from the table's begin
 *     names    each ended by a zero
 *     items    in the order of the table
 *
 * Items that go are overwritten with zeros, which compress to nothing; the file keeps its size and its layout.
 */

const MAGIC = Buffer.from([0xda, 0x27]);
const FORMAT = 'CmnD';
const FORMAT_OFFSET = 10;
const ENTRY_BYTES = 8;
/** More than any version has. */
const MAX_ITEMS = 20_000;

interface Item {
  /** Its ending zero included. */
  readonly name: Buffer;
  /** From the table's begin. */
  readonly offset: number;
}

/** Where the block begins; null when the file is not a library with ICU's data. */
function findHeader(file: Buffer): number | null {
  for (let at = file.indexOf(MAGIC); at >= 0; at = file.indexOf(MAGIC, at + 1)) {
    const format = file.toString('latin1', at + FORMAT_OFFSET, at + FORMAT_OFFSET + FORMAT.length);
    if (format === FORMAT) return at - 2;
  }
  return null;
}

function readItems(file: Buffer, table: number): Item[] {
  const count = file.readUInt32LE(table);
  if (count === 0 || count > MAX_ITEMS) throw new Error(`ICU's data has a table of ${count} items`);
  return Array.from({ length: count }, (_, index) => {
    const at = table + 4 + index * ENTRY_BYTES;
    const name = table + file.readUInt32LE(at);
    return {
      // A copy: the table is written anew.
      name: Buffer.from(file.subarray(name, file.indexOf(0, name) + 1)),
      offset: file.readUInt32LE(at + 4),
    };
  });
}

/**
 * Changes a file in place.
 * @param isNeeded told of each item's name, such as `icudt60l/coll/root.res`. The last item always stays, since
 *   nothing says where it ends.
 * @returns whether there was such data in the file.
 */
export function trimIcuData(file: Buffer, isNeeded: (name: string) => boolean): boolean {
  const header = findHeader(file);
  if (header === null) return false;
  const table = header + file.readUInt16LE(header);
  const items = readItems(file, table);
  const kept: Item[] = [];
  items.forEach((item, index) => {
    const next = items[index + 1];
    if (next === undefined || isNeeded(item.name.toString('latin1', 0, item.name.length - 1))) {
      kept.push(item);
    } else file.fill(0, table + item.offset, table + next.offset);
  });
  // The table is searched by halves, so it has to hold what is there, in order, and nothing else.
  file.fill(0, table, table + (items[0]?.offset ?? 0));
  file.writeUInt32LE(kept.length, table);
  let nameAt = 4 + kept.length * ENTRY_BYTES;
  kept.forEach(({ name, offset }, index) => {
    const at = table + 4 + index * ENTRY_BYTES;
    file.writeUInt32LE(nameAt, at);
    file.writeUInt32LE(offset, at + 4);
    name.copy(file, table + nameAt);
    nameAt += name.length;
  });
  return true;
}
