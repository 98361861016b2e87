/** `vfolder upload` and `download` after an earlier run was killed, on a real manager and storage proxy. */
import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from 'bun:test';
import { randomBytes } from 'node:crypto';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { systemClock } from '../../common/clock.ts';
import { HOST, type TestFolders, testFolders } from '../../testing/folders.ts';
import { until } from '../../testing/until.ts';
import { runCommand } from '../testing/program.ts';

setDefaultTimeout(60_000);

const PROGRAM = join(import.meta.dir, '../../../bin/backend.ai.ts');
const here = mkdtempSync(join(tmpdir(), 'cli-resume-'));
const source = join(here, 'big');
const target = join(here, 'down', 'big');
const states = join(here, 'state', 'backend.ai', 'unfinished');
/** Parts that the network lets through before it falls silent. */
const PARTS = 3;
const PART_BYTES = 1024 ** 2;

let t: TestFolders;
let env: Record<string, string> = {};
beforeAll(async () => {
  t = await testFolders();
  const { accessKey, secretKey } = t.people.user;
  env = {
    BACKEND_ENDPOINT: t.url,
    BACKEND_ACCESS_KEY: accessKey,
    BACKEND_SECRET_KEY: secretKey,
    XDG_STATE_HOME: join(here, 'state'),
  };
  await runCommand(['vfolder', 'create', 'data', HOST], { env, cwd: here });
});
afterAll(async () => {
  await t.close();
  rmSync(here, { recursive: true });
});

const stored = () => readdirSync(t.storage.volumePath, { recursive: true }).map(String);
const staged = () => stored().filter((path) => path.includes('.upload/'));
const uploadedPath = () => {
  const path = stored().find((name) => name.endsWith('/big')) ?? '';
  return join(t.storage.volumePath, path);
};
const uploaded = () => readFileSync(uploadedPath());
const partials = () => readdirSync(join(here, 'down')).filter((name) => name !== 'big');

type Direction = 'upload' | 'download';
const command = (direction: Direction, clientUrl: string) => [
  ...['vfolder', direction, 'data', 'big', '--chunk-size', '1m'],
  ...['-b', direction === 'upload' ? '.' : 'down'],
  ...['--override-storage-proxy', `${t.storage.clientUrl}/${direction}=${clientUrl}/${direction}`],
];
/** The same command, over a network that lets everything through. */
const again = (direction: Direction, clock = systemClock) =>
  runCommand(command(direction, t.storage.clientUrl), { env, cwd: here, clock });

const GOES_ON = [0, expect.stringContaining('Going on with')];
const BEGINS_ANEW = [0, expect.not.stringContaining('Going on with')];

interface PoorNetwork {
  readonly url: string;
  close(): Promise<void>;
}

/** Lets some parts of an upload through, and tells when it has fallen silent. */
function poorUpload(fallSilent: () => void): PoorNetwork {
  let parts = 0;
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      if (request.method === 'PATCH' && ++parts > PARTS) {
        fallSilent();
        return await new Promise<Response>(() => {});
      }
      const { pathname, search } = new URL(request.url);
      const { method, headers } = request;
      const body = method === 'PATCH' ? await request.arrayBuffer() : null;
      return await fetch(`${t.storage.clientUrl}${pathname}${search}`, { method, headers, body });
    },
  });
  return { url: server.url.origin, close: () => server.stop(true) };
}

