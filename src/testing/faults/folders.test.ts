/**
 * `kill -9` of manager and storage proxy, and a disk that fills up, in the middle of 20 uploads, 5 copies
 * and 5 deletions of folders: nothing is lost or damaged, and all of it goes on or ends with a reason.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ApiError, ConnectionError } from '../../client/errors.ts';
import { HOST_PERMISSIONS } from '../../manager/db/json.ts';
import { freePort, missingTool, requireOrSkip } from '../services.ts';
import { until } from '../until.ts';
import { type DistributedCluster, startDistributedCluster } from './distributed.ts';
import { mustRun, Program } from './programs.ts';

const UPLOADS = 20;
const UPLOAD_BYTES = 2_000_000;
const FOLDERS = 5;
const FILES = 300;
const DISK_BYTES = 192 * 1024 ** 2;
const HOST = 'local:volume1';
const TEST_TIMEOUT_MS = 240_000;
const DEADLINE_MS = 60_000;
const MANAGER_SECRET = 'managers know it';

const isReady =
  requireOrSkip(missingTool('etcd', 'etcd-server')) &&
  requireOrSkip(missingTool('redis-server', 'redis-server')) &&
  requireOrSkip(process.getuid?.() === 0 ? null : 'a small disk can only be mounted by root');

let cluster: DistributedCluster;
let home: string;
let disk: string;
let proxy: Program;

beforeAll(async () => {
  if (!isReady) return;
  cluster = await startDistributedCluster({ agents: [] });
  home = join(cluster.folder, 'storage');
  disk = join(home, 'disk');
  mkdirSync(disk, { recursive: true });
  const size = `size=${DISK_BYTES}`;
  const mounted = Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', size, 'tmpfs', disk]);
  if (mounted.exitCode !== 0) throw new Error(`no disk: ${mounted.stderr.toString()}`);
  await startProxy();
  await introduceProxy();
}, TEST_TIMEOUT_MS);
afterAll(async () => {
  if (!isReady) return;
  await proxy?.stop();
  if (disk) Bun.spawnSync(['umount', '-l', disk]);
  await cluster?.stop();
}, TEST_TIMEOUT_MS);

async function startProxy(): Promise<void> {
  const [client, manager] = [await freePort(), await freePort()];
  writeFileSync(
    join(home, 'storage-proxy.toml'),
    `[storage-proxy]
node-id = "victim"
secret = "clients never see it"
[api.client]
service-addr = "127.0.0.1:${client}"
[api.manager]
service-addr = "127.0.0.1:${manager}"
secret = "${MANAGER_SECRET}"
[volume.volume1]
backend = "vfs"
path = "${disk}"
`,
    { mode: 0o600 },
  );
  const volumes = {
    _types: { user: '' },
    default_host: HOST,
    proxies: {
      local: {
        client_api: `http://127.0.0.1:${client}`,
        manager_api: `http://127.0.0.1:${manager}`,
        secret: MANAGER_SECRET,
      },
    },
  };
  writeFileSync(join(home, 'volumes.json'), JSON.stringify(volumes));
  startServer();
}

function startServer(): void {
  proxy = new Program(['storage', 'start-server'], { cwd: home });
}

async function introduceProxy(): Promise<void> {
  const cwd = cluster.folderOf('manager');
  await mustRun(['mgr', 'etcd', 'put-json', 'volumes', join(home, 'volumes.json')], { cwd });
  const hosts = JSON.stringify({ [HOST]: HOST_PERMISSIONS });
  await cluster.sql`UPDATE domains SET allowed_vfolder_hosts = ${hosts}::text::jsonb`;
  await patiently(() => cluster.client.folder.hosts());
}

async function killProxy(): Promise<void> {
  await proxy.kill();
  startServer();
}

/** Repeats a request as a patient client does while parts are away. */
async function patiently<T>(request: () => Promise<T>): Promise<T> {
  const endMs = performance.now() + DEADLINE_MS;
  for (;;) {
    try {
      return await request();
    } catch (error) {
      const passes =
        error instanceof ConnectionError || (error instanceof ApiError && error.status >= 500);
      if (!passes || performance.now() > endMs) throw error;
      await Bun.sleep(100);
    }
  }
}

interface Row {
  id: string;
  status: string;
  quota_scope_id: string;
}
async function rowOf(name: string): Promise<Row | null> {
  const [row] = await cluster.sql<Row[]>`
    SELECT id, status, quota_scope_id FROM vfolders WHERE name = ${name}
     ORDER BY created_at DESC LIMIT 1`;
  return row ?? null;
}

