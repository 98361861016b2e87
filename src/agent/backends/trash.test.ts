/** Deleting what user programs leave: locked, nested beyond any path's length, links. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { chmod, mkdir, mkdtemp, readdir, rename, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emptyTrash, removeToTrash } from './trash.ts';

/** Puts `folder` at the bottom of a chain of folders; again and again, no path reaches the bottom. */
async function bury(folder: string, times: number): Promise<void> {
  const chain = 'a/'.repeat(1000);
  for (let time = 0; time < times; time += 1) {
    const top = `${folder}.top`;
    await mkdir(join(top, chain), { recursive: true });
    await rename(folder, join(top, chain, 'b'));
    await rename(top, folder);
  }
}

let base = '';
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'trash-'));
  await mkdir(join(base, 'kernel'));
});
afterEach(() => {
  Bun.spawnSync(['rm', '-rf', base]);
});

test('folders nested beyond the length of a path are deleted', async () => {
  await bury(join(base, 'kernel'), 5);
  await removeToTrash(join(base, 'kernel'), 'id', join(base, 'trash'));
  expect(await readdir(base)).toEqual(['trash']);
  expect(await readdir(join(base, 'trash'))).toEqual([]);
}, 30_000);

test('locked folders are deleted; what links lead to stays', async () => {
  await mkdir(join(base, 'kernel', 'locked', 'x'), { recursive: true });
  await mkdir(join(base, 'other'));
  await writeFile(join(base, 'other', 'file'), 'kept');
  await symlink(join(base, 'other'), join(base, 'kernel', 'link'));
  await chmod(join(base, 'kernel', 'locked'), 0);
  await removeToTrash(join(base, 'kernel'), 'id', join(base, 'trash'));
  expect(await readdir(join(base, 'trash'))).toEqual([]);
  expect(await readdir(join(base, 'other'))).toEqual(['file']);
});

test('a kernel without a folder, and what an earlier agent left, are no trouble', async () => {
  const trash = join(base, 'trash');
  await removeToTrash(join(base, 'never'), 'id', trash);
  await mkdir(join(trash, '-rf', 'x'), { recursive: true });
  await emptyTrash(trash);
  expect(await readdir(trash)).toEqual([]);
  await emptyTrash(join(base, 'none'));
});
