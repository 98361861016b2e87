/** `mgr`: checks, history, samples, SFTP groups and agents, on real PostgreSQL, etcd and Redis. */
import {
  afterAll,
  beforeAll,
  beforeEach,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from 'bun:test';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import type { CommandRecord } from '../../common/command.ts';
import { agentApi } from '../../common/protocol/agent.ts';
import { generateKeys, saveKeys } from '../../common/rpc/keys.ts';
import { rpcHandler } from '../../common/rpc/server.ts';
import { requestVerifier } from '../../common/rpc/signature.ts';
import { serverGroupOptions } from '../../common/server-options.ts';
import { openRedisLiveStore } from '../../stores/live/redis.ts';
import { runCommands } from '../../testing/commands.ts';
import { silentLog, type TestManagerContext, testManagerContext } from '../../testing/manager.ts';
import { ScriptedAgent } from '../../testing/scripted-agent.ts';
import { missingTool, requireOrSkip, sharedEtcd, sharedRedis } from '../../testing/services.ts';
import { insertAgent, insertProject, insertSession } from '../../testing/sessions.ts';
import { noteAgentImages } from '../image/locations.ts';
import { timeBefore } from './clear-history.ts';
import { liveKeyPrefix } from './context.ts';
import { mgrCommands } from './index.ts';

setDefaultTimeout(60_000);

let manager: TestManagerContext;
let folder = '';
let projectId = '';
beforeAll(async () => {
  manager = await testManagerContext();
  folder = await mkdtemp(join(tmpdir(), 'mgr-operations-'));
  projectId = await insertProject(manager.db.sql);
  await insertAgent(manager.db.sql, 'i-one');
});
afterAll(async () => {
  await manager.close();
  await rm(folder, { recursive: true });
});

async function configure(more = '', name = 'manager.toml'): Promise<void> {
  const { hostname, port, username, password, pathname } = new URL(manager.db.url);
  await writeFile(
    join(folder, name),
    `[db]\naddr = "${hostname}:${port}"\nname = "${pathname.slice(1)}"\n` +
      `user = "${username}"\npassword = "${password}"\n${more}`,
  );
}
beforeEach(() => configure());

const mgr = (...argv: string[]) => runCommands(mgrCommands, folder, argv);

test.each([
  ['20d', '2026-03-11T12:00:00.000Z'],
  ['1mo', '2026-02-28T12:00:00.000Z'],
  ['6mo', '2025-09-30T12:00:00.000Z'],
  ['1yr', '2025-03-31T12:00:00.000Z'],
  ['2w', '2026-03-17T12:00:00.000Z'],
  ['36h', '2026-03-30T00:00:00.000Z'],
])('what is older than %s', (age, time) => {
  expect(timeBefore(age, new Date('2026-03-31T12:00:00Z')).toISOString()).toBe(time);
});

test('clear-history removes what ended long ago, and nothing else', async () => {
  const { sql } = manager.db;
  const common = { projectId, agentId: 'i-one', owner: manager.accounts.user };
  const old = await insertSession(sql, { ...common, name: 'old', status: 'TERMINATED' });
  const recent = await insertSession(sql, { ...common, name: 'recent', status: 'TERMINATED' });
  const living = await insertSession(sql, { ...common, name: 'living' });
  const age = async (sessionId: string, days: number) => {
    const time = new Date(Date.now() - days * 86_400_000);
    await sql`UPDATE sessions SET terminated_at = ${time}, created_at = ${time}
              WHERE id = ${sessionId}`;
    await sql`UPDATE kernels SET terminated_at = ${time} WHERE session_id = ${sessionId}`;
  };
  await age(old.sessionId, 40);
  await age(recent.sessionId, 10);
  await sql`UPDATE sessions SET created_at = now() - interval '2 years'
            WHERE id = ${living.sessionId}`;
  await sql`INSERT INTO session_scheduling_history (session_id, phase, result, message, attempts,
      created_at, updated_at)
    VALUES (${old.sessionId}, 'x', 'SUCCESS', '', 1, now(), now())`;
  for (const days of [40, 10]) {
    await sql`INSERT INTO error_logs (created_at, severity, source, "user", is_read, is_cleared,
        message, context_lang, context_env)
      VALUES (now() - make_interval(days => ${days}), 'error', 'x', null, false, false, '', '', '{}')`;
  }
  const before = await mgr('clear-history', '-r', '50d');
  expect(before.stdout).toStartWith('Removed 0 sessions with 0 kernels and 0 reported errors');
  const cleared = await mgr('clear-history', '--retention', '1mo', '--vacuum-full', 'yes');
  expect(cleared.code).toBe(0);
  expect(cleared.stdout).toStartWith('Removed 1 sessions with 1 kernels and 1 reported errors');
  expect(cleared.stdout).toEndWith('Vacuumed the database.\n');
  const names = await sql`SELECT name FROM sessions ORDER BY name`;
  expect(names.map(({ name }) => name)).toEqual(['living', 'recent']);
  expect(await sql`SELECT FROM session_scheduling_history`).toHaveLength(0);
  expect(await sql`SELECT FROM error_logs`).toHaveLength(1);
  const wrong = await mgr('clear-history', '-r', 'soon');
  expect(wrong.code).toBe(2);
  expect(wrong.stderr).toContain("'soon' is not an age such as 20d");
});

test('the configuration may be named before the command', async () => {
  await rm(join(folder, 'manager.toml'));
  await configure('', 'other.toml');
  const program: CommandRecord = {
    mgr: { description: '', options: serverGroupOptions, commands: mgrCommands },
  };
  const named = await runCommands(program, folder, ['mgr', '-f', 'other.toml', 'schema', 'show']);
  expect(named.code).toBe(0);
  expect(named.stdout).toContain('head revision');
  const wins = ['mgr', '-f', 'none.toml', 'schema', 'show', '-f', 'other.toml'];
  expect((await runCommands(program, folder, wins)).code).toBe(0);
  const absent = await runCommands(program, folder, ['mgr', 'schema', 'show']);
  expect(absent.code).toBe(1);
});

test('config generate-sample: a file that the manager takes', async () => {
  const made = await mgr('config', 'generate-sample', '-o', 'samples/manager.toml');
  expect(made).toEqual({ code: 0, stdout: 'Wrote samples/manager.toml.\n', stderr: '' });
  const path = join(folder, 'samples/manager.toml');
  const text = await readFile(path, 'utf8');
  expect(text).toContain('addr = "127.0.0.1:5432"');
  expect(text).toContain('password = "********"');
  const again = await mgr('config', 'generate-sample', '-o', 'samples/manager.toml');
  expect(again.code).toBe(1);
  expect(again.stderr).toContain('--overwrite');
  const local = await mgr(
    ...['config', 'generate-sample', '-o', 'samples/manager.toml', '-e', 'local'],
    ...['--overwrite', '--unmask-secrets'],
  );
  expect(local.code).toBe(0);
  expect(await readFile(path, 'utf8')).toContain('password = "change me"');
  const checked = await mgr('health', 'check', '--no-timestamps', '-f', 'samples/manager.toml');
  expect(checked.stdout).toContain('▶ configuration\n  ✓ ');
});

test('health check: each thing that is missing, and why', async () => {
  await configure('[etcd]\naddr = "127.0.0.1:1"\n');
  const { code, stdout } = await mgr('health', 'check', '--no-timestamps');
  expect(code).toBe(1);
  expect(stdout).toContain('▶ database\n  ✓ postgresql\n');
  expect(stdout).toContain('▶ etcd\n  ✗ etcd - ');
  expect(stdout).toContain('▶ redis\n  ✗ redis - ');
  expect(stdout).toMatch(
    /\nTotal Checks: 4\nPassed: 2\nFailed: 2\nOverall Status: UNHEALTHY\n=+\n$/,
  );
  const unconfigured = await mgr('dependencies', 'verify', '-f', 'absent.toml');
  expect(unconfigured.code).toBe(1);
  expect(unconfigured.stdout).toContain('\nCompleted: 0\nFailed: 1\n');
  expect(unconfigured.stdout).toMatch(/▶ configuration\n {2}\[\d\d:\d\d:\d\d\] ✗ file - /);
});

test('agent ping: an agent that answers, one that does not, one that is not there', async () => {
  const keys = generateKeys();
  const agentKeys = generateKeys();
  await saveKeys(join(folder, 'manager.key_secret'), keys);
  await configure('[manager]\nrpc-auth-manager-keypair = "manager.key_secret"\n');
  const handler = rpcHandler(agentApi, new ScriptedAgent().client, {
    verify: requestVerifier({
      clock: systemClock,
      isTrusted: (publicKey) => publicKey === keys.publicKey,
      self: agentKeys.publicKey,
    }),
    keys: agentKeys,
  });
  const server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: handler });
  const { sql } = manager.db;
  try {
    await sql`UPDATE agents SET addr = ${server.url.origin}, identity_key = ${agentKeys.publicKey}
              WHERE id = 'i-one'`;
    const answered = await mgr('agent', 'ping', 'i-one', '-f', 'alembic.ini');
    expect(answered).toMatchObject({ code: 0, stderr: '' });
    expect(answered.stdout).toStartWith(`Agent i-one answers at ${server.url.origin} (version `);
  } finally {
    await server.stop(true);
  }
  const silent = await mgr('agent', 'ping', 'i-one', '-t', '5');
  expect(silent.code).toBe(1);
  expect(silent.stderr).toContain('✘ ');
  const unknown = await mgr('agent', 'ping', 'i-none');
  expect(unknown.code).toBe(1);
  expect(unknown.stderr).toContain("There is no agent 'i-none'");
});

