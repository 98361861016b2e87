/**
 * Makes the server's programs small: symbols of Linux's that only debuggers read, and ICU data that nothing asks
 * for, become holes in the files; of macOS' universal ones stays the part for one processor. Programs of macOS that
 * are not changed keep the signature of those who built them.
 */
import { open } from 'node:fs/promises';
import { basename } from 'node:path';
import { trimIcuData } from './icu.ts';
import { isMachO, type Processor, signAdHoc, sliceFor } from './macho.ts';

/**
 * Our databases sort by bytes; `initdb` asks for the root collation, which those of any locale fall back to, and
 * its version.
 */
const ICU_NEEDED =
  /^[^/]+\/(coll\/(root\.res|ucadata\.icu)|(root|pool)\.res|[a-z]+\.nrm|(?!unames)[a-z]+\.icu)$/;

/** Offsets in a 64-bit ELF file, and in its section headers. */
const ELF = { magic: '\x7fELF', sections: 0x28, sectionBytes: 0x3a, count: 0x3c } as const;
const SECTION = { type: 0x04, offset: 0x18, size: 0x20, link: 0x28 } as const;
const SYMBOL_TABLE = 2;
/** Holes are made of whole blocks of a file system. */
const BLOCK = 4096;

interface Section {
  readonly type: number;
  readonly offset: number;
  readonly size: number;
  /** Of a symbol table: the number of the section with its names. */
  readonly link: number;
}

/** The sections of a 64-bit ELF file; null of any other file. */
function sectionsOf(file: Buffer): Section[] | null {
  if (file.toString('latin1', 0, ELF.magic.length) !== ELF.magic) return null;
  const table = Number(file.readBigUInt64LE(ELF.sections));
  const bytes = file.readUInt16LE(ELF.sectionBytes);
  return Array.from({ length: file.readUInt16LE(ELF.count) }, (_, index) => {
    const at = table + index * bytes;
    return {
      type: file.readUInt32LE(at + SECTION.type),
      offset: Number(file.readBigUInt64LE(at + SECTION.offset)),
      size: Number(file.readBigUInt64LE(at + SECTION.size)),
      link: file.readUInt32LE(at + SECTION.link),
    };
  });
}

const NOTHING = Buffer.alloc(BLOCK);

/** Writes the file anew, without those of its blocks that are all zeros. */
async function writeWithHoles(path: string, content: Buffer): Promise<void> {
  await using file = await open(path, 'w');
  await file.truncate(content.length);
  let from = 0;
  const write = async (to: number) => {
    if (to > from) await file.write(content, from, to - from, from);
  };
  for (let at = 0; at < content.length; at += BLOCK) {
    const block = content.subarray(at, at + BLOCK);
    if (!block.equals(NOTHING.subarray(0, block.length))) continue;
    await write(at);
    from = at + block.length;
  }
  await write(content.length);
}

/** Zeros instead of the symbols that only debuggers read. */
function stripSymbols(file: Buffer, sections: readonly Section[]): void {
  for (const { offset, size, link } of sections.filter(({ type }) => type === SYMBOL_TABLE)) {
    file.fill(0, offset, offset + size);
    const names = sections[link];
    if (names) file.fill(0, names.offset, names.offset + names.size);
  }
}

/** Makes one program or library small, for one processor; anything else stays as it is. */
export async function slim(path: string, processor: Processor): Promise<void> {
  const whole = Buffer.from(await Bun.file(path).arrayBuffer());
  const content = sliceFor(whole, processor);
  const sections = sectionsOf(content);
  if (sections !== null) stripSymbols(content, sections);
  else if (!isMachO(content)) return;
  const isTrimmed = trimIcuData(content, (name) => ICU_NEEDED.test(name));
  const isSigned = isTrimmed && isMachO(content);
  await writeWithHoles(path, isSigned ? signAdHoc(content, basename(path)) : content);
}
