/**
 * The backend `xfs` on a real XFS with project quotas: on a loop device, or, where this machine's
 * kernel was built without these quotas, in a guest with a kernel that has them.
 */
import { afterAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { missingGuest, runInGuest } from '../../../testing/guest.ts';
import { silentLog } from '../../../testing/manager.ts';
import { missingTool, requireOrSkip } from '../../../testing/services.ts';
import { describeBackend } from '../conformance.ts';
import { describeQuotas } from '../quota-conformance.ts';
import { Volume } from '../volume.ts';
import { xfsBackend } from './backend.ts';

setDefaultTimeout(320_000);

const DISK_MIB = 400;
/** A mounted XFS with project quotas, in the guest. */
const GIVEN = process.env.BACKEND_TEST_XFS;
const BLOCK_BYTES = 4096;

const folder = mkdtempSync(join(tmpdir(), 'bai-xfs-'));
const loopMount = join(folder, 'mount');

/** @returns where it is mounted; null when this kernel cannot. */
function mountHere(): string | null {
  if (GIVEN) return GIVEN;
  const image = join(folder, 'image');
  writeFileSync(image, '');
  truncateSync(image, DISK_MIB * 1024 * 1024);
  mkdirSync(loopMount);
  const run = (...command: string[]) => Bun.spawnSync(command).exitCode === 0;
  const isMounted =
    run('mkfs.xfs', '-q', image) && run('mount', '-o', 'loop,prjquota', image, loopMount);
  return isMounted ? loopMount : null;
}

const noTools = missingTool('mkfs.xfs', 'xfsprogs');
const mounted = noTools === null && process.getuid?.() === 0 ? mountHere() : null;
const canRun = requireOrSkip(mounted === null ? (noTools ?? missingGuest()) : null);

afterAll(() => {
  if (existsSync(loopMount)) Bun.spawnSync(['umount', loopMount]);
  rmSync(folder, { recursive: true, force: true });
});

/** The tests run here, or the one below runs them in a guest. */
const describeHere = (title: string, tests: () => void): void => {
  if (mounted !== null) describe(title, tests);
};
const describeGuest = (title: string, tests: () => void): void => {
  if (mounted === null) describe.skipIf(!canRun)(title, tests);
};

describeGuest('in a guest', () => {
  test('everything below holds', async () => {
    const { exitCode, console: shown } = await runInGuest({
      setup: 'mkfs.xfs -q /dev/ubda && mount -o prjquota /dev/ubda /mnt',
      command: [process.execPath, 'test', '--timeout=120000', import.meta.path],
      env: { BACKEND_TEST_XFS: '/mnt', CI: 'true', NO_COLOR: '1' },
      diskMib: DISK_MIB,
    });
    if (exitCode !== 0) throw new Error(`the tests in the guest failed:\n${shown.slice(-8000)}`);
  });
});

describeHere('on XFS', () => {
  const disk = mounted ?? '';
  const projects = { folder, lockFile: join(folder, 'lock') };
  let volumes = 0;
  const newPath = (): string => {
    volumes += 1;
    const path = join(disk, `volume${volumes}`);
    mkdirSync(path);
    return path;
  };
  const backendOf = (path: string) => xfsBackend({ name: 'v', path, projects }, silentLog);
  const open = (path: string) =>
    Volume.open(
      { name: 'v', backend: 'xfs', path, fsprefix: '.' },
      backendOf(path),
      null,
      silentLog,
    );
  const scope = (digit: string) => ({ kind: 'user', hex: digit.repeat(32) }) as const;

  describeBackend('xfs', ['vfolder', 'quota'], async () => {
    const path = newPath();
    return { path, backend: backendOf(path), limitStepBytes: BLOCK_BYTES, release: async () => {} };
  });

  describeQuotas('xfs', () => ({ backend: 'xfs', path: newPath(), fsprefix: '.', projects }));

  test('scopes made at once by several proxies are different projects, all noted', async () => {
    const path = newPath();
    const proxies = await Promise.all([open(path), open(path)]);
    const digits = [...'0123'];
    await Promise.all(
      digits.map((digit, at) => proxies[at % 2]?.createScope(scope(digit), (at + 1) * 1_048_576)),
    );
    const names = readFileSync(join(folder, 'projid'), 'utf8').trimEnd().split('\n');
    const ids = names.map((line) => line.split(':')[1]);
    expect(new Set(ids).size).toBe(ids.length);
    const noted = readFileSync(join(folder, 'projects'), 'utf8');
    for (const [at, digit] of digits.entries()) {
      expect(noted).toContain(`:${join(path, digit.repeat(32))}\n`);
      expect(await proxies[0]?.scopeUsage(scope(digit))).toEqual({
        usedBytes: 0,
        limitBytes: (at + 1) * 1_048_576,
      });
    }
  });

  test('a scope from before the quotas, or before a crash, is counted from the next start on', async () => {
    const path = newPath();
    const inside = join(path, 'c'.repeat(32), 'aa');
    mkdirSync(inside, { recursive: true });
    writeFileSync(join(inside, 'old'), randomBytes(1_000_000));
    writeFileSync(join(path, 'version.txt'), '3\n');
    const volume = await open(path);
    const { usedBytes } = await volume.scopeUsage(scope('c'));
    expect(usedBytes).toBeGreaterThanOrEqual(1_000_000);
    // A lost registry changes nothing: the folders know.
    rmSync(join(folder, 'projid'));
    rmSync(join(folder, 'projects'));
    await volume.setLimit(scope('d'), 4_194_304);
    writeFileSync(join(path, 'd'.repeat(32), 'new'), randomBytes(2_000_000));
    expect((await volume.scopeUsage(scope('c'))).usedBytes).toBe(usedBytes);
    expect((await volume.scopeUsage(scope('d'))).usedBytes).toBeGreaterThanOrEqual(2_000_000);
    expect(await volume.freeBytes(scope('d'))).toBeLessThan(4_194_304 - 2_000_000);
  });

  test('a lock that somebody keeps, and a folder that is no XFS, are told', async () => {
    const path = newPath();
    const plain = mkdtempSync(join(folder, 'plain-'));
    await expect(open(plain)).rejects.toThrow('cannot keep quotas');
    const spaced = join(disk, 'a b');
    mkdirSync(spaced);
    await expect(open(spaced)).rejects.toThrow('has a space in it');
    const lost = { folder, lockFile: join(folder, 'none/lock') };
    const nowhere = xfsBackend({ name: 'v', path, projects: lost }, silentLog);
    const volume = await Volume.open(
      { name: 'v', backend: 'xfs', path, fsprefix: '.' },
      nowhere,
      null,
      silentLog,
    );
    await expect(volume.createScope(scope('e'), 1)).rejects.toThrow("Can't lock");
    expect(existsSync(join(path, 'e'.repeat(32)))).toBe(false);
  });
});
