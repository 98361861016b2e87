/** `up --backend docker` on a real daemon: sessions in containers, through a crash of the cluster. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { missingForDocker, startTestDocker, type TestDocker } from '../docker.ts';
import { importTestImage, missingForImages } from '../images.ts';
import { requireOrSkip } from '../services.ts';
import { expectClearFailure, mustRun, Program, runCli } from './programs.ts';

const TEST_TIMEOUT_MS = 90_000;
const READY = 'The cluster is ready at';
const isReady = requireOrSkip(missingForDocker() ?? missingForImages());

describe.skipIf(!isReady)('up --backend docker', () => {
  let folder = '';
  let daemon: TestDocker;
  let cluster: Program;
  const at = (socketPath = daemon.socketPath) => ({
    cwd: folder,
    env: { BACKEND_DATA_DIR: join(folder, 'data'), DOCKER_HOST: `unix://${socketPath}` },
  });
  const run = async (...args: string[]) => (await mustRun(['run', '-q', ...args], at())).stdout;
  const containers = async () =>
    await (await fetch('http://docker/containers/json?all=1', { unix: daemon.socketPath })).json();
  const up = async () => {
    cluster = new Program(['up', '--backend', 'docker'], at());
    await cluster.says(READY);
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bai-up-docker-'));
    // PostgreSQL runs under an account of its own, which has to get there.
    await chmod(folder, 0o755);
    daemon = await startTestDocker({ ownsRules: false });
    for (const name of ['python', 'musl', 'bare'] as const) {
      await importTestImage(daemon.socketPath, name);
    }
  }, TEST_TIMEOUT_MS);

  afterAll(async () => {
    await runCli(['down', '--sessions'], at());
    await cluster?.kill();
    await daemon.stop();
    await rm(folder, { recursive: true });
  }, TEST_TIMEOUT_MS);

  test(
    'without a daemon it says so and starts nothing',
    async () => {
      const outcome = await runCli(['up', '--backend', 'docker'], at('/nowhere/docker.sock'));
      expectClearFailure(outcome, '/nowhere/docker.sock');
    },
    TEST_TIMEOUT_MS,
  );

  test(
    'hello world in every kind of image, and nothing is left',
    async () => {
      await up();
      expect(await run('--rm', 'python', '-c', 'print("hello world")')).toBe('hello world\n');
      expect(await run('--rm', 'musl', '-c', 'hello-musl')).toBe('hello from musl\n');
      expect(await run('--rm', 'bare', '-c', 'echo hello')).toBe('hello\n');
      await mustRun(['down', '--sessions'], at());
      expect(await containers()).toEqual([]);
    },
    TEST_TIMEOUT_MS,
  );

  test(
    'a session goes on when the cluster is killed and started again',
    async () => {
      await up();
      await run('-t', 'kept-session', 'python', '-c', 'answer = 42');
      await cluster.kill();
      await up();
      expect(await run('-t', 'kept-session', 'python', '-c', 'print(answer)')).toBe('42\n');
      await mustRun(['down', '--sessions'], at());
      expect(await containers()).toEqual([]);
    },
    TEST_TIMEOUT_MS,
  );
});
