/** The manager-facing API as managers use it, upstream's included. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startTestStorage, type TestStorage } from '../../testing/storage.ts';
import { until } from '../../testing/until.ts';

const OWNER = '11111111-2222-3333-4444-555555555555';
const SCOPE = `user:${OWNER}`;
let storage: TestStorage;

beforeAll(async () => {
  storage = await startTestStorage();
});
afterAll(() => storage.discard());

const ask = (method: string, path: string, params?: Record<string, unknown>) =>
  storage.ask(method, path, params);

const newFolder = () => storage.newFolder();

/** Polls a task as a manager does, until it ended. */
async function ended(bgtaskId: unknown) {
  return await until(async () => {
    const { body } = await ask('GET', '/task', {
      bgtask_id: String(bgtaskId),
      after_version: 1,
      wait_sec: 5,
    });
    expect(body).toHaveProperty('status');
    return JSON.stringify(body).includes('"status":"started"') ? null : body;
  }, 'the task ended');
}

const idOf = (body: unknown): unknown =>
  typeof body === 'object' && body !== null && 'bgtask_id' in body ? body.bgtask_id : null;

describe('who may ask', () => {
  test('the state of the proxy is open to all; the rest needs the secret', async () => {
    for (const path of ['/', '/status']) {
      const response = await fetch(`${storage.managerUrl}${path}`);
      expect(await response.json()).toMatchObject({ status: 'ok', type: 'manager-facing' });
    }
    for (const path of ['/health', '/livez', '/readyz']) {
      const response = await fetch(`${storage.managerUrl}${path}`);
      expect(response.status).toBe(200);
      expect(await response.json()).toMatchObject({ status: 'ok', component: 'storage-proxy' });
    }
    for (const secret of [null, '', 'wrong', `${storage.secret} `.repeat(2)]) {
      const headers: Record<string, string> =
        secret === null ? {} : { 'X-BackendAI-Storage-Auth-Token': secret };
      const response = await fetch(`${storage.managerUrl}/volumes`, { headers });
      expect(response.status).toBe(403);
      expect(response.headers.get('content-type')).toBe('application/problem+json');
      expect(await response.json()).toMatchObject({
        type: 'https://api.backend.ai/probs/storage/forbidden',
      });
    }
  });

  test('whoever does not know the secret does not learn which addresses exist', async () => {
    expect((await fetch(`${storage.managerUrl}/nothing`)).status).toBe(403);
    expect((await ask('GET', '/nothing')).status).toBe(404);
    expect((await ask('DELETE', '/volumes')).status).toBe(405);
  });

  test('wrong parameters are named', async () => {
    const { status, body } = await ask('POST', '/folder/create', { volume: 'volume1', vfid: 'x' });
    expect(status).toBe(400);
    expect(body).toMatchObject({ type: 'https://api.backend.ai/probs/storage/invalid-api-params' });
    expect(JSON.stringify(body)).toContain('vfid: expected a folder');
    for (const [text, why] of [
      ['{', 'JSON'],
      ['[]', 'Expected Object but received Array'],
    ] as const) {
      const answer = await fetch(`${storage.managerUrl}/folder/create`, {
        method: 'POST',
        headers: { 'X-BackendAI-Storage-Auth-Token': storage.secret },
        body: text,
      });
      expect([answer.status, await answer.text()]).toEqual([400, expect.stringContaining(why)]);
    }
  });

  test("upstream's managers put the parameters of a GET into its body", async () => {
    const { vfid, path } = await newFolder();
    const child = Bun.spawn([
      ...['curl', '-sS', '-X', 'GET', '-H', 'Content-Type: application/json'],
      ...['-H', `X-BackendAI-Storage-Auth-Token: ${storage.secret}`],
      ...['-d', JSON.stringify({ volume: 'volume1', vfid })],
      `${storage.managerUrl}/folder/mount`,
    ]);
    expect(await new Response(child.stdout).json()).toEqual({ path });
  });
});

