/**
 * Heads of HTTP/2 messages as they are on the wire (HPACK, RFC 7541): read with all that a peer may
 * use, written in the plainest form, which needs no memory of what was written before.
 */
import { decodeHuffman } from './huffman.ts';

export interface HeaderField {
  /** In lower case where the message is valid; begins with a colon for the request's or status line's parts. */
  readonly name: string;
  readonly value: string;
  /** Whether nobody on the way may keep it in a table, as whoever sent it asked for. */
  readonly isNeverIndexed: boolean;
}

/** The block is no valid HPACK: nothing that follows on the connection can be read. */
export class HpackError extends Error {}

/** What a decoder keeps, as both ends assume where nothing else is said. Bytes. */
export const TABLE_BYTES = 4096;
/** What an entry of a table, or a field of a list, counts beside its text. Bytes. */
const FIELD_BYTES = 32;

const STATIC_FIELDS: readonly (readonly [name: string, value: string])[] = [
  ...[':authority', ':method GET', ':method POST', ':path /', ':path /index.html'],
  ...[':scheme http', ':scheme https', ':status 200', ':status 204', ':status 206'],
  ...[':status 304', ':status 400', ':status 404', ':status 500', 'accept-charset'],
  ...['accept-encoding gzip, deflate', 'accept-language', 'accept-ranges', 'accept'],
  ...['access-control-allow-origin', 'age', 'allow', 'authorization', 'cache-control'],
  ...['content-disposition', 'content-encoding', 'content-language', 'content-length'],
  ...['content-location', 'content-range', 'content-type', 'cookie', 'date', 'etag', 'expect'],
  ...['expires', 'from', 'host', 'if-match', 'if-modified-since', 'if-none-match', 'if-range'],
  ...['if-unmodified-since', 'last-modified', 'link', 'location', 'max-forwards'],
  ...['proxy-authenticate', 'proxy-authorization', 'range', 'referer', 'refresh', 'retry-after'],
  ...['server', 'set-cookie', 'strict-transport-security', 'transfer-encoding', 'user-agent'],
  ...['vary', 'via', 'www-authenticate'],
].map((field) => {
  const at = field.indexOf(' ');
  return at === -1 ? [field, ''] : [field.slice(0, at), field.slice(at + 1)];
});

const STATIC: readonly HeaderField[] = STATIC_FIELDS.map(([name, value]) => ({
  ...{ name, value, isNeverIndexed: false },
}));
/** By name: the index of the first field of that name, and those of fields by their values. */
const STATIC_INDEXES = new Map<
  string,
  { readonly first: number; readonly whole: Map<string, number> }
>();
for (const [at, [name, value]] of STATIC_FIELDS.entries()) {
  const known = STATIC_INDEXES.get(name);
  if (known === undefined) {
    STATIC_INDEXES.set(name, { first: at + 1, whole: new Map([[value, at + 1]]) });
  } else known.whole.set(value, at + 1);
}

const sizeOf = ({ name, value }: HeaderField): number => name.length + value.length + FIELD_BYTES;

/** Reads the blocks of one direction of a connection, in order. */
export class HpackDecoder {
  /** The newest one comes last. */
  #table: HeaderField[] = [];
  #tableBytes = 0;
  #tableLimit = TABLE_BYTES;
  #block: Buffer = Buffer.alloc(0);
  #at = 0;

  /**
   * @param maxBytes of the fields together, each counted with 32 bytes more.
   * @returns null when there is more than that; later blocks can be read nevertheless.
   * @throws HpackError
   */
  decode(block: Buffer, maxBytes: number): HeaderField[] | null {
    this.#block = block;
    this.#at = 0;
    const fields: HeaderField[] = [];
    let bytes = 0;
    while (this.#at < block.length) {
      const field = this.#next(fields.length === 0 && bytes === 0);
      if (field === null) continue;
      bytes += sizeOf(field);
      if (bytes <= maxBytes) fields.push(field);
    }
    return bytes > maxBytes ? null : fields;
  }

