/**
 * Runs `bun run check` and then every test file, two at a time, against servers started once for the
 * whole run: PostgreSQL, Redis, etcd and a Docker daemon, all private and on loopback.
 *
 * When only a few files failed they are run once more, alone. One that passes then is reported as
 * unsteady with its name, for somebody to mend; one that fails again fails the run.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTestDocker } from '../src/testing/docker.ts';
import { startTestPostgres } from '../src/testing/postgres.ts';
import { missingTool, startEtcd, startRedis } from '../src/testing/services.ts';
import { readTestReport } from './test-report.ts';

/** With more failing files than this the change is broken, not a test unsteady. */
const MAX_FILES_RUN_AGAIN = 3;

interface Service {
  readonly name: string;
  /** Why it cannot run here; null when it can. */
  readonly missing: string | null;
  /** Starts it. @returns the environment variables that tell tests where it is. */
  start(): Promise<{ env: Record<string, string>; stop(): Promise<void> }>;
}

const services: Service[] = [
  {
    name: 'PostgreSQL',
    missing: null,
    async start() {
      const server = await startTestPostgres();
      const url = server.url('').replace(/\/$/, '');
      return { env: { BACKEND_TEST_POSTGRES: url }, stop: () => server.discard() };
    },
  },
  {
    name: 'Redis',
    missing: missingTool('redis-server', 'redis-server'),
    async start() {
      const server = await startRedis();
      return { env: { BACKEND_TEST_REDIS: server.addr }, stop: () => server.stop() };
    },
  },
  {
    name: 'etcd',
    missing: missingTool('etcd', 'etcd-server'),
    async start() {
      const server = await startEtcd();
      return { env: { BACKEND_TEST_ETCD: server.addr }, stop: () => server.stop() };
    },
  },
  {
    name: 'Docker',
    missing:
      missingTool('dockerd', 'docker.io') ??
      (process.getuid?.() === 0 ? null : 'a Docker daemon of its own needs root'),
    async start() {
      const daemon = await startTestDocker();
      return { env: { BACKEND_TEST_DOCKER: daemon.socketPath }, stop: () => daemon.stop() };
    },
  },
];

const inCi = process.env.CI === 'true';
const started: { name: string; stop(): Promise<void> }[] = [];
const env: Record<string, string | undefined> = { ...process.env };

async function startServices(): Promise<void> {
  await Promise.all(
    services.map(async ({ name, missing, start }) => {
      if (missing !== null) {
        if (inCi) throw new Error(`${name}: ${missing}`);
        console.log(`∙ without ${name}: ${missing}`);
        return;
      }
      const running = await start();
      started.push({ name, stop: running.stop });
      Object.assign(env, running.env);
    }),
  );
  console.log(`✓ running for the tests: ${started.map(({ name }) => name).join(', ')}`);
}

interface Outcome {
  readonly exitCode: number;
  readonly failed: number;
}

/** Passes output through and adds up the counts that `bun test` prints at its end. */
async function runTests(args: readonly string[]): Promise<Outcome> {
  const child = Bun.spawn([process.execPath, 'test', '--timeout=60000', ...args], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    env,
  });
  const counts = { pass: 0, fail: 0, skip: 0 };
  const relay = async (stream: ReadableStream<Uint8Array>, out: NodeJS.WriteStream) => {
    let rest = '';
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      out.write(chunk);
      rest = (rest + decoder.decode(chunk, { stream: true })).slice(-4096);
    }
    for (const kind of ['pass', 'fail', 'skip'] as const) {
      const found = [...rest.matchAll(new RegExp(`^\\s*(\\d+) ${kind}$`, 'gm'))].at(-1);
      if (found) counts[kind] = Number(found[1]);
    }
  };
  await Promise.all([relay(child.stdout, process.stdout), relay(child.stderr, process.stderr)]);
  const exitCode = await child.exited;
  console.log(`${counts.pass} passed, ${counts.fail} failed, ${counts.skip} skipped`);
  return { exitCode, failed: counts.fail };
}

/** @returns the exit code of the whole run. */
async function runAll(paths: readonly string[]): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'backend.ai-test-report-'));
  try {
    const outfile = join(folder, 'junit.xml');
    const report = ['--reporter=junit', `--reporter-outfile=${outfile}`];
    const first = await runTests(['--parallel=2', ...report, ...paths]);
    if (first.exitCode === 0) return 0;
    return await runFailedAgain(first, outfile);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function runFailedAgain(first: Outcome, outfile: string): Promise<number> {
  let report: ReturnType<typeof readTestReport>;
  try {
    report = readTestReport(readFileSync(outfile, 'utf8'));
  } catch (error) {
    console.log(`the tests left no report to run the failed ones again by: ${String(error)}`);
    return first.exitCode;
  }
  const files = report.failedFiles;
  const accounted = report.failures > 0 && report.failures === first.failed;
  if (!accounted || files.length > MAX_FILES_RUN_AGAIN) return first.exitCode;
  console.log(`\n⋯ once more, alone: ${files.join(', ')}`);
  const again = await runTests(files.map((file) => `./${file}`));
  if (again.exitCode !== 0) return again.exitCode;
  console.log(`⚠ unsteady, since they passed only when run again: ${files.join(', ')}`);
  return 0;
}

async function main(): Promise<number> {
  const paths = process.argv.slice(2);
  if (paths.length === 0) {
    const check = Bun.spawn([process.execPath, 'scripts/check.ts'], {
      stdin: 'ignore',
      stdout: 'inherit',
      stderr: 'inherit',
    });
    if ((await check.exited) !== 0) return 1;
  }
  try {
    await startServices();
    return await runAll(paths);
  } finally {
    await Promise.all(started.map(({ stop }) => stop()));
  }
}

process.exit(await main());
