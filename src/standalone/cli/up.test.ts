/** `up` and `down` as processes that get in each other's way. */
import { afterAll, expect, test } from 'bun:test';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import * as v from 'valibot';

const PROGRAM = resolve(import.meta.dir, '../../../bin/backend.ai.ts');
const TIMEOUT_MS = 120_000;
const folder = mkdtempSync(join(tmpdir(), 'bai-up-'));
// Else PostgreSQL's account could not enter it, and its files would lie elsewhere and stay.
chmodSync(folder, 0o755);
afterAll(async () => {
  await cli('down');
  rmSync(folder, { recursive: true });
}, TIMEOUT_MS);

async function cli(...argv: string[]) {
  const child = Bun.spawn([process.execPath, PROGRAM, '--output', 'json', ...argv], {
    cwd: folder,
    env: { HOME: folder, BACKEND_DATA_DIR: join(folder, 'data'), PATH: process.env.PATH ?? '' },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
  const [out, err, exitCode] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    child.exited,
  ]);
  return { exitCode, out, err };
}

const up = () => cli('up', '--detach', '--backend', 'dummy');
const pidOf = (out: string) => v.parse(v.object({ pid: v.number() }), JSON.parse(out)).pid;

test(
  'several that start it at once get the same cluster; a start in the middle of a stop succeeds',
  async () => {
    const started = await Promise.all([up(), up(), up()]);
    expect(started.map(({ exitCode, err }) => ({ exitCode, err }))).toEqual(
      started.map(({ err }) => ({ exitCode: 0, err })),
    );
    expect(new Set(started.map(({ out }) => pidOf(out))).size).toBe(1);

    const [stopped, again] = await Promise.all([cli('down'), up()]);
    expect(stopped.exitCode).toBe(0);
    expect(again.exitCode).toBe(0);
  },
  TIMEOUT_MS,
);

test(
  'a relative data folder is that of the shell, not of the background process',
  async () => {
    const place = ['--env-id', 'beside', '--data-dir', 'relative/place'];
    const started = await cli('up', '--detach', '--backend', 'dummy', ...place);
    expect(started).toMatchObject({ exitCode: 0 });
    expect(existsSync(join(folder, 'relative/place/beside/cluster.json'))).toBe(true);
    expect((await cli('down', ...place)).exitCode).toBe(0);
  },
  TIMEOUT_MS,
);

test(
  'folders are kept below the data folder, from run to run',
  async () => {
    const place = ['--env-id', 'folders'];
    const below = join(folder, 'data', 'folders');
    const read = (name: string): unknown => JSON.parse(readFileSync(join(below, name), 'utf8'));
    const ask = async (method: string, path: string, params: Record<string, string>) => {
      const { manager } = v.parse(v.object({ manager: v.string() }), read('storage-secrets.json'));
      const port = v.parse(v.object({ storageManagerPort: v.number() }), read('ports.json'));
      const url = new URL(`http://127.0.0.1:${port.storageManagerPort}${path}`);
      if (method === 'GET') url.search = String(new URLSearchParams(params));
      const headers = { 'X-BackendAI-Storage-Auth-Token': manager };
      const body = method === 'GET' ? undefined : JSON.stringify(params);
      return await fetch(url, { method, headers, body });
    };
    const params = {
      volume: 'volume1',
      vfid: `user:${crypto.randomUUID()}/${crypto.randomUUID().replaceAll('-', '')}`,
    };
    expect(await cli('up', '--detach', '--backend', 'dummy', ...place)).toMatchObject({
      exitCode: 0,
    });
    expect((await ask('POST', '/folder/create', params)).status).toBe(204);
    await cli('down', ...place);
    expect(await cli('up', '--detach', '--backend', 'dummy', ...place)).toMatchObject({
      exitCode: 0,
    });
    const mount = await (await ask('GET', '/folder/mount', params)).json();
    const { path } = v.parse(v.object({ path: v.string() }), mount);
    expect(path).toStartWith(join(below, 'storage/volume1'));
    expect(existsSync(path)).toBe(true);
    await cli('down', ...place);
  },
  TIMEOUT_MS,
);
