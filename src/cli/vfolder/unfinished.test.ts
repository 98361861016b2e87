/** What is remembered of transfers that were begun, and for whom, and when it is forgotten. */
import { afterAll, beforeEach, expect, test } from 'bun:test';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, readClientConfig } from '../../client/index.ts';
import { systemClock } from '../../common/clock.ts';
import { capturedIo } from '../testing/io.ts';
import { Unfinished } from './unfinished.ts';

const HOUR_MS = 3_600_000;
const home = mkdtempSync(join(tmpdir(), 'unfinished-'));
const folder = join(home, 'backend.ai', 'unfinished');
let nowMs = 0;
afterAll(() => rmSync(home, { recursive: true }));
beforeEach(() => {
  nowMs = Date.UTC(2026, 0, 1);
  rmSync(folder, { recursive: true, force: true });
});

/** The id of a process that has ended. */
const GONE = Bun.spawnSync(['true']).pid;

function of(accessKey: string, endpoint = 'http://one'): Unfinished {
  const config = readClientConfig({
    BACKEND_ENDPOINT: endpoint,
    BACKEND_ACCESS_KEY: accessKey,
    BACKEND_SECRET_KEY: 'x',
  });
  const clock = { ...systemClock, now: () => new Date(nowMs) };
  return new Unfinished(new Client(config), capturedIo({ env: { XDG_STATE_HOME: home }, clock }));
}

const key = { local: '/a/b', folderId: 'f', path: 'b' };
const version = { size: 1, modifiedMs: 2, changedMs: 3, head: 'h' };
const upload = { ticket: { url: 'http://proxy/upload', token: 'opaque' }, version };

/** Makes this program's transfers those of one that was killed. */
async function orphan(): Promise<void> {
  for (const name of readdirSync(folder)) {
    const state = await Bun.file(join(folder, name)).json();
    writeFileSync(join(folder, name), JSON.stringify({ ...state, pid: GONE }));
  }
}

test('an upload is gone on with by the same account at the same server only', async () => {
  of('me').rememberUpload(key, upload, HOUR_MS);
  expect(of('me').upload(key)).toBeNull();
  await orphan();
  expect(of('me').upload(key)).toMatchObject(upload);
  expect(of('other').upload(key)).toBeNull();
  expect(of('me', 'http://two').upload(key)).toBeNull();
  expect(of('me').download(key)).toBeNull();
  for (const other of [{ local: '/x' }, { folderId: 'x' }, { path: 'x' }]) {
    expect(of('me').upload({ ...key, ...other })).toBeNull();
  }
  of('me').forgetUpload(key);
  expect(of('me').upload(key)).toBeNull();
});

test('it is as long as its ticket says, else as long as it was told', async () => {
  const claims = Buffer.from(JSON.stringify({ exp: nowMs / 1000 + 7200 })).toString('base64url');
  of('me').rememberUpload(key, upload, HOUR_MS);
  const told = { ...key, path: 'told' };
  const ticket = { ...upload.ticket, token: `x.${claims}.y` };
  of('me').rememberUpload(told, { version, ticket }, HOUR_MS);
  await orphan();
  nowMs += 1.5 * HOUR_MS;
  expect(of('me').upload(key)).toBeNull();
  expect(of('me').upload(told)).not.toBeNull();
  of('me').forgetExpired();
  expect(readdirSync(folder)).toHaveLength(1);
  nowMs += HOUR_MS;
  of('me').forgetExpired();
  expect(readdirSync(folder)).toEqual([]);
});

test('what is forgotten takes its beginning along; what a program is at stays', async () => {
  const partial = join(home, 'partial');
  writeFileSync(partial, 'x');
  of('me').rememberDownload(key, { partial, version: '"1"' }, HOUR_MS);
  nowMs += 2 * HOUR_MS;
  of('me').forgetExpired();
  expect(existsSync(partial)).toBe(true);
  await orphan();
  of('me').forgetExpired();
  expect([existsSync(partial), readdirSync(folder)]).toEqual([false, []]);
});

test('files that are damaged or half written are cleared away, unless they are being written', () => {
  mkdirSync(folder, { recursive: true });
  for (const name of ['bad.json', `x.json.${GONE}`, `x.json.${process.ppid}`]) {
    writeFileSync(join(folder, name), '{');
  }
  of('me').forgetExpired();
  expect(readdirSync(folder)).toEqual([`x.json.${process.ppid}`]);
});

test('a program of the same id, as in another container, goes on with what the one before began', async () => {
  of('me').rememberUpload(key, upload, HOUR_MS);
  const [name = ''] = readdirSync(folder);
  const state = await Bun.file(join(folder, name)).text();
  of('me').forgetUpload(key);
  writeFileSync(join(folder, name), state);
  expect(of('me').upload(key)).toMatchObject(upload);
});
