/**
 * A folder's whole life as its people see it, on a running cluster: made in the CLI, mounted and
 * written in a docker and in a process session, shared, downloaded, trashed, restored, purged.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { runCommand } from '../cli/testing/program.ts';
import { localAccount } from '../common/local-cluster.ts';
import { missingForDocker, sharedDocker, type TestDocker } from './docker.ts';
import { mustRun, Program, runCli } from './faults/programs.ts';
import { importTestImage, missingForImages } from './images.ts';
import { requireOrSkip } from './services.ts';
import { until } from './until.ts';

const TEST_TIMEOUT_MS = 180_000;
const isReady = requireOrSkip(missingForDocker() ?? missingForImages());

describe.skipIf(!isReady)('a folder', () => {
  let folder = '';
  let daemon: TestDocker;
  let cluster: Program;
  let endpoint = '';
  const at = () => ({
    cwd: folder,
    env: { BACKEND_DATA_DIR: join(folder, 'data'), DOCKER_HOST: `unix://${daemon.socketPath}` },
  });

  /** Starts the cluster on the same data, with another kind of sessions. */
  const up = async (backend: 'process' | 'docker') => {
    cluster = new Program(['up', '--backend', backend], at());
    const ready = /The cluster is ready at (http:\/\/\S+:\d+)/;
    await cluster.says(ready, 60_000);
    endpoint = ready.exec(cluster.stdout + cluster.stderr)?.[1] ?? '';
  };

  const runAs = async (who: string, argv: readonly string[], input?: string) => {
    const file = readFileSync(join(folder, 'data/default/accounts.json'), 'utf8');
    const account = v.parse(v.array(localAccount), JSON.parse(file)).find((a) => a.name === who);
    if (account === undefined) throw new Error(`there is no account ${who}`);
    const cwd = join(folder, who);
    await mkdir(cwd, { recursive: true });
    const env = {
      BACKEND_ENDPOINT: endpoint,
      BACKEND_ACCESS_KEY: account.accessKey,
      BACKEND_SECRET_KEY: account.secretKey,
      XDG_STATE_HOME: join(cwd, 'state'),
    };
    return runCommand(argv, { env, cwd, ...(input !== undefined && { input }) });
  };
  const must = async (who: string, argv: readonly string[], input?: string) => {
    const outcome = await runAs(who, argv, input);
    if (outcome.exitCode !== 0) throw new Error(`${argv.join(' ')}: ${outcome.out}${outcome.err}`);
    return outcome.out;
  };
  /** Runs a shell command in a session of its own that mounts the folder. */
  const inSession = (who: string, image: string, code: string) =>
    must(who, ['run', '-q', '--rm', '-v', 'work', image, '-c', code]);
  const listed = async (who: string, list: 'list' | 'list-invited'): Promise<unknown> =>
    JSON.parse(await must(who, ['--output', 'json', 'vfolder', list])).items;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bai-folder-story-'));
    // PostgreSQL runs under an account of its own, which has to get there.
    await chmod(folder, 0o755);
    daemon = await sharedDocker();
    await importTestImage(daemon.socketPath, 'bare');
  }, TEST_TIMEOUT_MS);
  afterAll(async () => {
    await runCli(['down', '--sessions'], at());
    await cluster?.kill();
    await daemon.stop();
    await rm(folder, { recursive: true });
  }, TEST_TIMEOUT_MS);

  test(
    'lives through all of it',
    async () => {
      await up('docker');
      expect(await must('user', ['vfolder', 'create', 'work'])).toBe(
        'Virtual folder "work" is created.\n',
      );
      await inSession('user', 'bare', 'echo from a container > work/container.txt');
      await mustRun(['down', '--sessions'], at());

      await up('process');
      const both = 'echo from a process > work/process.txt; cat work/container.txt';
      expect(await inSession('user', 'bash', both)).toBe('from a container\n');
      await mustRun(['down', '--sessions'], at());

      await up('docker');
      await must('user', ['vfolder', 'invite', '-p', 'ro', 'work', 'user2@lablup.com']);
      await must('user2', ['vfolder', 'invitations'], '1\na\n');
      expect(await listed('user2', 'list-invited')).toMatchObject([{ name: 'work' }]);
      const attempt = 'cat work/process.txt; echo no > work/theirs.txt || echo read-only';
      expect(await inSession('user2', 'bare', attempt)).toBe('from a process\nread-only\n');
      expect((await runAs('user2', ['vfolder', 'rm', 'work', 'process.txt'])).exitCode).toBe(1);
      await must('user2', ['vfolder', 'download', 'work', 'process.txt', 'container.txt']);
      const got = (name: string) => readFileSync(join(folder, 'user2', name), 'utf8');
      expect([got('process.txt'), got('container.txt')]).toEqual([
        'from a process\n',
        'from a container\n',
      ]);

      const id = (await must('user', ['vfolder', 'info', 'work'])).match(/ID: ([\w-]+)/)?.[1] ?? '';
      const trashed = async () =>
        (await runAs('user', ['vfolder', 'delete', 'work'])).exitCode === 0;
      await until(trashed, 'no session mounts it any more', 30_000);
      const refused = await runAs('user2', ['vfolder', 'download', 'work', 'process.txt']);
      expect(refused.exitCode).toBe(1);
      await must('user', ['vfolder', 'restore', 'work']);
      expect(await must('user2', ['vfolder', 'ls', 'work'])).toContain('container.txt');

      await must('user', ['vfolder', 'delete', 'work']);
      await must('user', ['vfolder', 'delete-trash', id]);
      const purged = async () => (await runAs('admin', ['vfolder', 'purge', id])).exitCode === 0;
      await until(purged, 'the folder is deleted and can be purged', 60_000);
      expect(await listed('user', 'list')).toEqual([]);
      expect(await listed('user2', 'list-invited')).toEqual([]);
      await mustRun(['down', '--sessions'], at());
    },
    TEST_TIMEOUT_MS,
  );
});
