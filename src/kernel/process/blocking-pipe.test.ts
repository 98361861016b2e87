/** Output of programs that hold their pipe's lock, and of those left in the background. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../../testing/until.ts';
import { startRunner, type TestClient, type TestRunner } from '../testing/harness.ts';

let runner: TestRunner;
let client: TestClient;

beforeAll(async () => {
  runner = startRunner({ runtimeType: 'python' });
  client = await runner.connect();
});
afterAll(async () => {
  client.close();
  await runner.stop();
});

const pipesOf = (pid: number) =>
  readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('pipe:');
    } catch {
      return false;
    }
  }).length;

/** Prints when it may, then splices from a socket that stays silent into its own output. */
const SPLICES = `
import ctypes, os, socket, time
mine, other = socket.socketpair()
splice = ctypes.CDLL(None).splice
open('pid', 'w').write(str(os.getpid()) + ';')
while not os.path.exists('go'): time.sleep(0.01)
print('begun', flush=True)
open('splicing', 'w').close()
splice(mine.fileno(), None, 1, None, 65536, 0)
`;

const sleeps = (pid: string) =>
  readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0] === 'S';

test('a program that splices from a silent source does not stop the runner', async () => {
  const inHome = (name: string) => join(runner.home, name);
  writeFileSync(inHome('splices.py'), SPLICES);
  const options = { exec: 'exec python3 splices.py' };
  const first = client.execute('splicing', { mode: 'batch', options });
  const pid = await until(async () => {
    const text = await Bun.file(inHome('pid'))
      .text()
      .catch(() => '');
    return text.endsWith(';') ? text.slice(0, -1) : null;
  }, 'the program runs');
  // So that what it prints waits in the pipe by the time that it holds the lock.
  process.kill(runner.pid, 'SIGSTOP');
  writeFileSync(inHome('go'), '');
  try {
    await until(() => existsSync(inHome('splicing')) && sleeps(pid), 'it sleeps in its call');
  } finally {
    process.kill(runner.pid, 'SIGCONT');
  }
  expect(await client.call({ op: 'status' })).toMatchObject({ languages: expect.anything() });
  await client.call({ op: 'interrupt' });
  const outcome = await client.finish(await first);
  expect(outcome.last.status).toBe('finished');
  expect(outcome.stdout).toBe('begun\n');
}, 30_000);

test('children left in the background hold no pipe of the runner', async () => {
  const before = pipesOf(runner.pid);
  const left: number[] = [];
  for (let run = 0; run < 5; run += 1) {
    const options = { exec: 'sleep 1000 & echo $!' };
    const first = await client.execute(`left-${run}`, { mode: 'batch', options });
    left.push(Number((await client.finish(first)).stdout));
  }
  try {
    await until(() => pipesOf(runner.pid) <= before, 'the pipes are closed');
    expect(left).toHaveLength(5);
  } finally {
    // Only a container or namespace ends with its runner; here nothing does.
    for (const pid of left) process.kill(pid, 'SIGKILL');
  }
});

test('a program opens its output once more by its name', async () => {
  const options = { exec: 'echo one > /dev/stdout; echo two > /dev/stderr' };
  const outcome = await client.finish(await client.execute('reopened', { mode: 'batch', options }));
  expect([outcome.stdout, outcome.stderr]).toEqual(['one\n', 'two\n']);
});
