/**
 * The program as its users start it: a process of its own, with nothing configured and no cluster
 * yet. Exit codes, streams, signals and broken pipes are only real there.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { clusterFolder, findLocalCluster } from '../common/local-cluster.ts';
import { isProcessAlive } from '../common/processes.ts';
import { until } from '../testing/until.ts';

const PROGRAM = resolve(import.meta.dir, '../../bin/backend.ai.ts');
const START_TIMEOUT_MS = 60_000;

/** What this machine lacks for running sessions as processes; null when nothing. */
function missing(): string | null {
  if (process.platform !== 'linux') return 'sessions as processes need Linux';
  if (Bun.which('python3') === null) return 'python3 is not installed';
  if (process.getuid?.() !== 0 && Bun.which('bwrap') === null) return 'bwrap is not installed';
  return null;
}

const reason = process.env.CI === 'true' ? null : missing();
if (reason !== null) console.warn(`skipped: ${reason}`);
const check = test.skipIf(reason !== null);

const home = mkdtempSync(join(tmpdir(), 'cli-e2e-'));
// Else PostgreSQL's account could not enter it, and its files would lie elsewhere and stay.
chmodSync(home, 0o755);
const env: Record<string, string> = {
  HOME: home,
  BACKEND_DATA_DIR: join(home, 'data'),
  PATH: process.env.PATH ?? '',
  CI: process.env.CI ?? '',
};

function start(...argv: string[]) {
  return Bun.spawn([process.execPath, PROGRAM, ...argv], {
    env,
    cwd: home,
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  });
}

async function run(...argv: string[]) {
  const child = start(...argv);
  const [out, err, exitCode] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    child.exited,
  ]);
  return { exitCode, out, err };
}

const liveSessions = async () =>
  JSON.parse((await run('--output', 'json', 'ps', '-f', 'name')).out).total_count;

const allSessionsEnd = () =>
  until(async () => (await liveSessions()) === 0, 'all sessions have ended');

/** Reads a stream until `awaited` has come; the rest stays unread. */
async function readUntil(stream: ReadableStream<Uint8Array>, awaited: string): Promise<void> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let seen = '';
  while (!seen.includes(awaited)) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`ended before '${awaited}': ${seen}`);
    seen += decoder.decode(value, { stream: true });
  }
  reader.releaseLock();
}

let first: Awaited<ReturnType<typeof run>>;

beforeAll(async () => {
  if (reason !== null) return;
  first = await run('run', '--rm', 'python', '-c', 'print("hello world")');
}, START_TIMEOUT_MS);

afterAll(async () => {
  const cluster = findLocalCluster(clusterFolder(env));
  if (cluster !== null) await run('down', '--sessions');
  // `down` returns when the cluster has let go of its data, a moment before the process ends.
  if (cluster !== null) {
    await until(() => !isProcessAlive(cluster.pid), 'the cluster has ended');
  }
  rmSync(home, { recursive: true, force: true });
}, START_TIMEOUT_MS);

check('from nothing to hello world, and how to stop what was started', () => {
  expect(first).toMatchObject({ exitCode: 0, out: 'hello world\n' });
  expect(first.err).toContain('starting a local cluster');
  expect(first.err).toContain('stop it with `backend.ai down`');
  expect(first.err).toContain('✓ [0] Execution finished. (exit code = 0)\n');
  expect(first.err).not.toContain('\u001b');
});

check('the exit code of the code, and nothing but its output when quiet', async () => {
  expect(await run('run', '--rm', '-q', 'python', '-c', 'import sys; sys.exit(3)')).toEqual({
    exitCode: 3,
    out: '',
    err: '',
  });
  await allSessionsEnd();
});

check('what the session used is free when the command returns', async () => {
  expect((await run('vfolder', 'create', 'inputs', 'local:volume1')).exitCode).toBe(0);
  const mounting = ['run', '--rm', '-q', '-v', 'inputs', 'python', '-c', 'print(1)'];
  expect(await run(...mounting)).toEqual({ exitCode: 0, out: '1\n', err: '' });
  expect(await liveSessions()).toBe(0);
  expect(await run('vfolder', 'delete', 'inputs')).toMatchObject({ exitCode: 0 });
});

