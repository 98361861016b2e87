/** The backend `cephfs` on a real CephFS, mounted by ceph-fuse. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorCode, errorMessage } from '../../../common/errors.ts';
import { missingForCeph, startTestCeph, type TestCeph } from '../../../testing/ceph.ts';
import { silentLog } from '../../../testing/manager.ts';
import { requireOrSkip } from '../../../testing/services.ts';
import { startTestStorage } from '../../../testing/storage.ts';
import { until } from '../../../testing/until.ts';
import { describeBackend } from '../conformance.ts';
import { describeQuotas } from '../quota-conformance.ts';
import { Volume } from '../volume.ts';
import { FolderAttributes } from './attributes.ts';
import { cephfsBackend } from './backend.ts';

setDefaultTimeout(200_000);
const NOBODY = 65_534;

/** Whether the system refuses for a quota. What it lets through is no failure: it counts late. */
function isRefused(write: () => void): boolean {
  try {
    write();
    return false;
  } catch (error) {
    if (errorCode(error) !== 'EDQUOT') throw error;
    return true;
  }
}
const canRun = requireOrSkip(missingForCeph());

describe.skipIf(!canRun)('on CephFS', () => {
  let ceph: TestCeph;
  beforeAll(async () => {
    ceph = await startTestCeph();
  });
  afterAll(async () => {
    await ceph.stop();
  });

  let volumes = 0;
  const newPath = (): string => {
    volumes += 1;
    const path = join(ceph.path, `volume${volumes}`);
    mkdirSync(path);
    return path;
  };
  const open = (path: string) =>
    Volume.open(
      { name: 'v', backend: 'cephfs', path, fsprefix: '.' },
      cephfsBackend({ name: 'v', path }),
      null,
      silentLog,
    );
  const scope = (digit: string) => ({ kind: 'user', hex: digit.repeat(32) }) as const;

  describeBackend('cephfs', ['vfolder', 'quota', 'fast-size'], async () => {
    const path = newPath();
    const backend = cephfsBackend({ name: 'v', path });
    return { path, backend, countsLate: true, release: async () => {} };
  });

  describeQuotas('cephfs', () => ({ backend: 'cephfs', path: newPath(), fsprefix: '.' }));

  test('what is in a quota scope counts as its free space, not the whole storage', async () => {
    const volume = await open(newPath());
    await volume.createScope(scope('1'), 10_000_000);
    expect(await volume.freeBytes(scope('1'))).toBe(10_000_000);
    expect(await volume.freeBytes(null)).toBeGreaterThan(100_000_000);
    await volume.close();
  });

  test('a volume that is reached by a link is one as well', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bai-cephfs-'));
    symlinkSync(newPath(), join(folder, 'link'));
    const volume = await open(join(folder, 'link'));
    expect((await volume.backend.hardware()).status).toBe('healthy');
    await volume.close();
    rmSync(folder, { recursive: true });
  });

  test('what a proxy that was cut off left in the trash of a scope goes with the next start', async () => {
    const path = newPath();
    await using opened = new AsyncDisposableStack();
    const storage = await startTestStorage(
      { volumes: [{ name: 'volume1', backend: 'cephfs', path, fsprefix: '.' }] },
      path,
    );
    opened.defer(() => storage.discard());
    const place = await storage.newFolder();
    const trash = join(place.path, '../../../.trash');
    mkdirSync(join(trash, 'files-x/deep'), { recursive: true });
    writeFileSync(join(trash, 'files-x/deep/file'), 'x');
    await storage.restart();
    await until(() => readdirSync(trash).length === 0, 'the trash is empty');
    expect(existsSync(place.path)).toBe(true);
  });

  test('where an administrator allows no file more, files and folders can still be deleted', async () => {
    const path = newPath();
    await using opened = new AsyncDisposableStack();
    const storage = await startTestStorage(
      { volumes: [{ name: 'volume1', backend: 'cephfs', path, fsprefix: '.' }] },
      path,
    );
    opened.defer(() => storage.discard());
    const place = await storage.newFolder();
    for (const name of ['1', '2', 'a/3', 'a/4']) {
      mkdirSync(join(place.path, 'a'), { recursive: true });
      writeFileSync(join(place.path, name), name, { flush: true });
    }
    const attributes = new FolderAttributes();
    opened.defer(() => attributes.close());
    await attributes.set(join(place.path, '../../..'), 'ceph.quota.max_files', '3');
    const writes = () => writeFileSync(join(place.path, 'more'), '');
    await until(() => isRefused(writes), 'no file more may be made', 60_000);
    const file = { volume: 'volume1', vfid: place.vfid };
    const refused = await storage.ask('POST', '/folder/file/upload', {
      ...{ ...file, relpath: 'x', size: 10 },
    });
    expect(refused.status).toBe(400);
    expect(Object(refused.body).msg).toContain('quota');
    const deleted = await storage.ask('POST', '/folder/file/delete-async', {
      ...{ ...file, relpaths: ['1', 'a'], recursive: true },
    });
    expect(deleted.status).toBe(202);
    expect(readdirSync(place.path)).not.toContain('a');
    expect(existsSync(join(place.path, '2'))).toBe(true);
    await attributes.set(join(place.path, '../../..'), 'ceph.quota.max_files', '1');
    expect((await storage.ask('POST', '/folder/delete', file)).status).toBe(202);
    await until(() => !existsSync(place.path), 'the folder is deleted', 60_000);
  });

  test('a user who may not set limits is told what is missing', async () => {
    const volume = await open(newPath());
    await volume.createScope(scope('2'), null);
    chmodSync(join(ceph.path, '../..'), 0o755);
    process.seteuid?.(NOBODY);
    try {
      await expect(volume.setLimit(scope('2'), 1_000_000)).rejects.toThrow('the flag p');
    } finally {
      process.seteuid?.(0);
    }
    await volume.close();
  });

  test('a storage whose servers are gone is told after five seconds, and works again afterwards', async () => {
    const volume = await open(newPath());
    await volume.createScope(scope('3'), 1_000_000);
    await ceph.pause();
    try {
      const [{ status, statusInfo }, refused] = await Promise.all([
        volume.backend.hardware(),
        volume.setLimit(scope('3'), 2_000_000).catch(errorMessage),
      ]);
      expect(status).toBe('unavailable');
      expect(statusInfo).toContain('did not answer within');
      // Reading of other file systems goes on meanwhile.
      const asked = Array.from({ length: 64 }, () => volume.backend.hardware());
      expect(readdirSync(tmpdir()).length).toBeGreaterThan(0);
      expect((await stat(tmpdir())).isDirectory()).toBe(true);
      await Promise.all(asked);
      expect(refused).toContain('did not answer within');
    } finally {
      ceph.resume();
    }
    await volume.setLimit(scope('3'), 3_000_000);
    expect((await volume.scopeUsage(scope('3'))).limitBytes).toBe(3_000_000);
    expect((await volume.backend.hardware()).status).toBe('healthy');
    await volume.close();
  });
});

