/** Batch mode: its three steps, their exit codes, and interruption. */
import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startRunner, type TestClient, type TestRunner } from '../testing/harness.ts';
import { guessCommand } from './heuristics.ts';

const KERNEL_ID = '01234567-89ab-4def-8123-456789abcdef';
let runner: TestRunner;
let client: TestClient;
let runCount = 0;
const written: string[] = [];

beforeAll(async () => {
  runner = startRunner({ runtimeType: 'python', env: { BACKENDAI_KERNEL_ID: KERNEL_ID } });
  client = await runner.connect();
});

afterEach(() => {
  for (const name of written.splice(0)) rmSync(join(runner.home, name), { force: true });
});

afterAll(async () => {
  client.close();
  await runner.stop();
});

function put(name: string, text: string): void {
  writeFileSync(join(runner.home, name), text);
  written.push(name);
}

async function batch(options: { clean?: string | null; build?: string | null; exec?: string }) {
  runCount += 1;
  const first = await client.execute(`batch-${runCount}`, { mode: 'batch', options });
  return await client.finish(first);
}

test('the steps run in order and each tells its exit code', async () => {
  const outcome = await batch({ clean: 'echo c; exit 5', build: 'echo b', exec: 'echo e; exit 3' });
  expect(outcome.statuses).toEqual(['clean-finished', 'build-finished', 'finished']);
  const codes = outcome.slices.flatMap((slice) => slice.exitCode ?? []);
  expect(codes).toEqual([5, 0, 3]);
  expect(outcome.stdout).toBe('c\nb\ne\n');
});

test('empty steps are skipped without a word', async () => {
  const outcome = await batch({ clean: null, build: '', exec: 'echo $_BACKEND_BATCH_MODE $PWD' });
  expect(outcome.statuses).toEqual(['finished']);
  expect(outcome.stdout).toBe(`1 ${runner.home}\n`);
});

test('a failed build ends the run with 127', async () => {
  const outcome = await batch({ build: 'echo broken >&2; exit 2', exec: 'echo never' });
  expect(outcome.stderr).toBe('broken\nThe build failed, so nothing was executed.\n');
  expect(outcome.statuses).toEqual(['build-finished', 'finished']);
  expect(outcome.exitCode).toBe(127);
  expect(outcome.stdout).toBe('');
});

test('"*" executes main.py and makes the Makefile', async () => {
  put('main.py', 'import os\nprint("main", os.path.exists("built"))\n');
  put('Makefile', 'all:\n\ttouch built\n');
  const outcome = await batch({ build: '*', exec: '*' });
  written.push('built');
  expect(outcome.exitCode).toBe(0);
  expect(outcome.stdout).toContain('main True\n');
});

test('"*" executes the only script there is, however it is called', async () => {
  put("it's.sh", 'echo quoted\n');
  const outcome = await batch({ build: '*', exec: '*' });
  expect(outcome.exitCode).toBe(0);
  expect(outcome.stdout).toBe('quoted\n');
});

test('"*" with nothing to execute says what is missing', async () => {
  const outcome = await batch({ exec: '*' });
  expect(outcome.exitCode).toBe(127);
  expect(outcome.stderr).toBe(
    'Cannot tell what to execute: the working folder has none of main.py, main.js, main.mjs, ' +
      'main.sh. Give the command with --exec, or name the file main.py.\n',
  );
});

test('output is kept in the task log', async () => {
  await batch({ exec: 'echo for the log' });
  const path = join(runner.home, '.logs/task/01/23/456789ab4def8123456789abcdef.log');
  expect(readFileSync(path, 'utf8')).toContain('for the log\n');
});

test('an interrupt reaches the command and its children', async () => {
  // The child says that it runs: dash drops an interrupt that comes between its vfork and exec.
  const first = await client.execute('interrupted', {
    mode: 'batch',
    options: { exec: 'sh -c "echo go; exec sleep 600"; echo never' },
  });
  expect(first.console).toEqual([['stdout', 'go\n']]);
  await client.call({ op: 'interrupt' });
  const outcome = await client.finish(first);
  expect(outcome.exitCode).toBe(130);
  expect(outcome.stdout).not.toContain('never');
});

test('a child left in the background does not keep the run from ending', async () => {
  const outcome = await batch({ exec: 'sleep 600 & echo $!' });
  expect(outcome.last.status).toBe('finished');
  process.kill(Number(outcome.stdout), 'SIGKILL');
});

test('guesses', () => {
  const exec = (files: string[]) => guessCommand('exec', files, '/usr/bin/python3').command;
  expect(exec(['main.js', 'main.py'])).toBe("'/usr/bin/python3' './main.py'");
  expect(exec(['main.js', 'a.py'])).toBe("node './main.js'");
  expect(exec(['a.py', '.hidden.py', 'data.csv'])).toBe("'/usr/bin/python3' './a.py'");
  expect(exec(['a.py', 'b.py'])).toBeNull();
  expect(guessCommand('build', ['setup.py', 'Makefile'], null).command).toBe('make');
  expect(guessCommand('build', ['setup.py'], '/p').command).toBe("'/p' -m pip install --user -e .");
  expect(guessCommand('build', [], null)).toEqual({ command: null, problem: null });
  expect(guessCommand('clean', ['Makefile'], null).command).toBe('make clean');
});
