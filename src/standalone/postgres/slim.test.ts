/** What is taken away from the server's programs and from Bun, and what stays readable. */
import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireOrSkip } from '../../testing/services.ts';
import { trimIcuData } from './icu.ts';
import { slim } from './slim.ts';

const folder = mkdtempSync(join(tmpdir(), 'bai-slim-'));
const processor = process.arch === 'arm64' ? 'arm64' : 'x64';
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A block of data as ICU lays it out, within other bytes. @param items contents by name, sorted. */
function icuBlock(items: Readonly<Record<string, string>>): Buffer {
  const names = Object.keys(items);
  const header = Buffer.alloc(32);
  header.writeUInt16LE(32, 0);
  header.set([0xda, 0x27, 20, 0], 2);
  header.write('CmnD', 12, 'latin1');
  const table = Buffer.alloc(4 + names.length * 8);
  table.writeUInt32LE(names.length, 0);
  const texts = names.map((name) => Buffer.from(`${name}\0`));
  const contents = Object.values(items).map((text) => Buffer.from(text));
  let nameAt = table.length;
  let at = nameAt + Buffer.concat(texts).length;
  names.forEach((_, index) => {
    table.writeUInt32LE(nameAt, 4 + index * 8);
    table.writeUInt32LE(at, 8 + index * 8);
    nameAt += texts[index]?.length ?? 0;
    at += contents[index]?.length ?? 0;
  });
  const around = Buffer.from('code \u00da before and after');
  return Buffer.concat([around, header, table, ...texts, ...contents, around]);
}

/** The items that are found by the table, as ICU finds them. */
function readBlock(file: Buffer): Record<string, string> {
  const table = file.indexOf('CmnD') - 12 + 32;
  const found: Record<string, string> = {};
  for (let index = 0; index < file.readUInt32LE(table); index += 1) {
    const name = table + file.readUInt32LE(table + 4 + index * 8);
    const content = table + file.readUInt32LE(table + 8 + index * 8);
    found[file.toString('latin1', name, file.indexOf(0, name))] = file.toString(
      'latin1',
      content,
      content + 4,
    );
  }
  return found;
}

test('items that nobody needs are zeros, the others are found where they were', () => {
  const items = { 'i/a.res': 'aaaa', 'i/b.res': 'bbbb', 'i/c.res': 'cccc', 'i/d.res': 'dddd' };
  const block = icuBlock(items);
  const before = Buffer.from(block);
  expect(trimIcuData(block, (name) => name === 'i/b.res')).toBe(true);
  // The last one stays: nothing says where it ends.
  expect(readBlock(block)).toEqual({ 'i/b.res': 'bbbb', 'i/d.res': 'dddd' });
  for (const gone of ['aaaa', 'cccc', 'i/a.res']) expect(block.includes(gone)).toBe(false);
  expect(block.length).toBe(before.length);
  expect(block.subarray(-20)).toEqual(before.subarray(-20));
});

test('a file without such data is left alone', () => {
  const bytes = Buffer.from('neither \xda\x27 nor CmnD', 'latin1');
  const before = Buffer.from(bytes);
  expect(trimIcuData(bytes, () => false)).toBe(false);
  expect(bytes).toEqual(before);
});

test.if(requireOrSkip(process.platform === 'linux' ? null : 'only ELF files are made small'))(
  'a program without its symbols still runs, and what is no program stays as it is',
  async () => {
    const path = join(folder, 'program');
    writeFileSync(path, readFileSync(Bun.which('true') ?? ''), { mode: 0o755 });
    const { size } = statSync(path);
    await slim(path, processor);
    expect(statSync(path).size).toBe(size);
    expect(Bun.spawnSync([path]).exitCode).toBe(0);
    const text = join(folder, 'text');
    writeFileSync(text, 'some text');
    await slim(text, processor);
    expect(readFileSync(text, 'utf8')).toBe('some text');
  },
);
