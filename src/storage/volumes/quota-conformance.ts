/** What every backend with quotas that hold must do when one is used up, through the proxy's two APIs. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pack } from 'tar-stream';
import { startTestStorage, type TestFolder, type TestStorage } from '../../testing/storage.ts';
import { until } from '../../testing/until.ts';
import type { VolumeSettings } from '../settings.ts';

const LIMIT = 2 * 1024 ** 2;
/** More than fits beside another one of its kind. Bytes. */
const LARGE = 1_500_000;
/** A storage may count what is written, and what is deleted, some seconds late. */
const COUNTED_MS = 60_000;
const NO_SPACE = 'https://api.backend.ai/probs/storage/not-enough-space';

/** A proxy on the volume, and what the tests ask it. */
class Trial {
  readonly storage: TestStorage;

  constructor(storage: TestStorage) {
    this.storage = storage;
  }

  scopeOf({ vfid }: TestFolder) {
    return { volume: 'volume1', qsid: vfid.split('/')[0] ?? '' };
  }

  /** Waits until the storage has counted what was written or deleted. */
  async counted(place: TestFolder, is: (bytes: number) => boolean): Promise<void> {
    const ask = () => this.storage.ask('GET', '/quota-scope', this.scopeOf(place));
    const check = async () => is(Number(Object((await ask()).body).used_bytes));
    await until(check, 'the storage has counted', COUNTED_MS);
  }

  limit(place: TestFolder, bytes: number) {
    return this.storage.ask('PATCH', '/quota-scope', {
      ...this.scopeOf(place),
      options: { limit_bytes: bytes },
    });
  }

  /** A folder whose scope holds a file of `LARGE` bytes, and may not hold two. */
  async limitedFolder(): Promise<TestFolder> {
    const place = await this.storage.newFolder(randomUUID());
    writeFileSync(join(place.path, 'filler'), randomBytes(LARGE), { flush: true });
    await this.counted(place, (bytes) => bytes >= LARGE);
    expect((await this.limit(place, LIMIT)).status).toBe(204);
    return place;
  }

  /** How the task ended that an answer of the proxy names. */
  async taskOf({ body }: { body: unknown }) {
    const bgtask_id = String(Object(body).bgtask_id);
    const ended = async () => {
      const task = Object((await this.storage.ask('GET', '/task', { bgtask_id })).body);
      return task.status === 'started' ? null : task;
    };
    return await until(ended, 'the task ended', COUNTED_MS);
  }

  async upload(place: TestFolder, relpath: string, content: Uint8Array, more = {}) {
    const asked = { ...place, relpath, size: content.length, ...more };
    const url = await this.storage.clientAddress('upload', asked);
    return {
      async offset() {
        const { headers } = await fetch(url, { method: 'HEAD' });
        return Number(headers.get('upload-offset') ?? Number.NaN);
      },
      patch: (offset: number, end = content.length) =>
        fetch(url, {
          method: 'PATCH',
          headers: { 'Upload-Offset': `${offset}` },
          body: Buffer.from(content.subarray(offset, end)),
        }),
    };
  }
}

async function tarOf(files: Readonly<Record<string, Buffer>>): Promise<Buffer> {
  const tar = pack();
  for (const [name, content] of Object.entries(files)) tar.entry({ name }, content);
  tar.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of tar) if (chunk instanceof Uint8Array) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** @param settings of a volume on a storage that has room for some MB more than the limits. */
export function describeQuotas(name: string, settings: () => Omit<VolumeSettings, 'name'>): void {
  describe(`a quota of ${name} that is used up`, () => {
    let trial: Trial;
    beforeAll(async () => {
      const volume = { name: 'volume1', ...settings() };
      trial = new Trial(await startTestStorage({ volumes: [volume] }, volume.path));
    });
    afterAll(async () => {
      await trial.storage.discard();
    });
    testWriting(() => trial);
    testDeleting(() => trial);
  });
}

