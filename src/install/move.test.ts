/** The data of a cluster of one process goes to servers elsewhere: killed at every step, and taken back. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import connect, { type Sql } from 'postgres';
import { killAtEveryStep } from '../testing/faults/interrupted.ts';
import { expectClearFailure, mustRun, runCli } from '../testing/faults/programs.ts';
import { makeTestNetwork, missingForNetworks, type TestNetwork } from '../testing/networks.ts';
import { startTestPostgres } from '../testing/postgres.ts';
import {
  freePort,
  missingTool,
  requireOrSkip,
  startEtcd,
  startWatchedRedis,
  type TestService,
  type WatchedRedis,
} from '../testing/services.ts';
import { until } from '../testing/until.ts';

setDefaultTimeout(600_000);
const LONG_MS = 120_000;
const ENV_ID = 'moved';
const reason =
  missingTool('redis-server', 'redis-server') ??
  missingTool('etcd', 'etcd-server') ??
  (process.platform === 'linux' ? null : 'sessions of the process backend need Linux');

describe.if(requireOrSkip(reason))('moving the data of a cluster of this machine', () => {
  const home = mkdtempSync(join(tmpdir(), 'bai-move-'));
  const data = join(home, 'data');
  const folder = join(data, ENV_ID);
  const place = ['--env-id', ENV_ID];
  let postgres: Awaited<ReturnType<typeof startTestPostgres>>;
  let redis: WatchedRedis;
  let sentinels: string;
  let etcd: TestService;
  let at: { cwd: string; env: Record<string, string>; timeoutMs: number };
  let servers: string[];
  let sql: Sql;
  let network: TestNetwork | null = null;
  let internalPort: string;
  const canJoin = requireOrSkip(missingForNetworks());

  beforeAll(async () => {
    [postgres, redis, etcd] = await Promise.all([
      startTestPostgres(),
      startWatchedRedis(),
      startEtcd(),
    ]);
    sentinels = redis.sentinels.map(({ addr }) => addr).join(',');
    const database = new URL(postgres.url('postgres'));
    at = {
      cwd: home,
      env: {
        BACKEND_DATA_DIR: data,
        BACKEND_ENV_ID: ENV_ID,
        BACKEND_DB_PASSWORD: decodeURIComponent(database.password),
      },
      timeoutMs: LONG_MS,
    };
    if (canJoin) network = await makeTestNetwork();
    internalPort = String(await freePort());
    servers = [
      // Of two, the standby is away.
      ...['--postgres-addr', `127.0.0.1:1,${database.hostname}:${database.port}`],
      ...['--redis-sentinel', sentinels, '--redis-service-name', redis.serviceName],
      ...['--etcd-addr', etcd.addr, '--db-user', database.username, '--db-name', 'moved'],
    ];
    sql = connect(postgres.url('postgres'), { max: 1 });
    await mustRun(['up', '--detach', '--quiet', ...place], at);
  });

  afterAll(async () => {
    if (existsSync(folder)) await runCli(['down', '--purge', ...place], at);
    await network?.remove();
    await sql?.end();
    await Promise.all([postgres?.discard(), redis?.stop(), etcd?.stop()]);
    rmSync(home, { recursive: true, force: true });
  });

  const move = (...more: string[]) => [
    ...['install', '--mode', 'maintain', '--action', 'move', '--non-interactive', ...place],
    ...['--target-path', join(home, 'local'), ...servers, ...reached(), ...more],
  ];
  /** Where other machines reach it, if there can be any. */
  const reached = () =>
    network === null
      ? []
      : ['--public-facing-address', network.hostAddress, '--manager-internal-port', internalPort];
  const python = async (code: string) =>
    (await mustRun(['run', '-t', 'kept', 'python', '-c', code], at)).stdout;
  const asAdmin = () => {
    const text = readFileSync(join(folder, 'env-local-admin-api.sh'), 'utf8');
    const lines = text.matchAll(/^export (\w+)=(\S+)$/gm);
    return Object.fromEntries([...lines].map(([, name, value]) => [name, value ?? '']));
  };
  const databasesNamedMoved = async () => {
    const rows = await sql<{ datname: string }[]>`
      SELECT datname FROM pg_database WHERE datname LIKE 'moved%' ORDER BY 1`;
    return rows.map(({ datname }) => datname);
  };

  test('a dry run shows the steps; what is wrong with the servers is told all at once', async () => {
    const { stdout } = await mustRun(move('--dry-run'), at);
    expect(stdout).toContain('Copy the data to the servers, and let the cluster use them');
    const wrong = move().map((text) => (text === sentinels ? '127.0.0.1:1' : text));
    const denied = { ...at, env: { ...at.env, BACKEND_DB_PASSWORD: 'wrong' } };
    expectClearFailure(
      await runCli(wrong, denied),
      `Sentinels 127.0.0.1:1 is not available`,
      'password authentication failed',
      '--redis-sentinel',
      'BACKEND_DB_PASSWORD',
    );
    expect(await databasesNamedMoved()).toEqual([]);
    await mustRun(['status', ...place], at);
  });

  test('servers with data of others are refused', async () => {
    await sql`CREATE DATABASE moved`;
    const other = connect(postgres.url('moved'), { max: 1 });
    try {
      await other`CREATE TABLE theirs (id int)`;
      expectClearFailure(
        await runCli(move(), at),
        "Database 'moved' is not empty: it has 1 tables",
        '--db-name',
      );
    } finally {
      await other.end();
      await sql`DROP DATABASE moved`;
    }
    await mustRun(['status', ...place], at);
  });

  test('a cluster that does not start there goes on with the data of before', async () => {
    await python('kept = 42');
    // Nothing starts as long as it cannot be read.
    const path = join(folder, 'accounts.json');
    const accounts = readFileSync(path, 'utf8');
    const program = runCli(move(), at);
    await until(() => existsSync(join(folder, 'move/data.backup.tar.gz')), 'it copies', LONG_MS);
    writeFileSync(path, 'damaged');
    await until(() => existsSync(join(folder, 'manager.toml.retired')), 'it goes back', LONG_MS);
    writeFileSync(path, accounts);
    expectClearFailure(await program, 'The cluster runs on the data of before');
    expect(existsSync(join(folder, 'manager.toml'))).toBe(false);
    expect(await python('print("still", kept)')).toContain('still 42');
  });

  test('killed at every step and run again, it gets there with everything in it', async () => {
    const { killedAt } = await killAtEveryStep(move(), at);
    expect(killedAt).toEqual([
      'Stop the cluster; its sessions go on',
      'Copy the data to the servers, and let the cluster use them',
      'Start the cluster',
      'Run a session that prints hello world',
    ]);
    expect(await databasesNamedMoved()).toEqual(['moved', 'moved_appproxy']);
    expect(await python('print("and still", kept)')).toContain('and still 42');
    const { stdout } = await mustRun(['status', ...place], at);
    expect(stdout).toContain('/moved, etcd at');
    const config = join(folder, 'manager.toml');
    await mustRun(['mgr', 'health', 'check', '-f', config], at);
    await mustRun(['mgr', 'backup', join(home, 'b.tar.gz'), '-f', config], at);
  });

  test.if(canJoin)('another machine joins it, and runs sessions beside it', async () => {
    const machine = (await network?.addMachine()) ?? expect.unreachable();
    const node = join(home, 'node');
    const on = { cwd: home, inside: machine.inside, timeoutMs: LONG_MS };
    const made = await mustRun(['mgr', 'token', 'create', '-f', join(folder, 'manager.toml')], at);
    const joining = ['install', '--mode', 'join', '--non-interactive', '--target-path', node];
    const manager = `${network?.hostAddress}:${internalPort}`;
    await mustRun([...joining, '--manager', manager, '--agent-id', 'i-beside'], {
      ...on,
      env: { BACKEND_JOIN_TOKEN: made.stdout.trim() },
    });
    try {
      const where = `import socket
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
probe.connect(("${network?.hostAddress}", 9))
print(probe.getsockname()[0])`;
      for (const [agent, address] of [
        ['i-beside', machine.address],
        [`i-${ENV_ID}`, network?.hostAddress],
      ]) {
        const run = ['run', '--rm', '--assign-agent', agent ?? '', 'python', '-c', where];
        const as = { ...at, env: { ...at.env, ...asAdmin() } };
        expect((await mustRun(run, as)).stdout).toContain(`${address}\n`);
      }
    } finally {
      const removing = ['--mode', 'maintain', '--action', 'uninstall', '--purge'];
      await mustRun(['install', ...removing, '--non-interactive', '--target-path', node], on);
    }
  });

  test('once more, where something else is wrong by then, leaves the cluster with the servers', async () => {
    await python('kept = 43');
    await mustRun(['down', ...place], at);
    const path = join(folder, 'accounts.json');
    const accounts = readFileSync(path, 'utf8');
    writeFileSync(path, 'damaged');
    try {
      expect((await runCli(move(), at)).code).not.toBe(0);
    } finally {
      writeFileSync(path, accounts);
    }
    expect(existsSync(join(folder, 'manager.toml'))).toBe(true);
    await mustRun(['up', '--detach', '--quiet', ...place], at);
    expect(await python('print("the same", kept)')).toContain('the same 43');
  });

  test('what was done on the servers before going back is not replaced by another move', async () => {
    await mustRun(['down', ...place], at);
    await mustRun(['servers', 'back', ...place], at);
    expectClearFailure(
      await runCli(['servers', 'move', ...place, ...servers], at),
      "Database 'moved' is that of another cluster",
      'of another cluster in the namespace',
    );
    renameSync(join(folder, 'manager.toml.retired'), join(folder, 'manager.toml'));
    await mustRun(['up', '--detach', '--quiet', ...place], at);
    expect(await python('print("there", kept)')).toContain('there 43');
  });

  test('once more finds it done, and deletes the data of before when told to', async () => {
    const note = join(folder, 'postgres.location');
    const own = existsSync(note) ? readFileSync(note, 'utf8').trim() : join(folder, 'postgres');
    expect(existsSync(join(own, 'data'))).toBe(true);
    const { stderr } = await mustRun(move('--purge'), at);
    expect(stderr).toContain('let the cluster use them (was done)');
    expect(existsSync(join(own, 'data'))).toBe(false);
    await mustRun(['down', ...place], at);
    expectClearFailure(await runCli(['servers', 'back', ...place], at), 'of its own was deleted');
    await mustRun(['up', '--detach', '--quiet', ...place], at);
    expect(await python('print("at last", kept)')).toContain('at last 43');
  });

  test('deleting the cluster leaves what is on the servers, and says so', async () => {
    const { stderr } = await mustRun(['down', '--purge', ...place], at);
    expect(stderr).toMatch(/What is in the database \S+\/moved and in etcd/);
    expect(await databasesNamedMoved()).toEqual(['moved', 'moved_appproxy']);
    expect(existsSync(folder)).toBe(false);
  });
});
