import { expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runnerEnvironment } from '../../common/protocol/runner.ts';
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
    const zombies = async () => {
      const slice = await shell("cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z 1 '; true");
      const outcome = await client.finish(slice);
      return Number(outcome.stdout);
    };
    await client.finish(await shell('(sleep 0.1 &) ; sleep 0.4'));
    expect(await zombies()).toBe(1);
    while ((await zombies()) > 0) await Bun.sleep(100);
    client.close();
    // unshare itself ignores SIGTERM; with --kill-child its death is that of the runner.
    runner.kill('SIGKILL');
    await runner.exited;
    rmSync(home, { recursive: true, force: true });
  },
  20_000,
);