describe('volumes and quota scopes', () => {
  test('what there is, and what it can do', async () => {
    expect(await ask('GET', '/volumes')).toEqual({
      status: 200,
      body: {
        volumes: [
          {
            name: 'volume1',
            backend: 'vfs',
            path: storage.volumePath,
            fsprefix: '.',
            capabilities: ['vfolder'],
          },
        ],
      },
    });
    expect((await ask('GET', '/volume/hwinfo', { volume: 'volume1' })).body).toEqual({
      status: 'healthy',
      status_info: null,
      metadata: {},
    });
    const usage = await ask('GET', '/folder/fs-usage', { volume: 'volume1' });
    expect(usage.body).toEqual({
      capacity_bytes: expect.any(Number),
      used_bytes: expect.any(Number),
    });
    const metric = await ask('GET', '/volume/performance-metric', { volume: 'volume1' });
    expect(metric).toMatchObject({
      status: 400,
      body: { type: 'https://api.backend.ai/probs/storage/unsupported-operation' },
    });
    expect((await ask('GET', '/volume/hwinfo', { volume: 'other' })).status).toBe(400);
    expect((await ask('GET', '/volume/quota')).status).toBe(400);
    expect(readFileSync(join(storage.volumePath, 'version.txt'), 'utf8').trim()).toBe('3');
  });

  test('scopes of a volume without quotas count and limit nothing', async () => {
    const scope = { volume: 'volume1', qsid: 'project:99999999-2222-3333-4444-555555555555' };
    expect((await ask('GET', '/quota-scope', scope)).status).toBe(404);
    expect((await ask('POST', '/quota-scope', { ...scope, options: null })).status).toBe(204);
    expect(await ask('POST', '/quota-scope', { ...scope, options: null })).toEqual({
      status: 409,
      body: { msg: 'Volume already exists with given quota scope.' },
    });
    expect((await ask('GET', '/quota-scope', scope)).body).toEqual({
      used_bytes: null,
      limit_bytes: null,
    });
    const options = { limit_bytes: 1000 };
    const refused = await ask('PATCH', '/quota-scope', { ...scope, options });
    expect(refused).toMatchObject({ status: 400, body: { title: 'Unsupported Operation' } });
    expect((await ask('DELETE', '/quota-scope/quota', scope)).status).toBe(400);
  });
});

describe('folders', () => {
  test('are made with their scope, in the layout that agents expect', async () => {
    const { path, vfid, volume } = await newFolder();
    expect(statSync(path).mode & 0o777).toBe(0o755);
    expect(await ask('POST', '/folder/create', { volume, vfid })).toMatchObject({ status: 409 });
    expect((await ask('GET', '/folder/mount', { volume, vfid })).body).toEqual({ path });
    expect(await ask('GET', '/folder/mount', { volume, vfid, subpath: '../x' })).toEqual({
      status: 400,
      body: { msg: 'Invalid vfolder subpath', vfid, subpath: '../x' },
    });
    const absent = `${SCOPE}/${'f'.repeat(32)}`;
    expect(await ask('GET', '/folder/mount', { volume, vfid: absent })).toEqual({
      status: 400,
      body: { msg: 'VFolder not found', vfid: absent },
    });
    const shared = `${SCOPE}/${'e'.repeat(32)}`;
    await ask('POST', '/folder/create', { volume, vfid: shared, mode: 0o775 });
    const mount = await ask('GET', '/folder/mount', { volume, vfid: shared });
    const { path: sharedPath } = Object(mount.body);
    expect(statSync(sharedPath).mode & 0o777).toBe(0o775);
  });

  test('are measured', async () => {
    const { path, ...folder } = await newFolder();
    mkdirSync(join(path, 'a/b'), { recursive: true });
    writeFileSync(join(path, 'a/b/c'), 'x'.repeat(10_000));
    writeFileSync(join(path, 'd'), 'xyz');
    symlinkSync('/etc', join(path, 'link'));
    expect((await ask('GET', '/folder/usage', folder)).body).toEqual({
      file_count: 3,
      used_bytes: 10_003 + '/etc'.length,
    });
    const { used_bytes } = Object((await ask('GET', '/folder/used-bytes', folder)).body);
    expect(used_bytes).toBeGreaterThanOrEqual(10_003);
  });

  test('are deleted in the background, once however often it is asked for', async () => {
    const { path, ...folder } = await newFolder();
    mkdirSync(join(path, 'deep/er'), { recursive: true });
    for (let i = 0; i < 50; i++) writeFileSync(join(path, 'deep/er', `${i}`), '');
    const { status, body } = await ask('POST', '/folder/delete', folder);
    expect(status).toBe(202);
    expect(existsSync(path)).toBe(false);
    expect(await ended(idOf(body))).toMatchObject({
      task_name: 'delete_vfolder',
      status: 'done',
      current_progress: 53,
    });
    expect(existsSync(join(path, '..'))).toBe(false);
    const again = await ask('POST', '/folder/delete', folder);
    expect(await ended(idOf(again.body))).toMatchObject({ status: 'done' });
    expect((await ask('GET', '/task', { bgtask_id: 'none' })).status).toBe(404);
  });

  test('are cloned with modes, links and times', async () => {
    const source = await newFolder();
    mkdirSync(join(source.path, 'bin'), { mode: 0o750 });
    writeFileSync(join(source.path, 'bin/tool'), 'run', { mode: 0o755 });
    symlinkSync('bin/tool', join(source.path, 'tool'));
    const dst_vfid = `project:${OWNER}/${'c'.repeat(32)}`;
    const clone = { src_volume: 'volume1', src_vfid: source.vfid, dst_vfid };
    const { status, body } = await ask('POST', '/folder/clone', { ...clone, dst_volume: null });
    expect(status).toBe(200);
    expect(await ended(idOf(body))).toMatchObject({
      task_name: 'clone_vfolder',
      status: 'done',
      current_progress: 2,
      total_progress: 2,
    });
    const mount = await ask('GET', '/folder/mount', { volume: 'volume1', vfid: dst_vfid });
    const { path } = Object(mount.body);
    expect(readFileSync(join(path, 'tool'), 'utf8')).toBe('run');
    for (const name of ['bin', 'bin/tool', '.']) {
      const [original, copy] = [statSync(join(source.path, name)), statSync(join(path, name))];
      expect(copy.mode).toBe(original.mode);
      expect(copy.mtimeMs).toBeCloseTo(original.mtimeMs, -1);
    }
    const taken = await ask('POST', '/folder/clone', { ...clone, dst_volume: 'volume1' });
    expect(taken.status).toBe(409);
    const across = await ask('POST', '/folder/clone', { ...clone, dst_volume: 'volume2' });
    expect(across.status).toBe(400);
  });
});

