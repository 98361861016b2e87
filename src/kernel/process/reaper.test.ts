/** Orphans of a session whose runner is process 1. */
import { expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runnerEnvironment } from '../../common/protocol/runner.ts';
import { until } from '../../testing/until.ts';
import { TestClient } from '../testing/harness.ts';

const unshare = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];

function canUnshare(): boolean {
  const works = Bun.which('unshare') && Bun.spawnSync([...unshare, 'true']).exitCode === 0;
  if (!works && process.env.CI === 'true') throw new Error('process namespaces are not available');
  if (!works) console.warn('skipped: process namespaces are not available');
  return Boolean(works);
}

test.if(canUnshare())(
  'as process 1 the runner reaps the children of others',
  async () => {
    const home = mkdtempSync(join(tmpdir(), 'reaper-'));
    const socket = join(home, 's');
    const start = join(import.meta.dir, '../testing/start.ts');
    const runner = Bun.spawn([...unshare, process.execPath, start], {
      stdout: 'ignore',
      stderr: 'ignore',
      env: { PATH: process.env.PATH ?? '', HOME: home, [runnerEnvironment.socket]: socket },
    });
    const client = await TestClient.connect(socket);
    const shell = (command: string) =>
      client.execute(crypto.randomUUID(), { mode: 'batch', options: { exec: command } });
    const output = async (command: string) =>
      (await client.finish(await shell(command))).stdout.trim();
    // Its parent ends first, so that it is left to process 1, where it stays until it is collected.
    const orphan = Number(await output('(sleep 0.1 & echo $!)'));
    expect(orphan).toBeGreaterThan(1);
    await until(
      async () => (await output(`test -e /proc/${orphan} && echo there || echo gone`)) === 'gone',
      'the orphan is collected',
    );
    client.close();
    // unshare itself ignores SIGTERM; with --kill-child its death is that of the runner.
    runner.kill('SIGKILL');
    await runner.exited;
    rmSync(home, { recursive: true, force: true });
  },
  20_000,
);