  /** @returns null for a change of the table's size, which comes only before all fields. */
  #next(isFirst: boolean): HeaderField | null {
    const first = this.#block[this.#at] ?? 0;
    if ((first & 0x80) !== 0) return this.#indexed(this.#integer(7));
    if ((first & 0xe0) === 0x20) {
      const limit = this.#integer(5);
      if (!isFirst || limit > TABLE_BYTES)
        throw new HpackError('The size of the table is not valid.');
      this.#tableLimit = limit;
      this.#evict(0);
      return null;
    }
    const isKept = (first & 0x40) !== 0;
    const index = this.#integer(isKept ? 6 : 4);
    const name = index === 0 ? this.#string() : this.#indexed(index).name;
    const isNeverIndexed = (first & 0xf0) === 0x10;
    const field = { name, value: this.#string(), isNeverIndexed };
    if (isKept) this.#keep(field);
    return field;
  }

  #indexed(index: number): HeaderField {
    const field =
      index <= STATIC.length
        ? STATIC[index - 1]
        : this.#table[this.#table.length - (index - STATIC.length)];
    if (field === undefined) throw new HpackError('A field is named that is in no table.');
    return field;
  }

  #keep(field: HeaderField): void {
    const bytes = sizeOf(field);
    this.#evict(bytes);
    if (bytes > this.#tableLimit) return;
    this.#table.push(field);
    this.#tableBytes += bytes;
  }

  /** Makes room for so many bytes. */
  #evict(bytes: number): void {
    while (this.#table.length > 0 && this.#tableBytes + bytes > this.#tableLimit) {
      const oldest = this.#table.shift();
      if (oldest !== undefined) this.#tableBytes -= sizeOf(oldest);
    }
  }

  #byte(): number {
    const byte = this.#block[this.#at];
    if (byte === undefined) throw new HpackError('The block ends in the middle of a field.');
    this.#at += 1;
    return byte;
  }

  /** @param prefix how many bits of the first byte belong to it. */
  #integer(prefix: number): number {
    const most = (1 << prefix) - 1;
    let value = this.#byte() & most;
    if (value < most) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      const byte = this.#byte();
      value += (byte & 0x7f) << shift;
      if ((byte & 0x80) === 0) return value;
    }
    throw new HpackError('A number is too large.');
  }

  #string(): string {
    const isCoded = ((this.#block[this.#at] ?? 0) & 0x80) !== 0;
    const length = this.#integer(7);
    const end = this.#at + length;
    if (end > this.#block.length) throw new HpackError('The block ends in the middle of a text.');
    const text = isCoded
      ? decodeHuffman(this.#block.subarray(this.#at, end))
      : this.#block.toString('latin1', this.#at, end);
    if (text === null) throw new HpackError('A text is not valid Huffman code.');
    this.#at = end;
    return text;
  }
}

/** A number whose first byte has room for `prefix` bits, beside `pattern`; a byte is a character. */
function numberText(pattern: number, prefix: number, value: number): string {
  const most = (1 << prefix) - 1;
  if (value < most) return String.fromCharCode(pattern | value);
  let out = String.fromCharCode(pattern | most);
  let rest = value - most;
  for (; rest >= 0x80; rest >>>= 7) out += String.fromCharCode((rest & 0x7f) | 0x80);
  return out + String.fromCharCode(rest);
}

const sizedText = (text: string): string => numberText(0, 7, text.length) + text;

/**
 * Writes a block. Nothing is put into the reader's table, so that no order of blocks matters.
 * @param resetsTable says first that the table is not used: has to be done once after the reader
 *   has asked for a smaller one, and may be done at any time.
 */
export function encodeBlock(fields: readonly HeaderField[], resetsTable: boolean): Buffer {
  // Put together as text and written once: many small writes into memory cost far more.
  let out = resetsTable ? numberText(0x20, 5, 0) : '';
  for (const { name, value, isNeverIndexed } of fields) {
    const known = STATIC_INDEXES.get(name);
    const whole = isNeverIndexed ? undefined : known?.whole.get(value);
    if (whole !== undefined) {
      out += numberText(0x80, 7, whole);
      continue;
    }
    out += numberText(isNeverIndexed ? 0x10 : 0, 4, known?.first ?? 0);
    if (known === undefined) out += sizedText(name);
    out += sizedText(value);
  }
  return Buffer.from(out, 'latin1');
}