describe('image', () => {
  const NAME = 'cr.example/team/tool:1.0';
  beforeAll(async () => {
    const { sql } = manager.db;
    const registry = crypto.randomUUID();
    await sql`INSERT INTO container_registries (id, url, registry_name, type, project, is_global)
      VALUES (${registry}, 'http://127.0.0.1:1', 'cr.example', 'docker', 'team', true)`;
    for (const architecture of ['x86_64', 'aarch64']) {
      const ports = architecture === 'x86_64' ? 'web:http:8070' : 'web:gopher:8070';
      const labels = { 'ai.backend.service-ports': ports, maintainer: 'x' };
      await sql`INSERT INTO images (name, project, image, tag, registry, registry_id, architecture,
          config_digest, size_bytes, type, labels, resources)
        VALUES (${NAME}, 'team', 'team/tool', '1.0', 'cr.example', ${registry}, ${architecture},
          'sha256:00', 1, 'COMPUTE', ${sql.json(labels)}, '{"mem": {"min": "1", "max": null}}')`;
    }
  });

  test('set-resource-limit keeps the side that is left out', async () => {
    const limit = (...argv: string[]) => mgr('image', 'set-resource-limit', NAME, ...argv);
    expect((await limit('mem', '256m:2g', 'x86_64')).stdout).toBe(
      `${NAME} (x86_64): mem 268435456 to 2147483648.\n`,
    );
    expect((await limit('mem', ':4g', 'x86_64')).stdout).toContain('mem 268435456 to 4294967296.');
    // Under the name that this command once had.
    const old = await mgr('etcd', 'set-image-resource-limit', NAME, 'cpu', '1:', 'x86_64');
    expect(old.stdout).toContain('cpu 1 to no maximum.');
    expect((await limit('mem', '4g', 'x86_64')).code).toBe(2);
    const much = await limit('mem', 'much:', 'x86_64');
    expect(much.code).toBe(1);
    expect(much.stderr).toContain("'much', which is no amount");
  });

  test('validate: the labels of each architecture, and the one that is wrong', async () => {
    const good = await mgr('image', 'validate-image-canonical', NAME, '-a', 'x86_64');
    expect(good).toMatchObject({ code: 0, stderr: '' });
    expect(good.stdout.split('\n').slice(0, 2)).toEqual([
      `${'architecture'.padEnd(40)}: x86_64`,
      `${'ai.backend.service-ports'.padEnd(40)}: web:http:8070`,
    ]);
    const bad = await mgr('image', 'validate-image-canonical', NAME);
    expect(bad.code).toBe(1);
    expect(bad.stderr).toContain("'web:gopher:8070' has an unknown protocol");
    const none = await mgr('image', 'validate-image-canonical', NAME, '-a', 'riscv64');
    expect(none.stderr).toContain('There is one for ');
    await mgr('image', 'alias', 'hammer', NAME, 'x86_64');
    expect((await mgr('image', 'validate-image-alias', 'hammer')).stdout).toBe(good.stdout);
    expect((await mgr('image', 'validate-image-alias', 'nail')).code).toBe(1);
    expect((await mgr('image', 'validate-image-alias', NAME)).stderr).toContain('not an alias');
  });

  test('purge; a registry that does not answer keeps the image', async () => {
    const kept = await mgr('image', 'purge', NAME, 'x86_64', '--remove-from-registry');
    expect(kept.code).toBe(1);
    expect((await mgr('image', 'purge', NAME, 'x86_64')).stdout).toBe(`Purged ${NAME} (x86_64).\n`);
    const left = await manager.db.sql`SELECT architecture FROM images WHERE name = ${NAME}`;
    expect(left.map(({ architecture }) => architecture)).toEqual(['aarch64']);
  });
});

