/** A storage proxy that is killed in the middle of everything, again and again. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Upload } from 'tus-js-client';
import * as v from 'valibot';
import { freePort } from '../testing/services.ts';
import { until } from '../testing/until.ts';

const PROGRAM = join(import.meta.dir, '../../bin/backend.ai.ts');
const TIMEOUT_MS = 240_000;
const SCOPE = 'user:11111111-2222-3333-4444-555555555555';
const UPLOADS = 20;
const UPLOAD_BYTES = 3_000_000;
const FOLDERS = 5;
const FILES = 400;
const KILLS = 4;

const folder = mkdtempSync(join(tmpdir(), 'bai-storage-kill-'));
const volume = join(folder, 'volume');
let managerUrl = '';
let clientUrl = '';
let proxy: Bun.Subprocess | null = null;

beforeAll(async () => {
  mkdirSync(volume);
  const [client, manager] = [await freePort(), await freePort()];
  managerUrl = `http://127.0.0.1:${manager}`;
  clientUrl = `http://127.0.0.1:${client}`;
  writeFileSync(
    join(folder, 'storage-proxy.toml'),
    `[storage-proxy]
node-id = "victim"
secret = "s"
[api.client]
service-addr = "127.0.0.1:${client}"
[api.manager]
service-addr = "127.0.0.1:${manager}"
secret = "m"
[volume.volume1]
backend = "vfs"
path = "volume"
`,
  );
  await start();
}, TIMEOUT_MS);
afterAll(async () => {
  await kill();
  rmSync(folder, { recursive: true, force: true });
}, TIMEOUT_MS);

async function start(): Promise<void> {
  proxy = Bun.spawn([process.execPath, PROGRAM, 'storage', 'start-server'], {
    cwd: folder,
    stdout: 'ignore',
    stderr: Bun.file(join(folder, 'log')),
  });
  await until(
    () =>
      fetch(`${managerUrl}/status`)
        .then(({ ok }) => ok)
        .catch(() => false),
    'the proxy answers',
  );
}

async function kill(): Promise<void> {
  proxy?.kill('SIGKILL');
  await proxy?.exited;
}

async function ask(method: string, path: string, params: Record<string, unknown>) {
  const url = new URL(`${managerUrl}${path}`);
  if (method === 'GET') {
    for (const [key, value] of Object.entries(params)) url.searchParams.set(key, String(value));
  }
  const response = await fetch(url, {
    method,
    headers: { 'X-BackendAI-Storage-Auth-Token': 'm' },
    body: method === 'GET' ? undefined : JSON.stringify(params),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
  return text === '' ? null : JSON.parse(text);
}

const idOf = (n: number): string => n.toString(16).padStart(4, '0').padEnd(32, '0');
const vfidOf = (n: number): string => `${SCOPE}/${idOf(n)}`;
const pathOf = (n: number): string => {
  const hex = idOf(n);
  const scope = SCOPE.slice(5).replaceAll('-', '');
  return join(volume, scope, hex.slice(0, 2), hex.slice(2, 4), hex.slice(4));
};

async function newFolder(n: number): Promise<void> {
  await ask('POST', '/folder/create', { volume: 'volume1', vfid: vfidOf(n) });
}

function fill(path: string): void {
  for (let i = 0; i < FILES; i++) {
    const place = join(path, `d${i % 20}`, 'deep');
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, `f${i}`), `${path} ${i}`);
  }
}

/** Uploads as the WebUI does, and does not give up while the proxy is away. */
async function upload(relpath: string, content: Buffer): Promise<void> {
  const params = { volume: 'volume1', vfid: vfidOf(0), relpath, size: content.length };
  const { token } = v.parse(
    v.object({ token: v.string() }),
    await ask('POST', '/folder/file/upload', params),
  );
  await new Promise<void>((resolve, reject) => {
    new Upload(content, {
      uploadUrl: `${clientUrl}/upload?token=${token}`,
      chunkSize: 300_000,
      retryDelays: Array.from({ length: 200 }, () => 100),
      storeFingerprintForResuming: false,
      onSuccess: () => resolve(),
      onError: reject,
    }).start();
  });
}

