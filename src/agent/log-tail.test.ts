/** The tail of several files read as one text. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tailOfFiles } from './log-tail.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'log-tail-'));
});
afterEach(() => rm(folder, { recursive: true }));

test('the end of the newest file comes last; what is missing counts as empty', async () => {
  const [older, newer] = [join(folder, 'log.1'), join(folder, 'log')];
  expect(await tailOfFiles([older, newer], 10)).toBe('');
  await writeFile(newer, 'new');
  expect(await tailOfFiles([older, newer], 10)).toBe('new');
  await writeFile(older, 'older');
  expect(await tailOfFiles([older, newer], 100)).toBe('oldernew');
  expect(await tailOfFiles([older, newer], 5)).toBe('ernew');
  expect(await tailOfFiles([older, newer], 2)).toBe('ew');
  expect(await tailOfFiles([older, newer], 0)).toBe('');
});

test('a character is not cut in half', async () => {
  const path = join(folder, 'log');
  await writeFile(path, 'aé한b');
  expect(await tailOfFiles([path], 4)).toBe('한b');
  expect(await tailOfFiles([path], 3)).toBe('b');
});