const canRun =
  requireOrSkip(missingTool('etcd', 'etcd-server')) &&
  requireOrSkip(missingTool('redis-server', 'redis-server'));
describe.skipIf(!canRun)('with etcd and Redis', () => {
  let etcd: Awaited<ReturnType<typeof sharedEtcd>>;
  let redis: Awaited<ReturnType<typeof sharedRedis>>;
  beforeAll(async () => {
    [etcd, redis] = await Promise.all([sharedEtcd(), sharedRedis()]);
  });
  afterAll(() => Promise.all([etcd.stop(), redis.stop()]));
  beforeEach(() => configure(`[etcd]\naddr = "${etcd.addr}"\nnamespace = "${etcd.namespace}"\n`));

  test('redis ping and the checks, when all is there', async () => {
    const unset = await mgr('redis', 'ping');
    expect(unset.code).toBe(1);
    expect(unset.stderr).toContain('config/redis/addr');
    await mgr('etcd', 'put', 'config/redis/addr', redis.addr);
    expect(await mgr('redis', 'ping')).toEqual({
      code: 0,
      stdout: 'Redis is healthy\n',
      stderr: '',
    });
    const health = await mgr('health', 'check');
    expect(health.code).toBe(0);
    expect(health.stdout).toContain('\nFailed: 0\nOverall Status: HEALTHY\n');
    const json = await mgr('--output', 'json', 'dependencies', 'verify');
    const { ok, checks } = JSON.parse(json.stdout);
    expect(ok).toBe(true);
    expect(checks.map(({ component }: { component: string }) => component).slice(1)).toEqual([
      'postgresql',
      'etcd',
      'redis',
    ]);
    await mgr('etcd', 'delete', 'config/redis/addr');
  });

  test('image list -i: what agents have', async () => {
    await mgr('etcd', 'put', 'config/redis/addr', redis.addr);
    const keyPrefix = liveKeyPrefix(etcd.namespace);
    const live = await openRedisLiveStore({ addr: redis.addr, keyPrefix, log: silentLog });
    try {
      expect((await mgr('image', 'list', '-s', '-i')).stdout).toBe('');
      const image = { canonical: 'cr.example/team/tool:1.0', architecture: 'aarch64' };
      await noteAgentImages(live, 'i-one', [image]);
      const listed = await mgr('image', 'list', '-s', '--installed');
      expect(listed.stdout).toBe(`${image.canonical}  sha256:00  i-one\n`);
    } finally {
      await live.close();
      await mgr('etcd', 'delete', 'config/redis/addr');
    }
  });

  test('the resource groups for SFTP of a storage proxy', async () => {
    const set = (...argv: string[]) => mgr('etcd', 'set-storage-sftp-scaling-group', ...argv);
    const unknown = await set('local', 'upload');
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toContain("There is no storage proxy 'local'.");
    await mgr('etcd', 'put', 'volumes/proxies/local/client_api', 'http://127.0.0.1:6021');
    expect((await set('local', 'upload, backup')).code).toBe(0);
    const key = 'volumes/proxies/local/sftp_scaling_groups';
    expect((await mgr('etcd', 'get', key)).stdout).toBe('upload,backup\n');
    expect((await set('local', 'upload,,')).code).toBe(1);
    expect((await mgr('etcd', 'remove-storage-sftp-scaling-group', 'local')).code).toBe(0);
    expect((await mgr('etcd', 'get', key)).code).toBe(1);
    await mgr('etcd', 'delete', '--prefix', 'volumes');
  });
});