/** Of all uploads, finished or not. */
function arrivedBytes(): number {
  let bytes = 0;
  for (const name of ['.upload', 'up']) {
    const place = join(pathOf(0), name);
    if (!existsSync(place)) continue;
    for (const file of readdirSync(place)) {
      bytes += statSync(join(place, file), { throwIfNoEntry: false })?.size ?? 0;
    }
  }
  return bytes;
}

const task = v.object({ bgtask_id: v.string() });
const state = v.object({ status: v.string(), message: v.string(), version: v.number() });

async function begin(path: string, params: Record<string, unknown>): Promise<string> {
  return v.parse(task, await ask('POST', path, params)).bgtask_id;
}

/** How a task ended, asked for as a manager does that finds the proxy away now and then. */
async function endOf(bgtask_id: string): Promise<string> {
  return await until(
    async () => {
      const answer = await ask('GET', '/task', { bgtask_id }).catch(() => null);
      const { status, message } = v.parse(v.nullable(state), answer) ?? {
        status: 'started',
        message: '',
      };
      return status === 'started' ? null : `${status} ${message}`.trim();
    },
    `the task ${bgtask_id} ended`,
    60_000,
  );
}

test(
  'loses nothing: uploads end whole, clones are complete, what was to be deleted is gone',
  async () => {
    await newFolder(0);
    for (let n = 1; n <= 2 * FOLDERS; n++) {
      await newFolder(n);
      fill(pathOf(n));
    }
    const contents = Array.from({ length: UPLOADS }, () => randomBytes(UPLOAD_BYTES));
    const uploads = contents.map((content, i) => upload(`up/${i}`, content));
    const clones: string[] = [];
    const deletions: string[] = [];
    for (let n = 1; n <= FOLDERS; n++) {
      const clone = { src_volume: 'volume1', src_vfid: vfidOf(n), dst_vfid: vfidOf(100 + n) };
      clones.push(await begin('/folder/clone', { ...clone, dst_volume: null }));
      const doomed = { volume: 'volume1', vfid: vfidOf(FOLDERS + n) };
      deletions.push(await begin('/folder/delete', doomed));
    }
    for (let i = 0; i < KILLS; i++) {
      const enough = ((i + 1) * UPLOADS * UPLOAD_BYTES) / (KILLS + 2);
      await until(() => arrivedBytes() > enough, `${enough} bytes have arrived`, 60_000);
      await kill();
      await start();
    }
    await Promise.all(uploads);
    for (const [i, content] of contents.entries()) {
      expect(readFileSync(join(pathOf(0), 'up', `${i}`)).equals(content)).toBe(true);
    }
    expect(readdirSync(pathOf(0))).toEqual(['up']);

    expect(await Promise.all(clones.map(endOf))).toEqual(clones.map(() => 'done'));
    for (let n = 1; n <= FOLDERS; n++) {
      const [source, copy] = [pathOf(n), pathOf(100 + n)];
      expect(Bun.spawnSync(['diff', '-r', source, copy]).stdout.toString()).toBe('');
    }
    expect(await Promise.all(deletions.map(endOf))).toEqual(deletions.map(() => 'done'));
    for (let n = FOLDERS + 1; n <= 2 * FOLDERS; n++) expect(existsSync(pathOf(n))).toBe(false);
    await until(
      () => readdirSync(join(volume, '.backend.ai/trash')).length === 0,
      'the trash is empty',
    );
    const scope = readdirSync(join(volume, SCOPE.slice(5).replaceAll('-', '')));
    expect(scope.filter((name) => name.startsWith('.'))).toEqual([]);
  },
  TIMEOUT_MS,
);
