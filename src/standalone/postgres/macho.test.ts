/** Programs of macOS: the part for a processor is found, and a changed one is signed so that macOS would run it. */
import { describe, expect, test } from 'bun:test';
import { createHash } from 'node:crypto';
import { isMachO, signAdHoc, sliceFor } from './macho.ts';

const PAGE = 4096;
const SEGMENT_BYTES = 72;

const words = (...values: number[]): Buffer => {
  const buffer = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) buffer.writeUInt32LE(value, index * 4);
  return buffer;
};

function segment(name: string, offset: number, size: number): Buffer {
  const command = Buffer.alloc(SEGMENT_BYTES);
  command.writeUInt32LE(0x19, 0);
  command.writeUInt32LE(SEGMENT_BYTES, 4);
  command.write(name, 8, 'latin1');
  command.writeBigUInt64LE(BigInt(size), 32);
  command.writeBigUInt64LE(BigInt(offset), 40);
  command.writeBigUInt64LE(BigInt(size), 48);
  return command;
}

const TEXT_BYTES = 3 * PAGE;
const LINKS_BYTES = 100;
const SIGNED_BYTES = TEXT_BYTES + LINKS_BYTES;

/** A program with three pages of code and one begun of links, and so much room for its signature. */
function program({ room, type = 2 }: { room: number; type?: number }): Buffer {
  const commands = [
    segment('__PAGEZERO', 0, 0),
    segment('__TEXT', 0, TEXT_BYTES),
    segment('__LINKEDIT', TEXT_BYTES, LINKS_BYTES + room),
    words(0x1d, 16, SIGNED_BYTES, room),
  ];
  const bytes = Buffer.concat(commands);
  const head = words(0xfeedfacf, 0x0100000c, 0, type, commands.length, bytes.length, 0, 0);
  const file = Buffer.alloc(SIGNED_BYTES + room, 'code ');
  Buffer.concat([head, bytes]).copy(file);
  return file;
}

/** Reads a signature as macOS does. @throws when it does not fit the content. */
function verify(file: Buffer) {
  const at = 32 + 3 * SEGMENT_BYTES;
  const [offset, size] = [file.readUInt32LE(at + 8), file.readUInt32LE(at + 12)];
  expect(offset + size).toBe(file.length);
  const links = 32 + 2 * SEGMENT_BYTES;
  expect(Number(file.readBigUInt64LE(links + 40) + file.readBigUInt64LE(links + 48))).toBe(
    file.length,
  );
  expect(file.readBigUInt64LE(links + 32)).toBeGreaterThanOrEqual(file.readBigUInt64LE(links + 48));
  const signature = file.subarray(offset);
  expect(signature.readUInt32BE(0)).toBe(0xfade0cc0);
  const directory = signature.subarray(signature.readUInt32BE(16), signature.readUInt32BE(4));
  expect(directory.readUInt32BE(0)).toBe(0xfade0c02);
  expect(directory.readUInt32BE(4)).toBe(directory.length);
  const [hashes, name] = [directory.readUInt32BE(16), directory.readUInt32BE(20)];
  const [pages, end] = [directory.readUInt32BE(28), directory.readUInt32BE(32)];
  expect(end).toBe(offset);
  expect(pages).toBe(Math.ceil(end / PAGE));
  expect(1 << directory.readUInt8(39)).toBe(PAGE);
  for (let page = 0; page < pages; page += 1) {
    const content = file.subarray(page * PAGE, Math.min((page + 1) * PAGE, end));
    const hash = directory.subarray(hashes + page * 32, hashes + (page + 1) * 32);
    if (!createHash('sha256').update(content).digest().equals(hash)) {
      throw new Error(`page ${page} does not match`);
    }
  }
  return {
    name: directory.toString('latin1', name, directory.indexOf(0, name)),
    flags: directory.readUInt32BE(12),
    text: directory.readBigUInt64BE(72),
    isProgram: directory.readBigUInt64BE(80) === 1n,
  };
}

describe('an ad hoc signature', () => {
  test.each([
    ['into the room of the old one', 4096],
    ['into more room than there was', 16],
  ])('fits every page, %s', (_, room) => {
    const signed = signAdHoc(program({ room }), 'backend.ai');
    expect(verify(signed)).toEqual({
      name: 'backend.ai',
      flags: 0x20002,
      text: BigInt(TEXT_BYTES),
      isProgram: true,
    });
    expect(signed.subarray(PAGE, SIGNED_BYTES)).toEqual(
      program({ room }).subarray(PAGE, SIGNED_BYTES),
    );
  });

  test('does not fit any more when a byte is changed, until it is signed again', () => {
    const signed = signAdHoc(program({ room: 16 }), 'backend.ai');
    signed.writeUInt8(0, 2 * PAGE + 5);
    expect(() => verify(signed)).toThrow('page 2 does not match');
    const again = signAdHoc(signed, 'x');
    expect(verify(again).name).toBe('x');
    expect(again.length).toBe(signed.length);
  });

  test('of a library does not call it a program', () => {
    expect(verify(signAdHoc(program({ room: 16, type: 6 }), 'a')).isProgram).toBe(false);
  });

  test('cannot be given to what was never signed', () => {
    const unsigned = program({ room: 16 });
    unsigned.writeUInt32LE(0x26, 32 + 3 * SEGMENT_BYTES);
    expect(() => signAdHoc(unsigned, 'a')).toThrow('without code or signature');
  });
});

describe('a universal file', () => {
  const parts = [
    [0x01000007, 'for x64'],
    [0x0100000c, 'for arm64'],
  ] as const;
  const head = Buffer.alloc(64);
  head.writeUInt32BE(0xcafebabe, 0);
  head.writeUInt32BE(parts.length, 4);
  parts.forEach(([type, text], index) => {
    const at = 8 + index * 20;
    head.writeUInt32BE(type, at);
    head.writeUInt32BE(64 + index * 16, at + 8);
    head.writeUInt32BE(text.length, at + 12);
  });
  const file = Buffer.concat([head, ...parts.map(([, text]) => Buffer.from(text.padEnd(16)))]);

  test('is cut down to the part for a processor', () => {
    expect(sliceFor(file, 'x64').toString()).toBe('for x64');
    expect(sliceFor(file, 'arm64').toString()).toBe('for arm64');
  });

  test('without that part is an error, any other file stays', () => {
    const other = Buffer.from(file);
    other.writeUInt32BE(7, 8);
    expect(() => sliceFor(other, 'x64')).toThrow('no part for x64');
    const javaClass = Buffer.from('cafebabe00000034', 'hex');
    for (const same of [program({ room: 0 }), javaClass, Buffer.from('hi')]) {
      expect(sliceFor(same, 'x64')).toBe(same);
    }
    expect(isMachO(program({ room: 0 }))).toBe(true);
    expect(isMachO(file)).toBe(false);
  });
});
