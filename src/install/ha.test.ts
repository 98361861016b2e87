/**
 * An installation on the very servers of halfstack/ha.yaml: each kind loses one that was in use. A
 * session that runs goes on, and new ones start.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkoutRoot } from '../common/executable.ts';
import { exec } from '../testing/bench/measure.ts';
import { composeCommand, composeEnvironment, missingForCompose } from '../testing/compose.ts';
import { missingForDocker, sharedDocker, type TestDocker } from '../testing/docker.ts';
import { mustRun, runCli } from '../testing/faults/programs.ts';
import { importHalfstackImages, missingForHalfstackImages } from '../testing/halfstack-images.ts';
import { freePort, requireOrSkip } from '../testing/services.ts';
import { until } from '../testing/until.ts';

setDefaultTimeout(240_000);
const COMMAND_TIMEOUT_MS = 120_000;
const RECOVERY_MS = 60_000;
const reason = missingForDocker() ?? missingForCompose() ?? missingForHalfstackImages();

const PORTS = {
  postgres: ['BACKEND_DB_PORT', 'BACKEND_DB_STANDBY_PORT'],
  redis: ['BACKEND_REDIS_PORT', 'BACKEND_REDIS_REPLICA_PORT'],
  sentinels: ['BACKEND_SENTINEL_PORT_1', 'BACKEND_SENTINEL_PORT_2', 'BACKEND_SENTINEL_PORT_3'],
  etcd: ['BACKEND_ETCD_PORT_1', 'BACKEND_ETCD_PORT_2', 'BACKEND_ETCD_PORT_3'],
  peers: ['BACKEND_ETCD_PEER_PORT_1', 'BACKEND_ETCD_PEER_PORT_2', 'BACKEND_ETCD_PEER_PORT_3'],
} as const;

describe.if(requireOrSkip(reason))('an installation on servers that may be lost', () => {
  const home = mkdtempSync(join(tmpdir(), 'bai-ha-'));
  const target = join(home, 'cluster');
  const project = `ha${home
    .slice(-6)
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '0')}`;
  const database = { password: 'of this test', name: 'backend' };
  let docker: TestDocker;
  let env: Record<string, string>;
  const addressesOf = (kind: keyof typeof PORTS) =>
    PORTS[kind].map((name) => `127.0.0.1:${env[name]}`).join(',');

  /** Compose with the file and names of its own. @returns what it printed. */
  const compose = (...args: string[]) =>
    exec(
      [
        ...composeCommand(env),
        ...['--project-name', project],
        ...['--file', join(checkoutRoot ?? '.', 'halfstack/ha.yaml'), ...args],
      ],
      env,
    );

  beforeAll(async () => {
    docker = await sharedDocker();
    await importHalfstackImages(docker.socketPath);
    env = composeEnvironment(join(home, 'docker'), docker.socketPath);
    env.BACKEND_DB_PASSWORD = database.password;
    for (const name of Object.values(PORTS).flat()) env[name] = String(await freePort());
    await compose('up', '--detach', '--wait');
  });

  afterAll(async () => {
    if (existsSync(join(target, 'INSTALL-INFO'))) {
      const purge = ['--mode', 'maintain', '--action', 'uninstall', '--purge'];
      await runCli(['install', ...purge, '--non-interactive', '--target-path', target], at());
    }
    await compose('down', '--volumes', '--timeout', '1');
    await docker.stop();
    rmSync(home, { recursive: true, force: true });
  });

  const at = () => ({
    cwd: home,
    env: { BACKEND_DB_PASSWORD: database.password, ...userEnvironment() },
    timeoutMs: COMMAND_TIMEOUT_MS,
  });

  /** What users of the installation have in their shells. */
  function userEnvironment(): Record<string, string> {
    const path = join(target, 'env-local-user-api.sh');
    if (!existsSync(path)) return {};
    const lines = readFileSync(path, 'utf8').matchAll(/^export (\w+)=(\S+)$/gm);
    return Object.fromEntries([...lines].map(([, name, value]) => [name, value ?? '']));
  }

  /** Runs Python in the session that was there before anything was lost. */
  const inSession = (code: string) => mustRun(['run', '-t', 'kept', 'python', '-c', code], at());

  /** Loses something. Prints how long it took until a new session has said hello. */
  async function lose(what: string, service: string): Promise<void> {
    const began = performance.now();
    await compose('kill', service);
    const hello = ['run', '--rm', 'python', '-c', 'print("hello")'];
    await until(
      async () => (await runCli(hello, at())).stdout.includes('hello\n'),
      `a session starts without ${service}`,
      RECOVERY_MS,
    );
    const seconds = (performance.now() - began) / 1000;
    console.log(`  ${what} lost: a new session has said hello after ${seconds.toFixed(1)} s`);
    const { stdout } = await inSession('kept += 1; print("kept", kept)');
    expect(stdout).toContain('kept');
  }

  /** Which PostgreSQL takes writes, and whether the other one has everything. */
  const roles = (service: string) =>
    compose('exec', '--no-TTY', service, 'cat', '/var/run/postgresql/primary');

  test('it is installed with all addresses, and a session says hello', async () => {
    const ports: string[] = [];
    for (const name of [
      ...['manager', 'manager-internal', 'webserver', 'agent-rpc', 'agent-service'],
      ...['storage-client', 'storage-manager'],
    ]) {
      ports.push(`--${name}-port`, String(await freePort()));
    }
    const { stderr } = await mustRun(
      [
        ...['install', '--mode', 'package', '--non-interactive', '--verbose'],
        ...['--target-path', target, '--env-id', project, '--db-name', database.name],
        ...['--postgres-addr', addressesOf('postgres'), '--etcd-addr', addressesOf('etcd')],
        ...['--redis-sentinel', addressesOf('sentinels'), '--redis-service-name', 'backendai'],
        ...ports,
      ],
      at(),
    );
    expect(stderr).toContain(`✓ Sentinels of the Redis backendai at ${addressesOf('sentinels')}`);
    expect(stderr).toContain('  hello world\n');
    await inSession('kept = 0');
    await until(async () => (await roles('postgres')) === 'postgres sync\n', 'the standby has all');
  });

  test('the master of Redis', () => lose('the master of Redis', 'redis'));
  test('a member of etcd', () => lose('a member of etcd', 'etcd-1'));
  test('the primary of PostgreSQL', () => lose('the primary of PostgreSQL', 'postgres'));

  test('what was lost comes back as a standby, and may take over again', async () => {
    await compose('up', '--detach', '--wait', 'postgres');
    await until(
      async () => (await roles('postgres')) === 'postgres-standby sync\n',
      'the server that was the primary has all that the other one has',
      RECOVERY_MS,
    );
    await lose('the other PostgreSQL', 'postgres-standby');
    expect(await roles('postgres')).toBe('postgres alone\n');
    expect((await inSession('print("kept", kept)')).stdout).toContain('kept 4');
  });

  test('a standby that was killed while it took over goes on with that', async () => {
    await compose('up', '--detach', '--wait', 'postgres-standby');
    await until(
      async () => (await roles('postgres')) === 'postgres sync\n',
      'the standby has all',
      RECOVERY_MS,
    );
    await compose('kill', 'postgres-standby');
    // As far as it came: it said so, and no more.
    const said = 'echo "postgres-standby alone" >/var/run/postgresql/primary';
    const locked = ['flock', '/var/run/postgresql/primary.lock', 'sh', '-c', said];
    await compose('exec', '--no-TTY', 'postgres', ...locked);
    await compose('up', '--detach', '--wait', 'postgres-standby');
    await until(
      async () => (await roles('postgres-standby')) === 'postgres-standby sync\n',
      'the other one is its standby',
      RECOVERY_MS,
    );
    expect((await inSession('print("kept", kept)')).stdout).toContain('kept 4');
  });

  test('where nothing says which PostgreSQL has all data, none of them is taken for it', async () => {
    const servers = ['postgres', 'postgres-standby'];
    await compose('exec', '--no-TTY', 'postgres', 'rm', '/var/run/postgresql/primary');
    await compose('kill', ...servers);
    await compose('up', '--detach', ...servers);
    for (const server of servers) {
      await until(
        async () =>
          (await compose('logs', '--tail', '5', server)).includes(`${server} has some. Write`),
        `${server} says what to do`,
        RECOVERY_MS,
      );
    }
    // In a container of its own: those of the servers come and go.
    const inRoles = (command: string) =>
      compose('run', '--rm', '--no-deps', '--entrypoint', 'sh', 'postgres', '-c', command);
    await inRoles('echo "postgres-standby alone" >/var/run/postgresql/primary');
    // Docker calls what it is about to start again unhealthy, and --wait would take that for the end.
    await compose('up', '--detach', ...servers);
    await until(
      async () => (await inRoles('cat /var/run/postgresql/primary')) === 'postgres-standby sync\n',
      'the other one is its standby',
      RECOVERY_MS,
    );
    expect((await inSession('print("kept", kept)')).stdout).toContain('kept 4');
  });
});
