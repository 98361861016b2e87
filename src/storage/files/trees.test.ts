/** Whole trees: deep ones, large ones, locked ones, with names that are no text. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyTree } from './copy.ts';
import { removeTree } from './remove.ts';
import { treeUsage } from './usage.ts';

let top: string;
beforeEach(() => {
  top = mkdtempSync(join(tmpdir(), 'bai-trees-'));
});
afterEach(() => {
  Bun.spawnSync(['chmod', '-R', 'u+rwx', top]);
  Bun.spawnSync(['rm', '-rf', top]);
});

const remove = (path: string, onRemoved?: (entries: number) => void) =>
  removeTree(path, { attic: join(top, 'attic'), onRemoved });

test('folders nested by the thousand are deleted, though no path can name them', async () => {
  const script = `import os,sys
os.mkdir(sys.argv[1]); os.chdir(sys.argv[1])
for _ in range(3000): os.mkdir('deep'); os.chdir('deep')
open('bottom','w')`;
  const made = Bun.spawnSync(['python3', '-c', script, join(top, 'tree')]);
  expect(made.exitCode).toBe(0);
  let removed = 0;
  await remove(join(top, 'tree'), (entries) => {
    removed += entries;
  });
  expect(removed).toBeGreaterThanOrEqual(2900);
  expect(readdirSync(top)).toEqual([]);
}, 60_000);

test('a large folder is deleted with its progress told, and stops when told to', async () => {
  mkdirSync(join(top, 'tree'));
  for (let i = 0; i < 1000; i++) writeFileSync(join(top, 'tree', `${i}`), '');
  const stop = new AbortController();
  mkdirSync(join(top, 'tree/sub'));
  writeFileSync(join(top, 'tree/sub/x'), '');
  const onRemoved = () => stop.abort(new Error('enough'));
  const options = { attic: join(top, 'attic'), signal: stop.signal, onRemoved };
  await expect(removeTree(join(top, 'tree'), options)).rejects.toThrow('enough');
  expect(readdirSync(join(top, 'tree'))).toEqual(['sub']);
  await remove(join(top, 'tree'));
  await remove(join(top, 'tree'));
  expect(existsSync(join(top, 'tree'))).toBe(false);
}, 60_000);

test('folders that even their owner may not enter are deleted', async () => {
  mkdirSync(join(top, 'tree/locked/inner'), { recursive: true });
  writeFileSync(join(top, 'tree/locked/inner/x'), '');
  chmodSync(join(top, 'tree/locked/inner'), 0);
  chmodSync(join(top, 'tree/locked'), 0);
  await remove(join(top, 'tree'));
  expect(existsSync(join(top, 'tree'))).toBe(false);
});

test('names that are no UTF-8 are counted, copied and deleted', async () => {
  mkdirSync(join(top, 'tree'));
  const name = (...bytes: number[]) =>
    Buffer.concat([Buffer.from(join(top, 'tree/')), Buffer.from(bytes)]);
  writeFileSync(name(0xff, 0x61), 'one');
  writeFileSync(name(0xfe, 0x61), 'two');
  mkdirSync(name(0xff));
  writeFileSync(Buffer.concat([name(0xff), Buffer.from('/inner')]), 'three');
  expect(await treeUsage(join(top, 'tree'))).toMatchObject({ files: 3, bytes: 11 });
  mkdirSync(join(top, 'copy'));
  await copyTree(join(top, 'tree'), join(top, 'copy'));
  expect(readdirSync(join(top, 'copy'), { encoding: 'buffer' }).map(String).sort()).toEqual(
    readdirSync(join(top, 'tree'), { encoding: 'buffer' }).map(String).sort(),
  );
  expect(await treeUsage(join(top, 'copy'))).toMatchObject({ files: 3, bytes: 11 });
  await remove(join(top, 'tree'));
  expect(existsSync(join(top, 'tree'))).toBe(false);
});

test('a copy has links, modes and times of its source; what a link leads to is not copied', async () => {
  const tree = join(top, 'tree');
  mkdirSync(join(tree, 'd'), { recursive: true });
  writeFileSync(join(tree, 'd/run'), 'x', { mode: 0o751 });
  symlinkSync('/etc/passwd', join(tree, 'd/link'));
  Bun.spawnSync(['mkfifo', join(tree, 'pipe')]);
  const past = new Date('2020-01-02T03:04:05Z');
  utimesSync(join(tree, 'd/run'), past, past);
  utimesSync(join(tree, 'd'), past, past);
  mkdirSync(join(top, 'copy'));
  let copied = 0;
  await copyTree(tree, join(top, 'copy'), {
    onCopied: () => {
      copied += 1;
    },
  });
  expect(copied).toBe(2);
  expect(readlinkSync(join(top, 'copy/d/link'))).toBe('/etc/passwd');
  const { mode, mtime } = statSync(join(top, 'copy/d/run'));
  expect([mode & 0o7777, mtime]).toEqual([0o751, past]);
  expect(statSync(join(top, 'copy/d')).mtime).toEqual(past);
  expect(readdirSync(join(top, 'copy'))).toEqual(['d']);
  rmSync(join(top, 'copy'), { recursive: true });
});