function pathOf({ id, quota_scope_id }: Row): string {
  const hex = id.replaceAll('-', '');
  const scope = quota_scope_id.replace(/^\w+:/, '').replaceAll('-', '');
  return join(disk, scope, hex.slice(0, 2), hex.slice(2, 4), hex.slice(4));
}

async function newFolder(name: string): Promise<Row> {
  const { folder } = cluster.client;
  await patiently(() =>
    folder.create({
      ...{ name, host: HOST },
      ...{ usageMode: 'general', permission: 'rw', cloneable: true },
    }),
  );
  const row = await rowOf(name);
  if (row === null) throw new Error(`${name} is not there`);
  return row;
}

/** About 3 MB, in 300 files. */
async function filledFolder(name: string): Promise<Row> {
  const row = await newFolder(name);
  const path = pathOf(row);
  for (let i = 0; i < FILES; i++) {
    const place = join(path, `d${i % 20}`, 'deep');
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, `f${i}`), Buffer.alloc(10_000, `${name} ${i} `));
  }
  return row;
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

/** An upload that does not give up, however often the proxy is away or says that there is no space. */
async function upload(folderId: string, path: string, content: Buffer): Promise<void> {
  const { folder } = cluster.client;
  const ticket = await patiently(() => folder.uploadTicket(folderId, path, content.length));
  await folder.transfer.upload(ticket, new Blob([Uint8Array.from(content)]), {
    chunkBytes: 200_000,
    maxRetries: 1000,
  });
}

/** Of all uploads, finished or not. */
function arrivedBytes(root: string): number {
  const places = [join(root, '.upload'), join(root, 'up')];
  const files = places.flatMap((place) =>
    existsSync(place) ? readdirSync(place).map((name) => join(place, name)) : [],
  );
  return files.reduce(
    (sum, file) => sum + (statSync(file, { throwIfNoEntry: false })?.size ?? 0),
    0,
  );
}

const freeBytes = (): number => {
  const { bavail, bsize } = statfsSync(disk);
  return bavail * bsize;
};

/** Begins a copy. @returns its background task; null when the answer was lost, and it is there. */
const clone = (source: Row, name: string): Promise<string | null> =>
  patiently(async () => {
    if ((await rowOf(name)) !== null) return null;
    const wishes = { name, host: null, usageMode: 'general', permission: 'rw' };
    return (await cluster.client.folder.clone(source.id, wishes)).bgtask_id;
  });

/** How a background task ended. */
async function endOf(taskId: string | null): Promise<string> {
  if (taskId === null) throw new Error('the answer was lost although nothing was killed');
  let last = '';
  for await (const { state, message } of cluster.client.task.follow(taskId)) {
    last = `${state}: ${message}`;
  }
  return last;
}

/** Begins the deletion for good of a folder; when the answer was lost, it is under way. */
async function destroy({ id }: Row, name: string): Promise<void> {
  const { folder } = cluster.client;
  const is = async (status: string) => (await rowOf(name))?.status === status;
  await patiently(async () => {
    if (await is('ready')) await folder.trash(id);
  });
  await patiently(async () => {
    if (await is('delete-pending')) await folder.deleteForever(id);
  });
}

/** Work that lost its manager is taken up a minute later: that minute passes here. */
const aMinutePasses = () =>
  cluster.sql`UPDATE folder_work SET touched_at = touched_at - interval '2 minutes'`;

async function allWorkEnds(): Promise<void> {
  await aMinutePasses();
  await until(
    async () => {
      const [row] = await cluster.sql<{ left: number }[]>`
        SELECT count(*)::int AS left FROM folder_work`;
      return row?.left === 0;
    },
    'no work on folders is left',
    DEADLINE_MS,
  );
}

/** Nothing but folders is on the disk: no leftovers of uploads, copies and deletions. */
async function expectTidy(root: string): Promise<void> {
  await until(
    () => readdirSync(join(disk, '.backend.ai/trash')).length === 0,
    'the trash is empty',
    DEADLINE_MS,
  );
  expect(readdirSync(root)).toEqual(['up']);
  const scopes = readdirSync(disk).filter((name) => /^[0-9a-f]{32}$/.test(name));
  for (const scope of scopes) {
    expect(readdirSync(join(disk, scope)).filter((name) => name.startsWith('.'))).toEqual([]);
  }
  const [row] = await cluster.sql<{ moving: number }[]>`SELECT count(*)::int AS moving FROM vfolders
    WHERE status NOT IN ('ready', 'delete-complete')`;
  expect(row?.moving).toBe(0);
}

