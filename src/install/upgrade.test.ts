/**
 * From one version to the next while sessions run: in processes and in a container, on an agent that is
 * upgraded with the cluster and on a node that stays one version behind for a while. An upgrade whose
 * migration fails half-way is taken back.
 *
 * The version of before is the present source, that of afterwards the same with migrations of its own;
 * with BACKEND_TEST_UPGRADE_FROM (scripts/upgrade-test.sh) it is that checkout, and the present one follows.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import connect, { type Sql } from 'postgres';
import { checkoutRoot } from '../common/executable.ts';
import { type Cable, layCable } from '../testing/cable.ts';
import { missingForDocker, sharedDocker, type TestDocker } from '../testing/docker.ts';
import { breakAtSteps } from '../testing/faults/interrupted.ts';
import { processesNaming } from '../testing/faults/leftovers.ts';
import { expectClearFailure, mustRun, runCli } from '../testing/faults/programs.ts';
import { importTestImage, missingForImages } from '../testing/images.ts';
import { startTestPostgres } from '../testing/postgres.ts';
import {
  freePort,
  missingTool,
  requireOrSkip,
  startEtcd,
  startRedis,
  type TestService,
} from '../testing/services.ts';
import { missingForSmallDisk, mountSmallDisk, type SmallDisk } from '../testing/small-disk.ts';
import { until } from '../testing/until.ts';
import {
  makeNextVersion,
  type OtherVersion,
  PRESENT_SCHEMA,
  versionOf,
} from '../testing/versions.ts';

setDefaultTimeout(600_000);
const LONG_MS = 180_000;
const NODE = 'i-behind';
const IMAGE = 'local/testing/python:3-debian';
// Components that are to start, and sessions, are waited for, a minute.
const NEEDS_DISK = /^(Put|Write the configuration files)/;
const NEEDS_SERVERS = /^(Write the cluster's settings|Create the tables|Make)/;
const CHANGE = 'ALTER TABLE agents ADD COLUMN next_version_note text';
const BROKEN = 'ALTER TABLE agents ADD COLUMN half_done text; SELECT 1 / 0';

const reason =
  missingTool('redis-server', 'redis-server') ??
  missingTool('etcd', 'etcd-server') ??
  missingForDocker() ??
  missingForImages();

describe.if(requireOrSkip(reason))('an upgrade to the next version', () => {
  const home = mkdtempSync(join(tmpdir(), 'bai-upgrade-'));
  const target = join(home, 'disk/cluster');
  const canFill = requireOrSkip(missingForSmallDisk());
  let disk: SmallDisk | null = null;
  const node = join(home, 'node');
  const older = process.env.BACKEND_TEST_UPGRADE_FROM;
  const before = versionOf(older ?? checkoutRoot ?? '.');
  let next: OtherVersion;
  let broken: OtherVersion;
  let docker: TestDocker;
  let postgres: Awaited<ReturnType<typeof startTestPostgres>>;
  let redis: TestService;
  let etcd: TestService;
  let sql: Sql;
  let installing: string[];
  let cables: readonly Cable[] = [];
  let at: { cwd: string; env: Record<string, string>; timeoutMs: number };

  beforeAll(async () => {
    if (canFill) disk = mountSmallDisk(join(home, 'disk'));
    next =
      older === undefined
        ? makeNextVersion(join(home, 'next'), [CHANGE])
        : versionOf(checkoutRoot ?? '.');
    broken = makeNextVersion(join(home, 'broken'), [CHANGE, BROKEN]);
    docker = await sharedDocker();
    [postgres, redis, etcd] = await Promise.all([
      startTestPostgres(),
      startRedis(),
      startEtcd(),
      importTestImage(docker.socketPath, 'python'),
    ]);
    const database = new URL(postgres.url('postgres'));
    const name = 'upgraded';
    const admin = connect(postgres.url('postgres'), { max: 1 });
    await admin`CREATE DATABASE ${admin(name)}`;
    await admin.end();
    sql = connect(postgres.url(name), { max: 1 });
    at = {
      cwd: home,
      env: {
        BACKEND_DB_PASSWORD: decodeURIComponent(database.password),
        DOCKER_HOST: `unix://${docker.socketPath}`,
      },
      timeoutMs: LONG_MS,
    };
    const ports: string[] = [];
    for (const port of [
      ...['manager', 'manager-internal', 'webserver', 'agent-rpc', 'agent-service'],
      ...['storage-client', 'storage-manager'],
    ]) {
      ports.push(`--${port}-port`, String(await freePort()));
    }
    const [toPostgres, toRedis, toEtcd] = await Promise.all([
      layCable(`${database.hostname}:${database.port}`),
      layCable(redis.addr),
      layCable(etcd.addr),
    ]);
    cables = [toPostgres, toRedis, toEtcd];
    installing = [
      ...['install', '--mode', 'package', '--non-interactive', '--target-path', target],
      ...['--postgres-addr', toPostgres.addr, '--redis-addr', toRedis.addr],
      ...['--etcd-addr', toEtcd.addr, '--db-user', database.username, '--db-name', name],
      ...['--env-id', name, ...ports],
    ];
  });

  afterAll(async () => {
    for (const folder of [node, target]) {
      if (!existsSync(join(folder, 'INSTALL-INFO'))) continue;
      const purge = ['--mode', 'maintain', '--action', 'uninstall', '--purge'];
      await runCli(['install', ...purge, '--non-interactive', '--target-path', folder], at);
    }
    await sql?.end();
    for (const cable of cables) await cable.cut();
    await Promise.all([docker?.stop(), postgres?.discard(), redis?.stop(), etcd?.stop()]);
    disk?.remove();
    rmSync(home, { recursive: true, force: true });
  });

  const upgrade = (folder: string) => [
    ...['install', '--mode', 'maintain', '--action', 'upgrade', '--non-interactive'],
    ...['--target-path', folder],
  ];
  /** What an administrator has in the shell, with the client of before. */
  const asAdmin = () => {
    const text = readFileSync(join(target, 'env-local-admin-api.sh'), 'utf8');
    const lines = text.matchAll(/^export (\w+)=(\S+)$/gm);
    const env = Object.fromEntries([...lines].map(([, name, value]) => [name, value ?? '']));
    return { ...at, env, program: before.program };
  };
  /** Python in a session of each agent, which go on all the time. */
  const small = ['-r', 'cpu=0.1', '-r', 'mem=256m'];
  const sessions = new Map([
    ['in-process', 'python'],
    ['in-container', IMAGE],
  ]);
  const python = async (session: string, code: string) =>
    (await mustRun(['run', '-t', session, sessions.get(session) ?? '', '-c', code], asAdmin()))
      .stdout;
  const expectKept = async () => {
    for (const session of sessions.keys()) {
      expect(await python(session, 'print("kept", kept)')).toContain(`kept ${session}`);
    }
  };
  const agents = async () => {
    const rows = await sql<{ id: string; status: string; version: string }[]>`
      SELECT id, status, version FROM agents`;
    return new Map(rows.map(({ id, ...rest }) => [id === NODE ? 'node' : 'own', rest]));
  };
  const untilAlive = (who: 'node' | 'own', version: string) =>
    until(
      async () => Bun.deepEquals((await agents()).get(who), { status: 'ALIVE', version }),
      `the agent (${who}) is alive with version ${version}`,
      LONG_MS,
    );
  const columns = async () => {
    const rows = await sql<{ name: string }[]>`
      SELECT column_name AS name FROM information_schema.columns
      WHERE table_name = 'agents' AND column_name IN ('next_version_note', 'half_done')`;
    return rows.map(({ name }) => name);
  };

  test('installed, though the disk becomes full or the servers are out of reach at one step after the other', async () => {
    const as = { ...at, program: before.program };
    const full = disk;
    if (full === null || older !== undefined) {
      await mustRun(installing, as);
      return;
    }
    const { tried, failed, last } = await breakAtSteps(installing, as, {
      // The others write to the same places, and ask the same servers.
      at: (step) => NEEDS_DISK.test(step) || NEEDS_SERVERS.test(step),
      async begin(step) {
        if (NEEDS_DISK.test(step)) await full.fill();
        else for (const cable of cables) await cable.cut();
      },
      async end() {
        full.empty();
        for (const cable of cables) await cable.mend();
      },
    });
    expect(tried).toHaveLength(5);
    expect(last.stderr).toContain('Run a session that prints hello world');
    expect(failed).toContain('Create the tables');
    expect(failed.some((step) => step.startsWith('Write the configuration files'))).toBe(true);
    expect(last.stdout).toContain('admin@lablup.com');
  });

  test('before it, sessions run in a process, and in a container on another node', async () => {
    const config = join(target, 'etc/manager.toml');
    const token = ['mgr', 'token', 'create', '-f', config];
    const { stdout } = await mustRun(token, { ...at, program: before.program });
    const manager = /'?internal-addr'? = "([^"]+)"/.exec(readFileSync(config, 'utf8'))?.[1] ?? '';
    await mustRun(
      [
        ...['install', '--mode', 'join', '--non-interactive', '--target-path', node],
        ...['--manager', manager, '--agent-id', NODE, '--agent-backend', 'docker'],
        ...['--agent-rpc-port', String(await freePort())],
        ...['--agent-service-port', String(await freePort())],
      ],
      {
        ...at,
        env: { ...at.env, BACKEND_JOIN_TOKEN: stdout.trim() },
        program: before.program,
      },
    );
    await untilAlive('node', before.version);
    const own = (await sql<{ id: string }[]>`SELECT id FROM agents WHERE id <> ${NODE}`)[0]?.id;
    await until(
      async () => (await sql`SELECT FROM images WHERE name = ${IMAGE}`).length > 0,
      'the image of containers is known',
      LONG_MS,
    );
    // So that there is room for one more on a machine of few cores.
    await sql`UPDATE images SET resources = jsonb_set(resources::jsonb, '{cpu,min}', '"0.1"')`;
    for (const [name, image] of sessions) {
      const agent = name === 'in-process' ? own : NODE;
      await mustRun(
        ['session', 'create', image, '--name', name, '--assign-agent', agent ?? '', ...small],
        asAdmin(),
      );
      await python(name, `kept = "${name}"`);
    }
    await expectKept();
  });

  test('one whose migration fails half-way brings the version of before back', async () => {
    const outcome = await runCli(upgrade(target), { ...at, program: broken.program });
    expectClearFailure(
      outcome,
      'The new version did not start',
      'division by zero',
      'The version of before runs again.',
    );
    // Its first migration was whole and stays; of the second nothing does.
    expect(await columns()).toEqual(['next_version_note']);
    await mustRun(['dev', 'status', '--target-path', target], { ...at, program: before.program });
    await untilAlive('own', before.version);
    await expectKept();
  });

  test('begun while the servers are out of reach and run again, it gets there; sessions go on, also on the node behind it', async () => {
    const { failed } = await breakAtSteps(
      upgrade(target),
      { ...at, program: next.program },
      {
        at: () => true,
        begin: async () => {
          for (const cable of cables) await cable.cut();
        },
        end: async () => {
          for (const cable of cables) await cable.mend();
        },
      },
    );
    expect(failed).toHaveLength(1);
    await untilAlive('own', next.version);
    await untilAlive('node', before.version);
    expect(await columns()).toEqual(['next_version_note']);
    await expectKept();
    const rows = await sql<
      { newest: number }[]
    >`SELECT max(version) AS newest FROM schema_migrations`;
    expect(rows[0]?.newest).toBe(older === undefined ? PRESENT_SCHEMA + 1 : PRESENT_SCHEMA);
    const hello = [
      'run',
      '--rm',
      '--assign-agent',
      NODE,
      ...small,
      IMAGE,
      '-c',
      'print("from behind")',
    ];
    expect((await mustRun(hello, asAdmin())).stdout).toContain('from behind');
  });

  test('the node follows, and its container goes on', async () => {
    await mustRun(upgrade(node), { ...at, program: next.program });
    await untilAlive('node', next.version);
    await expectKept();
  });

  test('while its database is out of reach, it is removed with what its sessions run', async () => {
    const running = () => processesNaming([`${target}/`]);
    expect(await running()).not.toEqual([]);
    await cables[0]?.cut();
    const purge = ['--mode', 'maintain', '--action', 'uninstall', '--purge', '--verbose'];
    const { stderr } = await mustRun(
      ['install', ...purge, '--non-interactive', '--target-path', target],
      { ...at, program: next.program },
    );
    expect(stderr).toContain('The manager could not end the sessions');
    expect(stderr).toContain('1 kernel was ended');
    expect(await running()).toEqual([]);
    expect(existsSync(target)).toBe(false);
  });
});
