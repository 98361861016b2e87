/**
 * Programs of macOS (Mach-O): takes the part for one processor out of a universal file, and signs a changed one
 * anew. macOS runs nothing on Apple's processors whose pages do not match its signature; the signature made here is
 * "ad hoc" as those of compilers: it names nobody and vouches for the content only. The layouts are those of
 * Apple's mach-o/fat.h, mach-o/loader.h and cs_blobs.h.
 */
import { createHash } from 'node:crypto';

export type Processor = 'x64' | 'arm64';

const CPU_TYPE: Readonly<Record<Processor, number>> = { x64: 0x0100_0007, arm64: 0x0100_000c };

/** A universal file: magic, u32 count, then of each part its processor, subtype, offset, size, alignment. */
const FAT = { magic: 0xcafe_babe, parts: 8, partBytes: 20, offset: 8, size: 12 } as const;
/** Java's class files begin with the same magic, and their version where the count is. */
const MAX_PARTS = 8;

/** The part of a universal file for one processor, or the file itself when it is not universal. @throws without one. */
export function sliceFor(file: Buffer, processor: Processor): Buffer {
  if (file.length < FAT.parts || file.readUInt32BE(0) !== FAT.magic) return file;
  const count = file.readUInt32BE(4);
  if (count > MAX_PARTS) return file;
  for (let index = 0; index < count; index += 1) {
    const at = FAT.parts + index * FAT.partBytes;
    if (file.readUInt32BE(at) !== CPU_TYPE[processor]) continue;
    const offset = file.readUInt32BE(at + FAT.offset);
    return file.subarray(offset, offset + file.readUInt32BE(at + FAT.size));
  }
  throw new Error(`a universal program has no part for ${processor}`);
}

const HEADER = { magic: 0xfeed_facf, type: 12, commands: 16, bytes: 32 } as const;
const EXECUTABLE = 2;
const COMMAND = { segment: 0x19, codeSignature: 0x1d } as const;
const SIGNATURE_COMMAND = { offset: 8, size: 12 } as const;
const SEGMENT = { name: 8, nameBytes: 16, memory: 32, fileOffset: 40, fileSize: 48 } as const;

/** Where in the file the commands are that a signature depends on. */
interface Commands {
  readonly signature: number;
  /** The segment of the code. */
  readonly text: number;
  /** The last segment, which ends with the signature. */
  readonly links: number;
}

/** @throws when it was never signed: there is no command for a signature then. */
function findCommands(file: Buffer): Commands {
  let signature: number | undefined;
  const segments = new Map<string, number>();
  let at: number = HEADER.bytes;
  for (let left = file.readUInt32LE(HEADER.commands); left > 0; left -= 1) {
    const command = file.readUInt32LE(at);
    if (command === COMMAND.codeSignature) signature = at;
    if (command === COMMAND.segment) {
      const from = at + SEGMENT.name;
      const name = file.toString('latin1', from, from + SEGMENT.nameBytes);
      segments.set(name.replace(/\0+$/, ''), at);
    }
    at += file.readUInt32LE(at + 4);
  }
  const [text, links] = [segments.get('__TEXT'), segments.get('__LINKEDIT')];
  if (signature === undefined || text === undefined || links === undefined) {
    throw new Error('a program of macOS without code or signature');
  }
  return { signature, text, links };
}

/** Room at the end of the file for a signature of so many bytes. @returns the file, a larger one if need be. */
function makeRoom(file: Buffer, { signature, links }: Commands, bytes: number): Buffer {
  const offset = file.readUInt32LE(signature + SIGNATURE_COMMAND.offset);
  if (bytes <= file.readUInt32LE(signature + SIGNATURE_COMMAND.size)) return file;
  const size = Math.ceil(bytes / 16) * 16;
  const larger = Buffer.concat([file.subarray(0, offset), Buffer.alloc(size)]);
  larger.writeUInt32LE(size, signature + SIGNATURE_COMMAND.size);
  const linksBytes = larger.length - Number(file.readBigUInt64LE(links + SEGMENT.fileOffset));
  const memoryBytes = Math.ceil(linksBytes / MEMORY_PAGE) * MEMORY_PAGE;
  larger.writeBigUInt64LE(BigInt(linksBytes), links + SEGMENT.fileSize);
  larger.writeBigUInt64LE(BigInt(memoryBytes), links + SEGMENT.memory);
  return larger;
}