function expectUploaded(root: string, contents: readonly Buffer[]): void {
  for (const [i, content] of contents.entries()) {
    expect(readFileSync(join(root, 'up', `${i}`)).equals(content)).toBe(true);
  }
}

async function expectCopies(round: string, sources: readonly Row[]): Promise<void> {
  for (const [i, source] of sources.entries()) {
    const copy = await rowOf(`${round}-copy-${i}`);
    if (copy === null) throw new Error(`${round}-copy-${i} is not there`);
    expect(copy.status).toBe('ready');
    const { stdout } = Bun.spawnSync(['diff', '-r', pathOf(source), pathOf(copy)]);
    expect(stdout.toString()).toBe('');
  }
}

/** Makes what a round works on. */
async function prepare(round: string) {
  const root = await newFolder(`${round}-files`);
  const sources: Row[] = [];
  const doomed: Row[] = [];
  for (const i of numbers(FOLDERS)) {
    sources.push(await filledFolder(`${round}-source-${i}`));
    doomed.push(await filledFolder(`${round}-doomed-${i}`));
  }
  const contents = numbers(UPLOADS).map(() => randomBytes(UPLOAD_BYTES));
  return { root, sources, doomed, contents };
}

test.skipIf(!isReady)(
  'kills lose nothing: uploads end whole, copies are complete, what was to be deleted is gone',
  async () => {
    const { root, sources, doomed, contents } = await prepare('killed');
    const uploads = contents.map((content, i) => upload(root.id, `up/${i}`, content));
    const begun = [
      ...sources.map((source, i) => clone(source, `killed-copy-${i}`)),
      ...doomed.map((row, i) => destroy(row, `killed-doomed-${i}`)),
    ];
    const kills = [
      () => cluster.killAndRestart('manager'),
      killProxy,
      () => cluster.killAndRestart('manager'),
      killProxy,
    ];
    for (const [i, kill] of kills.entries()) {
      const enough = ((i + 1) * UPLOADS * UPLOAD_BYTES) / (kills.length + 2);
      const place = pathOf(root);
      await until(() => arrivedBytes(place) > enough, `${enough} bytes have arrived`, DEADLINE_MS);
      await kill();
    }
    await Promise.all([...uploads, ...begun]);
    await allWorkEnds();
    expectUploaded(pathOf(root), contents);
    await expectCopies('killed', sources);
    for (const row of doomed) expect(existsSync(pathOf(row))).toBe(false);
    await expectTidy(pathOf(root));
  },
  TEST_TIMEOUT_MS,
);

test.skipIf(!isReady)(
  'a full disk damages nothing: uploads wait, copies end with the reason, deletions make room',
  async () => {
    const { root, sources, doomed, contents } = await prepare('full');
    // Room for half of the uploads.
    const filler = join(disk, 'filler');
    writeFileSync(filler, Buffer.alloc(freeBytes() - (UPLOADS * UPLOAD_BYTES) / 2));
    const uploads = contents.map((content, i) => upload(root.id, `up/${i}`, content));
    await until(() => freeBytes() < 100_000, 'the disk is full', DEADLINE_MS);
    const copying = sources.map((source, i) => clone(source, `full-copy-${i}`));
    for (const task of await Promise.all(copying)) {
      expect(await endOf(task)).toMatch(
        /^failed: .*(free on volume1|No space is left on the volume)/,
      );
    }
    for (const [i, { id }] of sources.entries()) {
      expect(await rowOf(`full-copy-${i}`)).toBeNull();
      expect(await cluster.client.folder.info(id)).toMatchObject({ status: 'ready' });
    }
    await cluster.killAndRestart('manager');
    await killProxy();
    await Promise.all(doomed.map((row, i) => destroy(row, `full-doomed-${i}`)));
    await allWorkEnds();
    for (const row of doomed) expect(existsSync(pathOf(row))).toBe(false);
    rmSync(filler);
    await Promise.all(uploads);
    await Promise.all(sources.map((source, i) => clone(source, `full-copy-${i}`)));
    await allWorkEnds();
    expectUploaded(pathOf(root), contents);
    await expectCopies('full', sources);
    await expectTidy(pathOf(root));
  },
  TEST_TIMEOUT_MS,
);
