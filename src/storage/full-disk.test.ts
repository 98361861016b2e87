/** A volume that runs full: every operation says so, nothing is damaged, and deleting still works. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireOrSkip } from '../testing/services.ts';
import { startTestStorage, type TestStorage } from '../testing/storage.ts';
import { until } from '../testing/until.ts';

const folder = mkdtempSync(join(tmpdir(), 'bai-full-'));
const disk = join(folder, 'disk');
mkdirSync(disk);
const isMounted =
  Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', 'size=4m,nr_inodes=200', 'tmpfs', disk]).exitCode ===
  0;
const canRun = requireOrSkip(isMounted ? null : 'a small disk can only be mounted by root');

describe.skipIf(!canRun)('a full volume', () => {
  let storage: TestStorage;
  beforeAll(async () => {
    storage = await startTestStorage({}, disk);
  });
  afterAll(async () => {
    await storage.discard();
    Bun.spawnSync(['umount', disk]);
    rmSync(folder, { recursive: true, force: true });
  });

  const patch = (url: URL, offset: number, body: Uint8Array) =>
    fetch(url, {
      method: 'PATCH',
      headers: { 'Upload-Offset': `${offset}` },
      body: Buffer.from(body),
    });
  const offsetOf = async (url: URL) =>
    Number((await fetch(url, { method: 'HEAD' })).headers.get('upload-offset'));
  const end = (id: unknown) =>
    until(async () => {
      const { body } = await storage.ask('GET', '/task', { bgtask_id: String(id) });
      return Object(body).status === 'started' ? null : Object(body);
    }, 'the task ended');

  test('answers 507 to an upload, which goes on when there is space again', async () => {
    const place = await storage.newFolder();
    writeFileSync(join(place.path, 'filler'), randomBytes(2_000_000));
    const content = randomBytes(3_000_000);
    const url = await storage.clientAddress('upload', {
      ...place,
      relpath: 'x',
      size: content.length,
    });
    const response = await patch(url, 0, content);
    expect(response.status).toBe(507);
    expect(await response.json()).toMatchObject({
      type: 'https://api.backend.ai/probs/storage/not-enough-space',
    });
    const arrived = await offsetOf(url);
    expect(arrived).toBeGreaterThan(500_000);
    await storage.ask('POST', '/folder/file/delete', { ...place, relpaths: ['filler'] });
    expect((await patch(url, arrived, content.subarray(arrived))).status).toBe(204);
    expect(readFileSync(join(place.path, 'x')).equals(content)).toBe(true);
    await storage.ask('POST', '/folder/file/delete', { ...place, relpaths: ['x'] });
  });

  test('a clone that does not fit ends with the reason, and leaves nothing', async () => {
    const place = await storage.newFolder();
    writeFileSync(join(place.path, 'large'), randomBytes(2_500_000));
    const target = `${place.vfid.slice(0, -32)}${'d'.repeat(32)}`;
    const clone = {
      src_volume: 'volume1',
      src_vfid: place.vfid,
      dst_vfid: target,
      dst_volume: null,
    };
    const { body } = await storage.ask('POST', '/folder/clone', clone);
    const ended = await end(Object(body).bgtask_id);
    expect(ended).toMatchObject({ status: 'failed' });
    expect(ended.message).toContain('free on volume1');
    const [scope = ''] = readdirSync(disk).filter((name) => /^[0-9a-f]{32}$/.test(name));
    expect(readdirSync(join(disk, scope)).filter((name) => name.startsWith('.'))).toEqual([]);
    expect(
      (await storage.ask('GET', '/folder/mount', { volume: 'volume1', vfid: target })).status,
    ).toBe(400);
  });

  test('a folder can be deleted when not even a note of it fits', async () => {
    const place = await storage.newFolder();
    writeFileSync(join(place.path, 'some'), randomBytes(100_000));
    const filler = join(disk, 'filler');
    Bun.spawnSync(['dd', 'if=/dev/zero', `of=${filler}`, 'bs=4k']);
    const mkdir = await storage.ask('POST', '/folder/file/list', { ...place, relpath: '.' });
    expect(mkdir.status).toBe(200);
    const { status, body } = await storage.ask('POST', '/folder/delete', { ...place });
    expect(status).toBe(202);
    expect(await end(Object(body).bgtask_id)).toMatchObject({ status: 'done' });
    expect(existsSync(place.path)).toBe(false);
    expect(readdirSync(join(disk, '.backend.ai/trash'))).toEqual([]);
    rmSync(filler);
  });

  test('what a run without notes left in the trash is deleted by the next', async () => {
    const trash = join(disk, '.backend.ai/trash');
    mkdirSync(join(trash, `${crypto.randomUUID()}/folder/a/b`), { recursive: true });
    writeFileSync(join(trash, 'files-0.attic'), '');
    await storage.restart();
    await until(() => readdirSync(trash).length === 0, 'the trash is empty');
  });
});