function testWriting(current: () => Trial): void {
  test('refuses an upload with 507, which goes on once there is room', async () => {
    const trial = current();
    const place = await trial.limitedFolder();
    const content = randomBytes(LARGE);
    const { patch, offset } = await trial.upload(place, 'x', content);
    const refused = await patch(0);
    expect(refused.status).toBe(507);
    expect(await refused.json()).toMatchObject({ type: NO_SPACE });
    expect(readdirSync(place.path).sort()).toEqual(['.upload', 'filler']);
    rmSync(join(place.path, 'filler'));
    await until(
      async () => (await patch(await offset())).status === 204,
      'the upload goes on',
      COUNTED_MS,
    );
    expect(readFileSync(join(place.path, 'x')).equals(content)).toBe(true);
  });

  test('refuses to unpack an archive that does not fit, which goes on once there is room', async () => {
    const trial = current();
    const place = await trial.limitedFolder();
    const content = randomBytes(400_000);
    const tar = await tarOf({ 'in/file': content });
    // A storage that counts late may let one through.
    const refuse = async () => {
      const { patch, offset } = await trial.upload(place, '', tar, { unpack: true });
      expect((await patch(0, tar.length - 1)).status).toBe(204);
      await trial.counted(place, (bytes) => bytes >= LARGE + tar.length - 1);
      const refused = await patch(tar.length - 1);
      if (refused.status !== 204) return { refused, offset };
      rmSync(join(place.path, 'in'), { recursive: true });
      return null;
    };
    const { refused, offset } = await until(refuse, 'an archive is refused', COUNTED_MS);
    expect(refused.status).toBe(507);
    expect(await refused.json()).toMatchObject({ type: NO_SPACE });
    expect(existsSync(join(place.path, 'in/file'))).toBe(false);
    rmSync(join(place.path, 'filler'));
    const isThere = async () => (await offset()) === tar.length;
    await until(isThere, 'the archive is unpacked', COUNTED_MS);
    expect(readFileSync(join(place.path, 'in/file')).equals(content)).toBe(true);
    expect(readdirSync(place.path)).toEqual(['in']);
  });

  test('is that of the new owner for a clone, which counts there', async () => {
    const trial = current();
    const place = await trial.limitedFolder();
    const qsid = `project:${randomUUID()}`;
    const scope = { volume: 'volume1', qsid };
    const options = { limit_bytes: LIMIT };
    expect((await trial.storage.ask('POST', '/quota-scope', { ...scope, options })).status).toBe(
      204,
    );
    const task = await trial.taskOf(
      await trial.storage.ask('POST', '/folder/clone', {
        ...{ src_volume: 'volume1', src_vfid: place.vfid, dst_volume: null },
        dst_vfid: `${qsid}/${'c'.repeat(32)}`,
      }),
    );
    expect(task.status).toBe('done');
    const { body } = await trial.storage.ask('GET', '/folder/mount', {
      ...{ volume: 'volume1', vfid: `${qsid}/${'c'.repeat(32)}` },
    });
    const copy = readFileSync(join(String(Object(body).path), 'filler'));
    expect(copy.equals(readFileSync(join(place.path, 'filler')))).toBe(true);
    await trial.counted({ ...place, vfid: `${qsid}/` }, (bytes) => bytes >= LARGE);
  });

  test('refuses a clone, and says what it lacks', async () => {
    const trial = current();
    const place = await trial.limitedFolder();
    const target = `${place.vfid.slice(0, -32)}${'d'.repeat(32)}`;
    const task = await trial.taskOf(
      await trial.storage.ask('POST', '/folder/clone', {
        ...{ src_volume: 'volume1', src_vfid: place.vfid, dst_volume: null, dst_vfid: target },
      }),
    );
    expect(task.status).toBe('failed');
    expect(task.message).toContain('free on volume1');
    expect(readdirSync(join(place.path, '../../..')).filter((n) => n.includes('clone'))).toEqual(
      [],
    );
  });

  test('lets folders and files be made without content, renamed and moved', async () => {
    const trial = current();
    const place = await trial.limitedFolder();
    const file = { volume: 'volume1', vfid: place.vfid };
    const made = await trial.storage.ask('POST', '/folder/file/mkdir', { ...file, relpath: 'a/b' });
    expect(made.status).toBe(200);
    const renamed = await trial.storage.ask('POST', '/folder/file/rename', {
      ...{ ...file, relpath: 'filler', new_name: 'filled', is_dir: false },
    });
    expect(renamed.status).toBe(204);
    const moved = await trial.storage.ask('POST', '/folder/file/move', {
      ...{ ...file, src_relpath: 'filled', dst_relpath: 'a/b/filled' },
    });
    expect(moved.status).toBe(204);
    await trial.upload(place, 'empty', new Uint8Array());
    expect(existsSync(join(place.path, 'a/b/filled'))).toBe(true);
    expect(readFileSync(join(place.path, 'empty'))).toHaveLength(0);
  });
}

function testDeleting(current: () => Trial): void {
  test('lets files and folders be deleted, which are out of sight at once', async () => {
    const trial = current();
    const place = await trial.limitedFolder();
    const file = { volume: 'volume1', vfid: place.vfid };
    mkdirSync(join(place.path, 'a'));
    for (const name of ['a/1', 'now', 'later']) writeFileSync(join(place.path, name), name);
    expect((await trial.limit(place, LARGE)).status).toBe(204);
    const now = await trial.storage.ask('POST', '/folder/file/delete', {
      ...{ ...file, relpaths: ['now'], recursive: false },
    });
    expect(now.status).toBe(200);
    const later = await trial.storage.ask('POST', '/folder/file/delete-async', {
      ...{ ...file, relpaths: ['later', 'a'], recursive: true },
    });
    expect(readdirSync(place.path)).toEqual(['filler']);
    expect((await trial.taskOf(later)).status).toBe('done');
    const folder = await trial.storage.ask('POST', '/folder/delete', file);
    expect(existsSync(place.path)).toBe(false);
    expect((await trial.taskOf(folder)).status).toBe('done');
    await trial.counted(place, (bytes) => bytes < 100_000);
  });

  test('is not begun for an owner whose folders were never there', async () => {
    const trial = current();
    const [owner, hex] = [randomUUID(), 'e'.repeat(32)];
    const folder = { volume: 'volume1', vfid: `user:${owner}/${hex}` };
    expect(
      (await trial.taskOf(await trial.storage.ask('POST', '/folder/delete', folder))).status,
    ).toBe('done');
    expect(readdirSync(trial.storage.volumePath)).not.toContain(owner.replaceAll('-', ''));
  });

  test('is no limit any more when it is taken away', async () => {
    const trial = current();
    const place = await trial.limitedFolder();
    expect(
      (await trial.storage.ask('DELETE', '/quota-scope/quota', trial.scopeOf(place))).status,
    ).toBe(204);
    const { body } = await trial.storage.ask('GET', '/quota-scope', trial.scopeOf(place));
    expect(body).toMatchObject({ limit_bytes: null });
    const { patch } = await trial.upload(place, 'x', randomBytes(LARGE));
    expect((await patch(0)).status).toBe(204);
  });
}
