/** JavaScript in query mode. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { startRunner, type TestClient, type TestRunner } from '../../testing/harness.ts';

let runner: TestRunner;
let client: TestClient;
let runCount = 0;
let hasNode = false;

function nextId(): string {
  runCount += 1;
  return `js-${runCount}`;
}

const query = (code: string) => client.query(nextId(), code);

beforeAll(async () => {
  hasNode = Bun.which('node') !== null;
  if (!hasNode) {
    if (process.env.CI === 'true') throw new Error('node is not installed');
    console.warn('skipped: node is not installed');
    return;
  }
  runner = startRunner({ runtimeType: 'node' });
  client = await runner.connect();
});

afterAll(async () => {
  if (!hasNode) return;
  client.close();
  await runner.stop();
});

const withNode = test.if(Bun.which('node') !== null || process.env.CI === 'true');

withNode('state is kept and the last expression is shown', async () => {
  const first = await query('const x = 40; console.log("hello"); x + 2');
  expect(first.stdout).toBe('hello\n42\n');
  expect(first.stderr).toBe('');
  expect((await query('_ + x')).stdout).toBe('82\n');
  expect((await query('({ a: [1, { b: 2 }] })')).stdout).toBe('{ a: [ 1, { b: 2 } ] }\n');
  expect((await query('undefined')).records).toEqual([]);
});

withNode('await, require and import work at the top level', async () => {
  expect((await query('const y = await Promise.resolve(7); y')).stdout).toBe('7\n');
  expect((await query('y + 1')).stdout).toBe('8\n');
  expect((await query('require("node:path").posix.sep')).stdout).toBe("'/'\n");
  expect((await query('(await import("node:path")).posix.sep')).stdout).toBe("'/'\n");
});

withNode('errors show the stack of user code only', async () => {
  const outcome = await query('function f() { throw new TypeError("bad"); }\nf()');
  expect(outcome.exitCode).toBe(1);
  expect(outcome.stderr).toContain('TypeError: bad\n    at f (<run ');
  expect(outcome.stderr).not.toContain('node:');
  expect((await query('let q = ;')).stderr).toContain('SyntaxError');
  expect((await query('throw 3')).exitCode).toBe(1);
  const awaited = await query('await Promise.reject(new Error("awaited"))');
  expect(awaited.exitCode).toBe(1);
  expect(awaited.stderr).toContain('Error: awaited');
});

withNode('an error of a callback is shown and ends nothing', async () => {
  const code = 'setTimeout(() => { throw new Error("late") }, 1);';
  const outcome = await query(`${code} await new Promise((done) => setTimeout(done, 50)); 5`);
  expect(outcome.exitCode).toBe(0);
  expect(outcome.stderr).toContain('Error: late');
  expect(outcome.stdout).toBe('5\n');
});

for (const [what, code] of [
  ['computes', 'console.log("go"); while (true) {}'],
  ['awaits', 'console.log("go"); await new Promise(() => {})'],
] as const) {
  withNode(`an interrupt ends code that ${what} and keeps the state`, async () => {
    await query('var kept = 1');
    const first = await client.execute(nextId(), { mode: 'query', code });
    expect(first.console).toEqual([['stdout', 'go\n']]);
    await client.call({ op: 'interrupt' });
    const outcome = await client.finish(first);
    expect(outcome.exitCode).toBe(1);
    expect(outcome.stderr).toBe('Interrupted\n');
    expect((await query('kept')).stdout).toBe('1\n');
  });
}

withNode('an interrupt at the very moment when code begins to await is not lost', async () => {
  for (let turn = 0; turn < 100; turn += 1) {
    const first = await client.execute(nextId(), {
      mode: 'query',
      code: 'console.log("go"); await new Promise(() => {})',
    });
    await client.call({ op: 'interrupt' });
    expect((await client.finish(first)).exitCode).toBe(1);
  }
});

withNode('a runaway print loop is held back and can be interrupted', async () => {
  const code = 'for (;;) console.log("x".repeat(1000))';
  let slice = await client.execute(nextId(), { mode: 'query', code });
  for (let pulls = 0; pulls < 20; pulls += 1) slice = await client.execute(slice.runId, {});
  expect(slice.status).toBe('continued');
  await client.call({ op: 'interrupt' });
  expect((await client.finish(slice)).exitCode).toBe(1);
  expect((await query('1 + 1')).stdout).toBe('2\n');
});

withNode('process.exit ends the process, and the next run starts afresh', async () => {
  const outcome = await query('process.exit(4)');
  expect(outcome.exitCode).toBe(4);
  expect((await query('typeof kept')).stdout).toBe("'undefined'\n");
});

withNode('completion', async () => {
  const request = (code: string) => ({ op: 'complete' as const, request: { code, options: {} } });
  expect((await client.call(request('Math.flo'))).suggestions).toEqual(['Math.floor']);
});