/** As `poorUpload`, for what comes down. */
async function poorDownload(fallSilent: () => void): Promise<PoorNetwork> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((near) => {
    const far = net.connect(Number(new URL(t.storage.clientUrl).port), '127.0.0.1');
    for (const socket of [near, far]) sockets.add(socket.on('error', () => {}));
    let left = PARTS * PART_BYTES;
    far.on('data', (chunk) => {
      if (left > 0) near.write(chunk);
      left -= chunk.length;
      if (left <= 0) fallSilent();
    });
    near.pipe(far);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = v.parse(v.object({ port: v.number() }), server.address());
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Runs the command in a process of its own, and kills that in the middle of the file. */
async function killed(direction: Direction): Promise<void> {
  const { promise: silence, resolve: fallSilent } = Promise.withResolvers<void>();
  const network = await (direction === 'upload' ? poorUpload : poorDownload)(fallSilent);
  try {
    const child = Bun.spawn([process.execPath, PROGRAM, ...command(direction, network.url)], {
      env: { ...process.env, ...env },
      cwd: here,
      stdout: 'ignore',
      stderr: 'pipe',
    });
    const ended = child.exited.then(async (code) => {
      throw new Error(`it ended with ${code}: ${await new Response(child.stderr).text()}`);
    });
    await Promise.race([silence, ended]);
    if (direction === 'download') {
      await until(() => {
        const [name] = partials();
        return name !== undefined && statSync(join(here, 'down', name)).size >= PART_BYTES;
      }, 'the beginning is written');
    }
    ended.catch(() => {});
    child.kill('SIGKILL');
    await child.exited;
  } finally {
    await network.close();
  }
  expect(readdirSync(states)).toHaveLength(1);
}

async function killedUpload(): Promise<void> {
  for (const path of staged()) rmSync(join(t.storage.volumePath, path));
  await killed('upload');
  expect(staged()).toHaveLength(1);
}

beforeEach(() => {
  for (const path of staged()) rmSync(join(t.storage.volumePath, path));
  for (const path of [states, join(here, 'down')]) rmSync(path, { recursive: true, force: true });
  writeFileSync(source, randomBytes(6 * PART_BYTES));
});

test('a killed upload goes on where it was', async () => {
  await killedUpload();
  const { exitCode, err } = await again('upload');
  expect([exitCode, err]).toEqual(GOES_ON);
  expect(err).toContain('3.0M of 6.0M');
  expect(uploaded().equals(readFileSync(source))).toBe(true);
  // What had arrived is in the file, and not left beside it.
  expect(staged()).toEqual([]);
  expect(readdirSync(states)).toEqual([]);
  expect((await again('upload')).err).not.toContain('Going on with');
});

test('a file that changed is uploaded from its beginning', async () => {
  await killedUpload();
  writeFileSync(source, randomBytes(6 * PART_BYTES));
  const { exitCode, err } = await again('upload');
  expect([exitCode, err]).toEqual(BEGINS_ANEW);
  expect(uploaded().equals(readFileSync(source))).toBe(true);
});

test('a file that changed at its end only, its time kept, too', async () => {
  utimesSync(source, 1_700_000_000, 1_700_000_000);
  await killedUpload();
  const content = readFileSync(source);
  content.writeUInt8(content.readUInt8(content.length - 1) ^ 1, content.length - 1);
  writeFileSync(source, content);
  utimesSync(source, 1_700_000_000, 1_700_000_000);
  const { exitCode, err } = await again('upload');
  expect([exitCode, err]).toEqual(BEGINS_ANEW);
  expect(uploaded().equals(content)).toBe(true);
});

test('what the server forgot begins again, and so does what it will not take any more', async () => {
  await killedUpload();
  for (const path of staged()) rmSync(join(t.storage.volumePath, path));
  expect((await again('upload')).exitCode).toBe(0);
  expect(uploaded().equals(readFileSync(source))).toBe(true);
  await killedUpload();
  const later = new Date(Date.now() + 25 * 3_600_000);
  const { exitCode, err } = await again('upload', { ...systemClock, now: () => later });
  expect([exitCode, err]).toEqual(BEGINS_ANEW);
  expect(uploaded().equals(readFileSync(source))).toBe(true);
  expect(readdirSync(states)).toEqual([]);
});

const stateFile = v.looseObject({ ticket: v.object({ url: v.string(), token: v.string() }) });

/** Changes what is remembered of the one upload. */
function remembered(change: (state: v.InferOutput<typeof stateFile>) => object): void {
  const [name = ''] = readdirSync(states);
  const path = join(states, name);
  const state = v.parse(stateFile, JSON.parse(readFileSync(path, 'utf8')));
  writeFileSync(path, JSON.stringify({ ...state, ...change(state) }));
}

test('a storage proxy that moved, or has another secret, begins a new upload', async () => {
  await killedUpload();
  // Nothing listens at port 1.
  remembered(({ ticket }) => ({ ticket: { ...ticket, url: 'http://127.0.0.1:1/upload' } }));
  const plain = ['vfolder', 'upload', 'data', 'big'];
  const moved = await runCommand(plain, { env, cwd: here });
  expect([moved.exitCode, moved.err]).toEqual(BEGINS_ANEW);
  expect(uploaded().equals(readFileSync(source))).toBe(true);
  writeFileSync(source, randomBytes(6 * PART_BYTES));
  await killedUpload();
  remembered(({ ticket }) => ({
    ticket: { ...ticket, token: `${ticket.token.slice(0, -4)}AAAA` },
  }));
  const other = await runCommand(plain, { env, cwd: here });
  expect([other.exitCode, other.err]).toEqual(BEGINS_ANEW);
  expect(uploaded().equals(readFileSync(source))).toBe(true);
});

test('uploads of other programs and other accounts are left alone', async () => {
  await killedUpload();
  remembered(() => ({ pid: process.ppid }));
  const meanwhile = await again('upload');
  expect([meanwhile.exitCode, meanwhile.err]).toEqual(BEGINS_ANEW);
  await killedUpload();
  const { accessKey, secretKey } = t.people.superadmin;
  const other = { ...env, BACKEND_ACCESS_KEY: accessKey, BACKEND_SECRET_KEY: secretKey };
  const shown = await runCommand(['--output', 'json', 'vfolder', 'info', 'data'], { env });
  const info = v.object({ items: v.tuple([v.object({ id: v.string() })]) });
  const [{ id: folderId }] = v.parse(info, JSON.parse(shown.out)).items;
  const theirs = await runCommand(['vfolder', 'upload', folderId, 'big'], {
    env: other,
    cwd: here,
  });
  expect([theirs.exitCode, theirs.err]).toEqual(BEGINS_ANEW);
  expect((await again('upload')).err).toContain('Going on with');
});

test('a killed download goes on where it was, and shows nothing before it is whole', async () => {
  await again('upload');
  await killed('download');
  expect(partials()).toHaveLength(1);
  expect(await Bun.file(target).exists()).toBe(false);
  const { exitCode, err } = await again('download');
  expect([exitCode, err]).toEqual(GOES_ON);
  expect(readFileSync(target).equals(readFileSync(source))).toBe(true);
  expect([partials(), readdirSync(states)]).toEqual([[], []]);
});

test('a file that changed in the folder is downloaded from its beginning', async () => {
  await again('upload');
  await killed('download');
  writeFileSync(uploadedPath(), randomBytes(6 * PART_BYTES));
  const { exitCode, err } = await again('download');
  expect([exitCode, err]).toEqual(BEGINS_ANEW);
  expect(readFileSync(target).equals(uploaded())).toBe(true);
  expect([partials(), readdirSync(states)]).toEqual([[], []]);
});

test('the beginning of a download that nobody went on with is deleted in time', async () => {
  await again('upload');
  await killed('download');
  const later = new Date(Date.now() + 8 * 24 * 3_600_000);
  const { exitCode, err } = await again('download', { ...systemClock, now: () => later });
  expect([exitCode, err]).toEqual(BEGINS_ANEW);
  expect([partials(), readdirSync(states)]).toEqual([[], []]);
});

test('a file that becomes shorter while it is uploaded is uploaded once more, as it is then', async () => {
  writeFileSync(source, randomBytes(4 * PART_BYTES));
  let parts = 0;
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const { method, headers } = request;
      const body = method === 'PATCH' ? await request.arrayBuffer() : null;
      if (method === 'PATCH' && ++parts === 2) truncateSync(source, PART_BYTES + 1);
      return await fetch(`${t.storage.clientUrl}${pathname}${search}`, { method, headers, body });
    },
  });
  try {
    const told = await runCommand(command('upload', server.url.origin), { env, cwd: here });
    expect([told.exitCode, told.err]).toEqual([0, expect.stringContaining('once more')]);
  } finally {
    await server.stop(true);
  }
  expect(uploaded().equals(readFileSync(source))).toBe(true);
  expect(uploaded()).toHaveLength(PART_BYTES + 1);
});