describe('files', () => {
  test('folders are made one by one, and each failure is told', async () => {
    const { path, ...folder } = await newFolder();
    const mkdir = (relpath: unknown, more = {}) =>
      ask('POST', '/folder/file/mkdir', { ...folder, relpath, ...more });
    expect(await mkdir('a/b')).toEqual({
      status: 200,
      body: { results: { success: [{ msg: null, item: 'a/b' }], failed: [] } },
    });
    const mixed = await mkdir(['a/b', 'c', '../d']);
    expect(mixed).toMatchObject({
      status: 207,
      body: { results: { success: [{ item: 'c' }], failed: [{ item: 'a/b' }, { item: '../d' }] } },
    });
    expect((await mkdir('a/b')).status).toBe(422);
    expect((await mkdir('a/b', { exist_ok: true })).status).toBe(200);
    expect((await mkdir('x/y', { parents: false })).status).toBe(422);
    expect((await mkdir(Array.from({ length: 51 }, (_, i) => `${i}`))).status).toBe(400);
    expect(existsSync(join(path, '../d'))).toBe(false);
  });

  test('are listed by name, with what they are', async () => {
    const { path, ...folder } = await newFolder();
    mkdirSync(join(path, 'b'));
    writeFileSync(join(path, 'a'), 'four');
    symlinkSync('a', join(path, 'c'));
    const { body } = await ask('POST', '/folder/file/list', { ...folder, relpath: '.' });
    const stat = {
      mode: expect.any(Number),
      size: expect.any(Number),
      created: expect.stringMatching(/^\d{4}-.*Z$/),
      modified: expect.stringMatching(/^\d{4}-.*Z$/),
    };
    expect(body).toEqual({
      items: [
        { name: 'a', type: 'FILE', stat: { ...stat, size: 4 }, symlink_target: '' },
        { name: 'b', type: 'DIRECTORY', stat, symlink_target: '' },
        { name: 'c', type: 'SYMLINK', stat, symlink_target: 'a' },
      ],
      next: null,
    });
    const missing = await ask('POST', '/folder/file/list', { ...folder, relpath: 'none' });
    expect(missing.status).toBe(404);
    const file = await ask('POST', '/folder/file/list', { ...folder, relpath: 'a' });
    expect(file).toMatchObject({ status: 400, body: { errno: 20 } });
  });

  test('are renamed and moved, and nothing is overwritten by that', async () => {
    const { path, ...folder } = await newFolder();
    writeFileSync(join(path, 'a'), 'A');
    writeFileSync(join(path, 'taken'), 'T');
    const rename = (relpath: string, new_name: string) =>
      ask('POST', '/folder/file/rename', { ...folder, relpath, new_name, is_dir: false });
    expect((await rename('a', 'b')).status).toBe(204);
    expect((await rename('b', 'taken')).status).toBe(400);
    expect((await rename('b', '../up')).status).toBe(400);
    expect((await rename('none', 'x')).status).toBe(404);
    const move = (src_relpath: string, dst_relpath: string) =>
      ask('POST', '/folder/file/move', { ...folder, src_relpath, dst_relpath });
    expect((await move('b', 'new/place/c')).status).toBe(204);
    expect(readFileSync(join(path, 'new/place/c'), 'utf8')).toBe('A');
    expect((await move('new/place/c', 'taken')).status).toBe(400);
    expect((await move('taken', 'new')).status).toBe(204);
    expect(readFileSync(join(path, 'new/taken'), 'utf8')).toBe('T');
    expect((await move('new', '../out')).status).toBe(400);
    expect((await move('.', 'inside')).status).toBe(400);
  });

  test('are deleted, folders only when it is asked for', async () => {
    const { path, ...folder } = await newFolder();
    mkdirSync(join(path, 'full/er'), { recursive: true });
    writeFileSync(join(path, 'full/er/x'), '');
    writeFileSync(join(path, 'y'), '');
    const remove = (relpaths: string[], recursive?: boolean) =>
      ask('POST', '/folder/file/delete', { ...folder, relpaths, recursive });
    expect(await remove(['full', 'y', 'none/at/all'])).toEqual({
      status: 200,
      body: { status: 'ok' },
    });
    expect([existsSync(join(path, 'full')), existsSync(join(path, 'y'))]).toEqual([true, false]);
    expect((await remove(['full'], true)).status).toBe(200);
    expect(existsSync(join(path, 'full'))).toBe(false);
    expect((await remove(['.'], true)).status).toBe(400);
    expect(existsSync(path)).toBe(true);
  });

  test('are deleted in the background, and gone at once for everybody', async () => {
    const { path, ...folder } = await newFolder();
    mkdirSync(join(path, 'a'));
    for (let i = 0; i < 20; i++) writeFileSync(join(path, 'a', `${i}`), '');
    const { status, body } = await ask('POST', '/folder/file/delete-async', {
      ...folder,
      relpaths: ['a', 'none'],
      recursive: true,
    });
    expect(status).toBe(202);
    expect(existsSync(join(path, 'a'))).toBe(false);
    expect(await ended(idOf(body))).toMatchObject({ task_name: 'delete_files', status: 'done' });
    expect(existsSync(path)).toBe(true);
  });

  test('are fetched as they are', async () => {
    const { path, ...folder } = await newFolder();
    const content = Buffer.from([0, 1, 254, 255]);
    writeFileSync(join(path, 'log'), content);
    writeFileSync(join(path, 'empty'), '');
    const fetchFile = (relpath: string) =>
      fetch(`${storage.managerUrl}/folder/file/fetch`, {
        method: 'POST',
        headers: { 'X-BackendAI-Storage-Auth-Token': storage.secret },
        body: JSON.stringify({ ...folder, relpath }),
      });
    const response = await fetchFile('log');
    expect(response.headers.get('content-type')).toBe('application/octet-stream');
    expect(Buffer.from(await response.arrayBuffer())).toEqual(content);
    expect(await (await fetchFile('empty')).text()).toBe('');
    expect((await fetchFile('none')).status).toBe(404);
    expect((await fetchFile('.')).status).toBe(400);
  });

  test('names that no file can have are told with what the system said', async () => {
    const { path, ...folder } = await newFolder();
    const relpath = 'x'.repeat(300);
    const { status, body } = await ask('POST', '/folder/file/list', { ...folder, relpath });
    expect(status).toBe(400);
    expect(body).toMatchObject({ errno: 36, paths: [] });
    expect(JSON.stringify(body)).not.toContain('/proc/');
    expect(JSON.stringify(body)).not.toContain(path);
  });
});