test('a folder that is not there, or is a link, has no attributes', async () => {
  const path = mkdtempSync(join(tmpdir(), 'bai-cephfs-'));
  symlinkSync(path, join(path, 'link'));
  const attributes = new FolderAttributes();
  const codeOf = (name: string) => attributes.get(join(path, name), 'user.x').catch(errorCode);
  expect(await codeOf('missing')).toBe('ENOENT');
  expect(await codeOf('link')).toMatch(/^(ELOOP|ENOTDIR)$/);
  expect(await attributes.get(path, 'user.x')).toBeNull();
  attributes.close();
  rmSync(path, { recursive: true });
});

test('a path that is not on a CephFS is refused with what to do', async () => {
  const path = mkdtempSync(join(tmpdir(), 'bai-cephfs-'));
  writeFileSync(join(path, 'version.txt'), '3\n');
  const backend = cephfsBackend({ name: 'v', path });
  const settings = { name: 'v', backend: 'cephfs', path, fsprefix: '.' } as const;
  await expect(Volume.open(settings, backend, null, silentLog)).rejects.toThrow(
    'this path is not on a CephFS mount',
  );
  const scope = { kind: 'user', hex: 'a'.repeat(32) } as const;
  await expect(backend.quota?.setLimit(scope, path, 1)).rejects.toThrow('is not on a CephFS mount');
  await expect(backend.quota?.usage(scope, path)).rejects.toThrow('is not on a CephFS mount');
  const { status, statusInfo } = await backend.hardware();
  expect(status).toBe('unavailable');
  expect(statusInfo).toContain('is not on a CephFS mount');
  await backend.close();
  rmSync(path, { recursive: true });
});
