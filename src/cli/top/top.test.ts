/** `backend.ai top` on a cluster of this machine, in pipes and in a real terminal of 80 by 24. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { selfCommand } from '../../common/executable.ts';
import { clusterFolder, findLocalCluster } from '../../common/local-cluster.ts';
import { isProcessAlive } from '../../common/processes.ts';
import { atTerminal, KEYS } from '../../testing/terminal.ts';
import { until } from '../../testing/until.ts';

setDefaultTimeout(120_000);

const CAN_RUN =
  process.env.CI === 'true' ||
  (process.platform === 'linux' && Bun.which('python3') !== null && process.getuid?.() === 0);
if (!CAN_RUN) console.warn('skipped: sessions as processes need Linux, root and python3');
const check = test.skipIf(!CAN_RUN);

const home = mkdtempSync(join(tmpdir(), 'cli-top-'));
// Else PostgreSQL's account could not enter it.
chmodSync(home, 0o755);
const env: Record<string, string> = {
  HOME: home,
  BACKEND_DATA_DIR: join(home, 'data'),
  PATH: process.env.PATH ?? '',
  TERM: 'xterm-256color',
  LANG: 'C.UTF-8',
};
const options = { env, cwd: home, stdin: 'ignore' } as const;

async function run(...argv: string[]): Promise<string> {
  const child = Bun.spawn([...selfCommand(), ...argv], { ...options, stderr: 'ignore' });
  const output = await text(child.stdout);
  expect(await child.exited).toBe(0);
  return output;
}

beforeAll(async () => {
  if (!CAN_RUN) return;
  await run('run', '-t', 'works', 'python', '-c', 'print("hello world")');
  // One of the cores is taken.
  const all = ['-r', `cpu=${availableParallelism()}`, '--enqueue-only'];
  await run('session', 'create', '-t', 'waits', ...all, 'python');
});
afterAll(async () => {
  const cluster = findLocalCluster(clusterFolder(env));
  if (cluster !== null) {
    await run('down', '--sessions');
    await until(() => !isProcessAlive(cluster.pid), 'the cluster has ended');
  }
  rmSync(home, { recursive: true, force: true });
});

check('in a pipe it prints what there is now', async () => {
  const printed = await run('top');
  expect(printed).toContain('1 node · 1 session · 1 waiting · cpu 1/');
  expect(printed).toMatch(/^works +\S+ +RUNNING +cpu 1 /m);
  expect(printed).toMatch(/^1\/1 +waits .* lacks 1 of cpu$/m);
  expect(printed).not.toContain('\u001b');
});

check('a terminal that cannot draw gets what there is now', async () => {
  let output = '';
  const decoder = new TextDecoder();
  const child = Bun.spawn([...selfCommand(), 'top'], {
    env: { ...env, TERM: 'dumb' },
    cwd: home,
    terminal: {
      data(_terminal, data) {
        output += decoder.decode(data, { stream: true });
      },
    },
  });
  expect(await child.exited).toBe(0);
  expect(output).toContain('WHY IT WAITS');
  expect(output).not.toContain('\u001b');
});

check('for programs it is JSON', async () => {
  const found = JSON.parse(await run('--output', 'json', 'top'));
  expect(found).toMatchObject({
    nodes: [{ status: 'ALIVE', is_schedulable: true }],
    session_count: 1,
    sessions: [{ name: 'works', status: 'RUNNING' }],
    waiting: [{ name: 'waits', position: 1 }],
  });
});

check('at a terminal it is drawn again and again, answers keys, and leaves no trace', async () => {
  const { child, sees, press, written } = atTerminal(['top', '-d', '0.5s'], { cwd: home, env });
  await sees('WHY IT WAITS');
  await sees('❯ works');
  // The part after the sessions, and all of its first row, over a line that sends both at once.
  press(`\t${KEYS.enter}`);
  await sees('Why it waits: lacks 1 of cpu');
  press(KEYS.escape);
  await sees('? keys');
  press('/');
  await sees('Only rows with: █');
  press('nothing has this');
  await sees('Nothing of it matches.');
  press(KEYS.enter);
  await sees('only "nothing has this", esc all');
  press(KEYS.escape);
  await sees('? keys');
  press('s');
  await sees('by processors wanted');
  press('p');
  await sees('PAUSED');
  press('q');
  expect(await child.exited).toBe(0);
  // The screen that was there before.
  expect(written()).toContain('\u001b[?1049h');
  expect(written()).toContain('\u001b[?1049l');
});