check("this machine's cluster is administered by who started it", async () => {
  const { exitCode, out } = await run('--output', 'json', 'admin', 'user', 'list');
  expect(exitCode).toBe(0);
  const names = JSON.parse(out).items.map((item: { username: string }) => item.username);
  expect(names).toContain('monitor');
});

check('signing in at its web server, with the password from a pipe', async () => {
  const cluster = findLocalCluster(clusterFolder(env));
  const [account] = cluster?.accounts.filter(({ name }) => name === 'user2') ?? [];
  const child = Bun.spawn([process.execPath, PROGRAM, 'login'], {
    env: { ...env, BACKEND_ENDPOINT_TYPE: 'session' },
    cwd: home,
    stdin: new Blob([`${account?.email}\n${account?.password}\n`]),
    stdout: 'pipe',
    stderr: 'pipe',
  });
  expect(await text(child.stderr)).toEndWith('✓ Login succeeded.\n');
  expect(await child.exited).toBe(0);
});

check('files are sent and run as told', async () => {
  writeFileSync(join(home, 'main.py'), 'import sys; print("main", sys.argv[1])');
  const { exitCode, out } = await run(
    ...['run', '--rm', 'python', 'main.py', '--exec', 'python3 main.py x', '--build', 'true'],
  );
  expect({ exitCode, out }).toEqual({ exitCode: 0, out: 'main x\n' });
});

check('a session that cannot be created makes run fail', async () => {
  const { exitCode, out, err } = await run('run', '--rm', 'nosuch', '-c', '1');
  expect({ exitCode, out }).toEqual({ exitCode: 1, out: '' });
  expect(err).toContain("There is no image 'nosuch'.");
});

check('a session of a name keeps its state until it is destroyed', async () => {
  expect((await run('run', '-q', '-t', 'keep', 'python', '-c', 'a = 41')).exitCode).toBe(0);
  const again = await run('run', '-t', 'keep', 'python', '-c', 'print(a + 1)');
  expect(again.out).toBe('42\n');
  expect(again.err).toContain('Reusing session keep.');
  const refused = await run('run', '--no-reuse', '-t', 'keep', 'python', '-c', '1');
  expect(refused.exitCode).toBe(1);
  expect(refused.err).toContain('Existing session: ');
  expect((await run('kill', 'keep')).exitCode).toBe(0);
});

const LOOP = 'import time\nprint("up", flush=True)\nwhile True: time.sleep(1)';

check('Ctrl-C interrupts the code and the session is still removed', async () => {
  const child = start('run', '--rm', 'python', '-c', LOOP);
  await readUntil(child.stdout, 'up');
  child.kill('SIGINT');
  expect(await child.exited).toBe(1);
  expect(await text(child.stderr)).toContain('KeyboardInterrupt');
  await allSessionsEnd();
});

check('code that ignores it is left at the second Ctrl-C, by signal', async () => {
  const stubborn = `import signal\nsignal.signal(2, lambda *a: print("no", flush=True))\n${LOOP}`;
  const child = start('run', '--rm', 'python', '-c', stubborn);
  await readUntil(child.stdout, 'up');
  child.kill('SIGINT');
  await readUntil(child.stdout, 'no');
  child.kill('SIGINT');
  await child.exited;
  expect(child.signalCode).toBe('SIGINT');
  expect(await text(child.stderr)).toEndWith('Interrupted!\n');
  await allSessionsEnd();
});

check('a reader that goes away ends an endless run, session included', async () => {
  const endless = 'while True: print("x" * 1000)';
  const program = `"${process.execPath}" "${PROGRAM}"`;
  const script = `${program} run --rm -q python -c '${endless}' | head -c 5000 | wc -c; echo \${PIPESTATUS[0]}`;
  const shell = Bun.spawn(['bash', '-c', script], { env, cwd: home, stdin: 'ignore' });
  expect(await text(shell.stdout)).toBe('5000\n141\n');
  await allSessionsEnd();
});
