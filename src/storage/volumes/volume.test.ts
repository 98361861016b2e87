/** Volumes on the backends there are, and on a simulated appliance that claims everything. */
import { expect, test } from 'bun:test';
import { randomUUID } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  type StatsFs,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLog } from '../../testing/manager.ts';
import { startTestStorage } from '../../testing/storage.ts';
import { treeUsage } from '../files/usage.ts';
import { StorageError } from '../problems.ts';
import { fileSystemAt, type VolumeBackend } from './backend.ts';
import { describeBackend } from './conformance.ts';
import { vfsBackend } from './vfs.ts';
import { Volume } from './volume.ts';

async function emptyFolder(make: (volume: { path: string }) => VolumeBackend) {
  const path = mkdtempSync(join(tmpdir(), 'bai-volume-'));
  return { path, backend: make({ path }), release: async () => rmSync(path, { recursive: true }) };
}

/** Counts and limits like an appliance, out of this process's memory. */
function simulatedAppliance(options: { refusesLimits?: boolean } = {}): VolumeBackend {
  const limits = new Map<string, number>();
  return {
    name: 'simulated',
    quota: {
      confines: true,
      async begin(scope) {
        if (limits.has(scope.hex)) throw new Error('begun twice');
      },
      async usage(scope, path) {
        const { bytes } = await treeUsage(path);
        return { usedBytes: bytes, limitBytes: limits.get(scope.hex) ?? null };
      },
      async setLimit(scope, _path, limitBytes) {
        if (options.refusesLimits) throw new StorageError('QuotaCommandFailed', 'out of quotas');
        limits.set(scope.hex, limitBytes);
      },
      async unsetLimit(scope) {
        limits.delete(scope.hex);
      },
    },
    async performance() {
      return {
        ...{ iopsRead: 1, iopsWrite: 2, ioBytesRead: 3, ioBytesWrite: 4 },
        ...{ ioUsecRead: 5, ioUsecWrite: 6 },
      };
    },
    capacity: async () => ({ capacityBytes: 1000, usedBytes: 10 }),
    async folderUsage(path) {
      const { files, bytes } = await treeUsage(path);
      return { fileCount: files, usedBytes: bytes };
    },
    async copyTree(from, to) {
      cpSync(from, to, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    },
    async start() {},
    hardware: async () => ({ status: 'healthy', statusInfo: null, metadata: {} }),
    async close() {},
  };
}

describeBackend('vfs', ['vfolder'], () => emptyFolder(vfsBackend));
const EVERYTHING = [
  'vfolder',
  'quota',
  'metric',
  'fast-fs-size',
  'fast-scan',
  'fast-size',
] as const;
describeBackend('of a simulated appliance', EVERYTHING, () =>
  emptyFolder(() => simulatedAppliance()),
);

test('managers hear what the storage itself counts, measures and limits', async () => {
  await using opened = new AsyncDisposableStack();
  const storage = await startTestStorage({}, null, { vfs: () => simulatedAppliance() });
  opened.defer(() => storage.discard());
  const place = await storage.newFolder();
  writeFileSync(join(place.path, 'x'), 'x'.repeat(1000));
  const volume = { volume: 'volume1' };
  const folder = { ...volume, vfid: place.vfid };
  const scope = { ...volume, qsid: place.vfid.split('/')[0] };
  const get = async (path: string, params: Record<string, unknown>) =>
    (await storage.ask('GET', path, params)).body;
  expect(await get('/volumes', {})).toMatchObject({
    volumes: [{ backend: 'simulated', capabilities: EVERYTHING }],
  });
  expect(await get('/volume/performance-metric', volume)).toEqual({
    metric: {
      ...{ iops_read: 1, iops_write: 2, io_bytes_read: 3, io_bytes_write: 4 },
      ...{ io_usec_read: 5, io_usec_write: 6 },
    },
    observed_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
  });
  expect(await get('/folder/fs-usage', volume)).toEqual({ capacity_bytes: 1000, used_bytes: 10 });
  expect(await get('/folder/usage', folder)).toEqual({ file_count: 1, used_bytes: 1000 });
  expect(await get('/folder/used-bytes', folder)).toEqual({ used_bytes: 1000 });
  expect(await get('/quota-scope', scope)).toEqual({ used_bytes: 1000, limit_bytes: null });
  const options = { limit_bytes: 5000 };
  expect((await storage.ask('PATCH', '/quota-scope', { ...scope, options })).status).toBe(204);
  expect(await get('/quota-scope', scope)).toEqual({ used_bytes: 1000, limit_bytes: 5000 });
  const first = { vfid: `project:${randomUUID()}/${'a'.repeat(32)}` };
  const initial = { options: { initial_max_size_for_quota_scope: 7000 } };
  await storage.ask('POST', '/folder/create', { ...volume, ...first, ...initial });
  expect(await get('/quota-scope', { ...volume, qsid: first.vfid.split('/')[0] })).toEqual({
    ...{ used_bytes: 0, limit_bytes: 7000 },
  });
});

const settings = (path: string) => ({ name: 'v', backend: 'vfs', path, fsprefix: '.' }) as const;

test('a scope whose quota is refused is as if it had not been made', async () => {
  const { path, backend, release } = await emptyFolder(() =>
    simulatedAppliance({ refusesLimits: true }),
  );
  const volume = await Volume.open(settings(path), backend, null, silentLog);
  const scope = { kind: 'project', hex: 'a'.repeat(32) } as const;
  await expect(volume.createScope(scope, 1000)).rejects.toThrow('out of quotas');
  expect(existsSync(join(path, scope.hex))).toBe(false);
  await release();
});

test('a volume that is not there, or of an unknown layout, is refused with what to do', async () => {
  const { path, backend, release } = await emptyFolder(vfsBackend);
  const open = (place: string) => Volume.open(settings(place), backend, null, silentLog);
  await expect(open(join(path, 'none'))).rejects.toThrow('is not there');
  writeFileSync(join(path, 'version.txt'), '9\n');
  await expect(open(path)).rejects.toThrow('layout version "9"; 2 and 3 are known');
  await release();
});

test('a volume of the old layout keeps folders without their owner above them', async () => {
  const { path, backend, release } = await emptyFolder(vfsBackend);
  writeFileSync(join(path, 'version.txt'), '2');
  const hex = '0123456789abcdef0123456789abcdef';
  mkdirSync(join(path, '01/23', hex.slice(4)), { recursive: true });
  const volume = await Volume.open(settings(path), backend, null, silentLog);
  const id = { scope: { kind: 'user', hex: 'b'.repeat(32) }, hex } as const;
  expect(await volume.requireFolder(id)).toBe(join(path, '01/23', hex.slice(4)));
  await release();
});

test('a storage that went away is told, not hidden', async () => {
  const { backend, release } = await emptyFolder(vfsBackend);
  await release();
  const { status, statusInfo } = await backend.hardware();
  expect(status).toBe('unavailable');
  expect(statusInfo).toContain('ENOENT');
});

test('a storage that does not answer is asked once, and again when it is back', async () => {
  const hung = Promise.withResolvers<StatsFs>();
  let asked = 0;
  const ask = async () => {
    asked += 1;
    return await hung.promise;
  };
  const answers = Array.from({ length: 20 }, () => fileSystemAt('/hung', ask));
  expect(asked).toBe(1);
  // Another one is not held up by it.
  expect((await fileSystemAt(tmpdir())).bsize).toBeGreaterThan(0);
  const state = statfsSync(tmpdir());
  hung.resolve(state);
  expect(await Promise.all(answers)).toEqual(Array(20).fill(state));
  await fileSystemAt('/hung', ask);
  expect(asked).toBe(2);
});

test('there is a bound to what many storages may owe', async () => {
  const hung = Promise.withResolvers<StatsFs>();
  const ask = () => hung.promise;
  const answers = Array.from({ length: 64 }, (_none, n) => fileSystemAt(`/hung/${n}`, ask));
  await expect(fileSystemAt('/hung/more', ask)).rejects.toThrow('64 questions to answer already');
  hung.resolve(statfsSync(tmpdir()));
  await Promise.all(answers);
});