/** The larger one of both processors'. */
const MEMORY_PAGE = 16_384;
const SIGNATURE = { magic: 0xfade_0cc0, headBytes: 20 } as const;
const DIRECTORY = { magic: 0xfade_0c02, headBytes: 88, version: 0x2_0400 } as const;
/** Ad hoc, and made by a linker: `codesign` may replace it. */
const FLAGS = 0x2_0002;
const PAGE_BITS = 12;
const PAGE_BYTES = 1 << PAGE_BITS;
const HASH = { name: 'sha256', type: 2, bytes: 32 } as const;
const MAIN_PROGRAM = 1n;

/** Hashes of the pages before the signature. */
function hashPages(file: Buffer, end: number): Buffer[] {
  const hashes: Buffer[] = [];
  for (let at = 0; at < end; at += PAGE_BYTES) {
    const page = file.subarray(at, Math.min(at + PAGE_BYTES, end));
    hashes.push(createHash(HASH.name).update(page).digest());
  }
  return hashes;
}

/**
 * Replaces the signature of a program for one processor.
 * @param file is changed.
 * @param identifier what it calls itself, such as its file's name.
 * @returns the signed program: the same buffer, or a larger one when the old signature left too little room.
 */
export function signAdHoc(file: Buffer, identifier: string): Buffer {
  const commands = findCommands(file);
  const name = Buffer.from(`${identifier}\0`);
  const end = file.readUInt32LE(commands.signature + SIGNATURE_COMMAND.offset);
  const pages = Math.ceil(end / PAGE_BYTES);
  const hashesAt = DIRECTORY.headBytes + name.length;
  const directoryBytes = hashesAt + pages * HASH.bytes;
  const signed = makeRoom(file, commands, SIGNATURE.headBytes + directoryBytes);

  const head = Buffer.alloc(SIGNATURE.headBytes + DIRECTORY.headBytes);
  const words = [
    SIGNATURE.magic,
    SIGNATURE.headBytes + directoryBytes,
    1, // part, which is the directory
    0,
    SIGNATURE.headBytes,
    DIRECTORY.magic,
    directoryBytes,
    DIRECTORY.version,
    FLAGS,
    hashesAt,
    DIRECTORY.headBytes,
    0, // hashes of other things than pages
    pages,
    end,
  ];
  let at = 0;
  for (const word of words) at = head.writeUInt32BE(word, at);
  // The fourth, of a platform, is of Apple's own programs.
  for (const byte of [HASH.bytes, HASH.type, 0, PAGE_BITS]) at = head.writeUInt8(byte, at);
  // Nothing of a team, of scattered pages, of files of more than 4 GB.
  at += 6 * 4;
  at = head.writeBigUInt64BE(signed.readBigUInt64LE(commands.text + SEGMENT.fileOffset), at);
  at = head.writeBigUInt64BE(signed.readBigUInt64LE(commands.text + SEGMENT.fileSize), at);
  const isProgram = signed.readUInt32LE(HEADER.type) === EXECUTABLE;
  head.writeBigUInt64BE(isProgram ? MAIN_PROGRAM : 0n, at);
  signed.fill(0, end);
  Buffer.concat([head, name, ...hashPages(signed, end)]).copy(signed, end);
  return signed;
}

/** Whether it is a program or library of macOS for one processor of today. */
export const isMachO = (file: Buffer): boolean =>
  file.length > HEADER.bytes && file.readUInt32LE(0) === HEADER.magic;
