/** `up` and `down` as processes that get in each other's way. */
import { afterAll, expect, test } from 'bun:test';
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
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
