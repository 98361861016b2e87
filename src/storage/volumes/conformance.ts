/** What every backend must do, checked on a real folder; what it claims beyond that is checked as well. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { silentLog } from '../../testing/manager.ts';
import { until } from '../../testing/until.ts';
import { StorageError } from '../problems.ts';
import { STAGING_FOLDER } from '../staging.ts';
import type { Capability, VolumeBackend } from './backend.ts';
import { Volume } from './volume.ts';

interface Candidate {
  /** An empty folder on the storage. */
  readonly path: string;
  readonly backend: VolumeBackend;
  /** Limits are rounded up to a multiple of it. Bytes; 1 where they are exact. */
  readonly limitStepBytes?: number;
  /** Whether what is written is counted some seconds later. */
  readonly countsLate?: boolean;
  release(): Promise<void>;
}

/** How late that may be on a busy machine. */
const COUNTED_MS = 60_000;

let lastId = 0;
const nextHex = (): string => {
  lastId += 1;
  return lastId.toString(16).padStart(4, '0').padEnd(32, '0');
};
const nextScope = () => ({ kind: 'user', hex: nextHex() }) as const;

async function problemOf(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (error instanceof StorageError) return error.problem;
  throw new Error(`expected a StorageError, got ${error}`);
}

export function describeBackend(
  name: string,
  expected: readonly Capability[],
  prepare: () => Promise<Candidate>,
): void {
  const has = (capability: Capability) => expected.includes(capability);

  describe(`the backend ${name}`, () => {
    let candidate: Candidate;
    let volume: Volume;
    beforeAll(async () => {
      candidate = await prepare();
      const settings = { name: 'v', backend: 'vfs', path: candidate.path, fsprefix: '.' } as const;
      volume = await Volume.open(settings, candidate.backend, null, silentLog);
    });
    afterAll(async () => {
      await volume.close();
      await candidate.release();
    });

    const counted = async (is: () => Promise<boolean>) => {
      if (candidate.countsLate) await until(is, 'the storage has counted', COUNTED_MS);
    };

    async function newFolder() {
      const id = { scope: nextScope(), hex: nextHex() };
      await volume.createScope(id.scope, null);
      await volume.createFolder(id, 0o755);
      return { id, path: await volume.requireFolder(id) };
    }

    test('claims what it can do, and is well', async () => {
      expect([...volume.capabilities].sort()).toEqual([...expected].sort());
      expect((await candidate.backend.hardware()).status).toBe('healthy');
      const { capacityBytes, usedBytes } = await volume.capacity();
      expect(usedBytes).toBeLessThanOrEqual(capacityBytes);
      expect(capacityBytes).toBeGreaterThan(0);
    });

    test('a scope is made once; folders need one', async () => {
      const scope = nextScope();
      expect(await problemOf(volume.scopeUsage(scope))).toBe('QuotaScopeNotFound');
      expect(await problemOf(volume.createFolder({ scope, hex: nextHex() }, 0o755))).toBe(
        'QuotaScopeNotFound',
      );
      await volume.createScope(scope, null);
      expect(await problemOf(volume.createScope(scope, null))).toBe('QuotaScopeExists');
      await volume.ensureScope(scope);
    });

    test('a folder is made once, is writable, counted, and leaves nothing', async () => {
      const { id, path } = await newFolder();
      expect(await problemOf(volume.createFolder(id, 0o755))).toBe('VFolderExists');
      mkdirSync(join(path, 'a'));
      writeFileSync(join(path, 'a/b'), 'x'.repeat(5000), { flush: true });
      expect(readFileSync(join(path, 'a/b'), 'utf8')).toHaveLength(5000);
      await counted(async () => (await volume.folderUsage(id))?.usedBytes === 5000);
      expect(await volume.folderUsage(id)).toEqual({ fileCount: 1, usedBytes: 5000 });
      expect(await volume.folderDiskBytes(id)).toBeGreaterThanOrEqual(5000);
      const absent = { ...id, hex: nextHex() };
      expect(await problemOf(volume.folderUsage(absent))).toBe('VFolderNotFound');
      await volume.pruneAbove(id);
      expect(await volume.requireFolder(id)).toBe(path);
    });

    test('a folder is copied with modes and links, without what is being uploaded', async () => {
      const [from, to] = [(await newFolder()).path, (await newFolder()).path];
      mkdirSync(join(from, 'a/b'), { recursive: true });
      mkdirSync(join(from, STAGING_FOLDER));
      writeFileSync(join(from, STAGING_FOLDER, 'half'), 'x');
      writeFileSync(join(from, 'a/b/tool'), 'x'.repeat(100_000), { mode: 0o750 });
      writeFileSync(join(from, 'empty'), '');
      symlinkSync('a/b/tool', join(from, 'link'));
      const copied: number[] = [];
      const note = (files: number) => copied.push(files);
      await volume.copyFolder(from, to, new AbortController().signal, note);
      expect(readdirSync(to).sort()).toEqual(['a', 'empty', 'link']);
      expect(readFileSync(join(to, 'link'), 'utf8')).toBe('x'.repeat(100_000));
      expect(readlinkSync(join(to, 'link'))).toBe('a/b/tool');
      expect(statSync(join(to, 'a/b/tool')).mode & 0o777).toBe(0o750);
      expect(copied.reduce((sum, files) => sum + files, 0)).toBe(3);
    });

    test('quotas are kept, or refused as a whole', async () => {
      const { id, path } = await newFolder();
      if (!has('quota')) {
        expect(await volume.scopeUsage(id.scope)).toEqual({ usedBytes: null, limitBytes: null });
        expect(await problemOf(volume.setLimit(id.scope, 1000))).toBe('UnsupportedOperation');
        expect(await problemOf(volume.unsetLimit(id.scope))).toBe('UnsupportedOperation');
        return;
      }
      const step = candidate.limitStepBytes ?? 1;
      const kept = (bytes: number) => Math.ceil(bytes / step) * step;
      await volume.setLimit(id.scope, 10_000_000);
      writeFileSync(join(path, 'x'), 'x'.repeat(4096), { flush: true });
      await counted(async () => Number((await volume.scopeUsage(id.scope)).usedBytes) > 0);
      const { usedBytes, limitBytes } = await volume.scopeUsage(id.scope);
      expect(limitBytes).toBe(kept(10_000_000));
      expect(usedBytes).toBeGreaterThanOrEqual(4096);
      await volume.unsetLimit(id.scope);
      expect((await volume.scopeUsage(id.scope)).limitBytes).toBeNull();
      const fresh = nextScope();
      await volume.setLimit(fresh, 5_000_000);
      expect((await volume.scopeUsage(fresh)).limitBytes).toBe(kept(5_000_000));
      const limited = nextScope();
      await volume.createScope(limited, 7_000_000);
      expect((await volume.scopeUsage(limited)).limitBytes).toBe(kept(7_000_000));
    });

    test('performance is measured, or not claimed', async () => {
      const metric = (await candidate.backend.performance?.()) ?? null;
      expect(metric !== null).toBe(has('metric'));
      for (const value of Object.values(metric ?? {})) expect(value).toBeGreaterThanOrEqual(0);
    });
  });
}
