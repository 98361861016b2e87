/** Runs: slices, the queue, lost connections, and programs nobody listens to. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { MAX_LINE_BYTES } from '../common/protocol/runner.ts';
import { until } from '../testing/until.ts';
import { startRunner, type TestClient, type TestRunner } from './testing/harness.ts';

const MIB = 1024 * 1024;
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

test('a runaway print loop is held back and costs constant memory', async () => {
  const code = 'import sys\nn = 0\nwhile True:\n    n += 1\n    print("x" * 1000)';
  let slice = await client.execute('runaway', { mode: 'query', code });
  /** Takes that much output. Bytes. */
  const pull = async (bytes: number) => {
    for (let taken = 0; taken < bytes; ) {
      slice = await client.execute('runaway', {});
      for (const [, text] of slice.console) taken += text.length;
    }
  };
  await pull(32 * MIB);
  const before = runner.rssBytes();
  await pull(128 * MIB);
  const growth = runner.rssBytes() - before;
  const { status } = slice;
  await client.call({ op: 'interrupt' });
  const outcome = await client.finish(slice);
  expect(outcome.stderr).toContain('KeyboardInterrupt');
  expect(status).toBe('continued');
  // Far less than what went through; the rest is the garbage collector's leisure.
  expect(growth).toBeLessThan(64 * MIB);
});

test('a program nobody listens to stops when the buffer is full', async () => {
  const marker = join(runner.home, 'progress');
  const code = `
n = 0
while n < 100_000:
    print("x" * 999)
    n += 1
    open(${JSON.stringify(marker)}, "w").write(str(n))`;
  const slice = await client.execute('unheard', { mode: 'query', code, waitMs: 0 });
  const progress = () => Bun.file(marker).text();
  let last = '';
  await until(async () => {
    const now = (await Bun.file(marker).exists()) ? await progress() : '';
    const stopped = now !== '' && now === last;
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 200));
    return stopped;
  }, 'the program stands still');
  expect(Number(last)).toBeLessThan(3000);
  // Interrupted and still not fetched, it ends all the same and makes room for the next run.
  await client.call({ op: 'interrupt' });
  expect((await client.query('next', '1 + 1')).stdout).toBe('2\n');
  const outcome = await client.finish(slice);
  expect(outcome.exitCode).toBe(1);
  expect(outcome.stderr).toContain('not kept');
});

test('runs wait for each other, sixteen at most', async () => {
  const first = await client.execute('q0', { mode: 'query', code: 'input()' });
  expect(first.status).toBe('waiting-input');
  for (let index = 1; index <= 16; index += 1) {
    const slice = await client.execute(`q${index}`, { mode: 'query', code: '1', waitMs: 0 });
    expect(slice.status).toBe('continued');
  }
  const refused = await client.raw({
    op: 'execute',
    request: {
      runId: 'q17',
      mode: 'query',
      code: '1',
      options: {},
      waitMs: 0,
      eager: true,
    },
  });
  expect(refused).toMatchObject({ ok: false, error: { code: 'busy' } });
  await client.finish(await client.execute('q0', { mode: 'input', code: '' }));
  const last = await client.finish(await client.execute('q16', {}));
  expect(last.exitCode).toBe(0);
});

test('unknown and unfinished runs are told apart', async () => {
  expect(client.execute('nobody', {})).rejects.toMatchObject({ code: 'not-found' });
  await client.execute('twice', { mode: 'query', code: 'input()' });
  const again = client.execute('twice', { mode: 'query', code: '1' });
  await expect(again).rejects.toMatchObject({ code: 'bad-request' });
  await client.finish(await client.execute('twice', { mode: 'input', code: '' }));
});

test('a finished run can be asked again', async () => {
  await client.query('ended', '1');
  const slice = await client.execute('ended', {});
  expect(slice).toMatchObject({ status: 'finished', exitCode: 0, console: [] });
});

test('without eager, output is gathered into one slice', async () => {
  const code = 'import time\nfor i in range(5):\n    print(i)\n    time.sleep(0.02)';
  const slice = await client.execute('gather', { mode: 'query', code, eager: false });
  expect(slice.status).toBe('finished');
  expect(slice.console).toEqual([['stdout', '0\n1\n2\n3\n4\n']]);
});

test('runs and their output survive a lost connection', async () => {
  const other = await runner.connect();
  const gate = join(runner.home, 'gate');
  const code = `
import os, time
while not os.path.exists(${JSON.stringify(gate)}): time.sleep(0.01)
print("one")`;
  await other.execute('survivor', { mode: 'query', code, waitMs: 0 });
  const lost = other.execute('survivor', {}).catch(() => 'lost');
  other.close();
  expect(await lost).toBe('lost');
  await Bun.write(gate, '');
  const outcome = await client.finish(await client.execute('survivor', {}));
  expect(outcome.stdout).toBe('one\n');
});

test('bad requests are answered, bad lines end the connection', async () => {
  expect(await client.raw({ op: 'dance' })).toMatchObject({
    ok: false,
    error: { code: 'bad-request' },
  });
  expect(await client.raw({ op: 'read-file', path: 'x' })).toMatchObject({
    ok: false,
    error: { code: 'bad-request' },
  });
  const other = await runner.connect();
  other.writeBytes('x'.repeat(MAX_LINE_BYTES + 2));
  await until(() => other.closed, 'the connection is closed');
  expect((await client.query('still', '1')).stdout).toBe('1\n');
});

test('the socket belongs to its owner only', async () => {
  const { statSync } = await import('node:fs');
  expect(statSync(runner.socketPath).mode & 0o777).toBe(0o600);
});

test('without an interpreter a query ends with 127 and says why', async () => {
  const bare = startRunner({ runtimeType: 'python', env: { PATH: '/nonexistent' } });
  const connection = await bare.connect();
  expect((await connection.call({ op: 'status' })).languages).toEqual([]);
  const outcome = await connection.query('none', '1');
  expect(outcome.exitCode).toBe(127);
  expect(outcome.stderr).toContain('no interpreter');
  connection.close();
  await bare.stop();
});

test('an interpreter that does not start is told, with 127', async () => {
  const broken = startRunner({ runtimeType: 'python', runtimePath: '/bin/ls' });
  const connection = await broken.connect();
  const outcome = await connection.query('broken', '1');
  expect(outcome.exitCode).toBe(127);
  expect(outcome.stderr).toContain('could not be started');
  connection.close();
  await broken.stop();
});

test('shutdown ends the runner and the processes it started', async () => {
  const short = startRunner({ runtimeType: 'python' });
  const connection = await short.connect();
  const outcome = await connection.query('pid', 'import os\nprint(os.getpid())');
  const pid = Number(outcome.stdout);
  expect(await connection.call({ op: 'shutdown' })).toBeNull();
  expect(await short.exited).toBe(0);
  await until(() => !isAlive(pid), 'the Python process is gone');
  await short.stop();
});

test('the bootstrap script runs first, and its failure is logged only', async () => {
  const home = join(runner.home, 'bootstrapped');
  mkdirSync(home);
  const script = join(runner.home, 'bootstrap.sh');
  await Bun.write(script, 'echo prepared > prepared\necho booting\nexit 3\n');
  const booted = startRunner({ runtimeType: 'python', bootstrap: script, home });
  const connection = await booted.connect();
  expect((await connection.query('b', 'open("prepared").read()')).stdout).toBe("'prepared\\n'\n");
  expect(booted.log()).toContain('booting');
  connection.close();
  await booted.stop();
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
