/** What is told of mounts and fstab files. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mountPointsBelow, readFstab, readMounts } from './mounts.ts';

const folder = mkdtempSync(join(tmpdir(), 'mounts-'));
beforeAll(() => {
  for (const name of ['plain', 'large', 'folder']) mkdirSync(join(folder, name));
  writeFileSync(join(folder, 'plain/fstab'), '# nothing\n');
  writeFileSync(join(folder, 'plain/secret'), 'x');
  writeFileSync(join(folder, 'large/fstab'), '');
  truncateSync(join(folder, 'large/fstab'), 2 * 1024 ** 2);
  mkdirSync(join(folder, 'folder/fstab'));
  symlinkSync('plain', join(folder, 'link'));
  mkdirSync(join(folder, 'lure'));
  symlinkSync('../plain/secret', join(folder, 'lure/fstab'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test('mount points below a path, each once, with the characters that are escaped', () => {
  const lines = [
    '21 1 0:20 / / rw - ext4 /dev/a rw',
    '22 21 0:21 / /mnt rw - tmpfs x rw',
    '23 22 0:22 /sub /mnt/nfs\\040one rw,nosuid master:1 - nfs server:/x rw',
    '24 22 0:23 / /mnt/b rw - ext4 /dev/b rw',
    '25 22 0:23 / /mnt/b rw - ext4 /dev/b rw',
    '26 21 0:24 / /mnt2 rw - ext4 /dev/c rw',
    '',
  ].join('\n');
  expect(mountPointsBelow(lines, '/mnt')).toEqual(['/mnt', '/mnt/b', '/mnt/nfs one']);
  expect(mountPointsBelow(lines, '/mnt/')).toEqual(['/mnt', '/mnt/b', '/mnt/nfs one']);
  expect(mountPointsBelow(lines, '/nowhere')).toEqual([]);
});

test.skipIf(process.platform !== 'linux')('those of this machine', async () => {
  expect(await readMounts('/proc')).toContain('/proc');
});

test('an fstab file, and nothing else', async () => {
  expect(await readFstab(join(folder, 'plain/fstab'))).toBe('# nothing\n');
  expect(await readFstab(join(folder, 'link/fstab'))).toBe('# nothing\n');
  const refused = [
    [join(folder, 'plain/secret'), 'named fstab'],
    ['fstab', 'absolute'],
    [`${folder}/plain/../plain/fstab`, 'absolute'],
    [join(folder, 'none/fstab'), 'There is no'],
    [join(folder, 'large/fstab'), 'at most'],
    [join(folder, 'folder/fstab'), 'regular file'],
    [join(folder, 'lure/fstab'), 'regular file'],
  ] as const;
  for (const [path, message] of refused) await expect(readFstab(path)).rejects.toThrow(message);
});
