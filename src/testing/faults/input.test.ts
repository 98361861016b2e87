/**
 * What the command line and the servers say to bad input and to missing parts: as child processes,
 * with real servers behind, judged by exit code and text.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { signedHeaders } from '../manager.ts';
import { freePort, missingTool, requireOrSkip } from '../services.ts';
import { type DistributedCluster, startDistributedCluster } from './distributed.ts';
import { expectClearFailure, mustRun, type Outcome, runCli } from './programs.ts';

const START_TIMEOUT_MS = 60_000;
/** A server that can't start must say so soon. */
const FAILURE_TIMEOUT_MS = 12_000;
setDefaultTimeout(30_000);

const isReady =
  requireOrSkip(missingTool('etcd', 'etcd-server')) &&
  requireOrSkip(missingTool('redis-server', 'redis-server'));

let folder = '';
let cluster: DistributedCluster;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bai-input-'));
  if (isReady) cluster = await startDistributedCluster();
}, START_TIMEOUT_MS);
afterAll(async () => {
  await cluster?.stop();
  await rm(folder, { recursive: true });
}, START_TIMEOUT_MS);

let runs = 0;

/** Runs a server in a folder of its own with these settings. Its log goes to standard error. */
async function serve(kind: 'mgr' | 'ag', toml: string | null, env = {}): Promise<Outcome> {
  runs += 1;
  const cwd = join(folder, `server-${runs}`);
  await mkdir(cwd);
  const file = kind === 'mgr' ? 'manager.toml' : 'agent.toml';
  if (toml !== null) await writeFile(join(cwd, file), toml);
  return runCli([kind, 'start-server'], { cwd, env, timeoutMs: FAILURE_TIMEOUT_MS });
}

const settingsOf = (name: 'manager' | 'dummy agent'): Promise<string> =>
  readFile(
    join(cluster.folderOf(name), name === 'manager' ? 'manager.toml' : 'agent.toml'),
    'utf8',
  );

/** The working settings of a running server with one line of them changed. */
async function changed(
  name: 'manager' | 'dummy agent',
  ...changes: [RegExp, string][]
): Promise<string> {
  let text = await settingsOf(name);
  for (const [pattern, by] of changes) {
    expect(text).toMatch(pattern);
    text = text.replace(pattern, by);
  }
  return text;
}

describe('the settings file', () => {
  test.each(['mgr', 'ag'] as const)('%s: there is none', async (kind) => {
    const file = kind === 'mgr' ? 'manager.toml' : 'agent.toml';
    expectClearFailure(await serve(kind, null), file, '/etc/backend.ai');
  });

  test('is not TOML', async () => {
    expectClearFailure(await serve('mgr', '[db\naddr ='), 'manager.toml', /line 1|:1/);
  });

  test('lacks keys', async () => {
    expectClearFailure(
      await serve('mgr', '[db]\nname = "backend"\n'),
      'manager.toml',
      'user is missing',
    );
    expectClearFailure(await serve('ag', '[agent]\nid = "i-x"\n'), 'agent.toml', 'backend');
  });

  test.skipIf(!isReady)('has a key that does not exist', async () => {
    const toml = await changed('manager', [/^heartbeat-timeout/m, 'heartbeat-timeuot']);
    expectClearFailure(await serve('mgr', toml), 'heartbeat-timeuot', 'heartbeat-timeout');
  });

  test.skipIf(!isReady)('has values of the wrong kind', async () => {
    const toml = await changed('manager', [/^heartbeat-timeout.*$/m, 'heartbeat-timeout = "soon"']);
    expectClearFailure(await serve('mgr', toml), 'heartbeat-timeout', 'soon');
    const agent = await changed('dummy agent', [/^backend.*$/m, 'backend = "podman"']);
    expectClearFailure(await serve('ag', agent), 'backend', '"docker", "process" or "dummy"');
  });
});

describe.skipIf(!isReady)('a server that is missing', () => {
  const nowhere = '127.0.0.1:1';

  test('PostgreSQL', async () => {
    const toml = await changed('manager', [/^\[db\]\naddr.*$/m, `[db]\naddr = "${nowhere}"`]);
    expectClearFailure(await serve('mgr', toml), nowhere, 'PostgreSQL');
  });

  test('the password of PostgreSQL is wrong', async () => {
    const toml = await changed('manager', [/^password.*$/m, 'password = "wrong"']);
    const outcome = await serve('mgr', toml);
    expectClearFailure(outcome, 'password');
    expect(outcome.stderr).not.toContain('wrong');
  });

  test('etcd, for both servers', async () => {
    const manager = await changed('manager', [
      /^\[etcd\]\naddr.*$/m,
      `[etcd]\naddr = "${nowhere}"`,
    ]);
    expectClearFailure(await serve('mgr', manager), nowhere, 'etcd');
    const agent = await changed('dummy agent', [
      /^\[etcd\]\naddr.*$/m,
      `[etcd]\naddr = "${nowhere}"`,
    ]);
    expectClearFailure(await serve('ag', agent), nowhere, 'etcd');
  });

  test('Redis', async () => {
    const toml = await changed('manager', [/^namespace.*$/m, 'namespace = "without-redis"']);
    expectClearFailure(await serve('mgr', toml), 'config/redis/addr', 'mgr etcd put');
    const cwd = join(folder, `server-${runs}`);
    await mustRun(['mgr', 'etcd', 'put', 'config/redis/addr', nowhere], { cwd });
    const outcome = await runCli(['mgr', 'start-server'], { cwd, timeoutMs: FAILURE_TIMEOUT_MS });
    expectClearFailure(outcome, nowhere, 'Redis');
  });

  test('Docker', async () => {
    const agent = await changed(
      'dummy agent',
      [/^backend.*$/m, 'backend = "docker"'],
      [/^id.*$/m, 'id = "i-docker"'],
      [/^rpc-listen-addr.*$/m, `rpc-listen-addr = "127.0.0.1:${await freePort()}"`],
    );
    const env = { DOCKER_HOST: `unix://${folder}/no-docker.sock` };
    expectClearFailure(await serve('ag', agent, env), 'no-docker.sock', 'DOCKER_HOST');
  });
});

describe.skipIf(!isReady)('a port in use', () => {
  const portIn = (toml: string, key: string) =>
    new RegExp(`^${key} = "127.0.0.1:(\\d+)"`, 'm').exec(toml)?.[1] ?? 'no port';

  test('of a manager', async () => {
    const toml = await changed('manager', [/^id.*$/m, 'id = "i-second"']);
    expectClearFailure(await serve('mgr', toml), portIn(toml, 'service-addr'), 'service-addr');
  });

  test('of an agent', async () => {
    const toml = await changed('dummy agent', [/^id.*$/m, 'id = "i-second"']);
    expectClearFailure(await serve('ag', toml), portIn(toml, 'rpc-listen-addr'), 'rpc-listen-addr');
    const known = await cluster.sql`SELECT id FROM agents WHERE id = 'i-second'`;
    expect([...known]).toEqual([]);
  });
});

describe.skipIf(!isReady)('a request that can not be served', () => {
  const ask = (args: string[], env: Record<string, string> = {}) =>
    runCli(args, { cwd: folder, env: { ...cluster.clientEnvironment, ...env } });

  test('the keys are right', async () => {
    const { code, stdout } = await ask(['ps']);
    expect({ code, isEmpty: stdout.includes('RUNNING') }).toEqual({ code: 0, isEmpty: false });
  });

  test('a wrong secret key', async () => {
    expectClearFailure(await ask(['ps'], { BACKEND_SECRET_KEY: 'wrong' }), '401', /signature/i);
  });

  test('an unknown access key', async () => {
    expectClearFailure(await ask(['ps'], { BACKEND_ACCESS_KEY: 'AKIANOBODY' }), '401');
  });

  test('no keys at all', async () => {
    expectClearFailure(await ask(['ps'], { BACKEND_ACCESS_KEY: '' }), /BACKEND_ACCESS_KEY|401/);
  });

  test('nobody answers', async () => {
    const env = { BACKEND_ENDPOINT: 'http://127.0.0.1:1' };
    expectClearFailure(await ask(['ps'], env), 'http://127.0.0.1:1');
  });

  test.each([
    ['ahead', 3600_000],
    ['behind', -3600_000],
  ])('a clock an hour %s: the difference is told', async (direction, offsetMs) => {
    const { BACKEND_ENDPOINT: endpoint = '' } = cluster.clientEnvironment;
    const target = '/session/_/match?id=x';
    const headers = signedHeaders(
      {
        accessKey: cluster.clientEnvironment.BACKEND_ACCESS_KEY ?? '',
        secretKey: cluster.clientEnvironment.BACKEND_SECRET_KEY ?? '',
      },
      { target, host: new URL(endpoint).host, date: new Date(Date.now() + offsetMs).toISOString() },
    );
    const response = await fetch(`${endpoint}${target}`, { headers });
    expect(response.status).toBe(400);
    const text = await response.text();
    expect(text).toContain(direction);
    // A second or so passes between the two looks at the clock.
    expect(text).toMatch(/\b(359\d|360\d)\b/);
  });

  test('an unknown image: those with a similar name are told', async () => {
    const outcome = await ask(['run', '-c', 'print(1)', 'pyhton']);
    expectClearFailure(outcome, "'pyhton'", 'python');
    expect(outcome.stdout).toBe('');
  });

  test.each([
    ['cpu=4000', 'cpu', '4000', '200'],
    ['mem=900t', 'mem', '921600g', '32512m'],
    ['cuda.device=1', 'cuda.device', '1', '0'],
    ['unobtainium=1', 'unobtainium', 'cpu', 'mem'],
    ['cpu=lots', 'cpu', 'lots', 'not an amount'],
    ['cpu=-1', 'cpu', '-1', 'not an amount'],
  ])('impossible resources: %s', async (resource, slot, asked, available) => {
    const args = ['session', 'create', '--scaling-group', 'simulated', '-r', resource, 'dummy'];
    expectClearFailure(await ask(args), slot, asked, available);
    const made = await cluster.sql`SELECT id FROM sessions`;
    expect([...made]).toEqual([]);
  });

  test('a resource group, a session, a project that do not exist', async () => {
    const create = ['session', 'create', '-r', 'cpu=1'];
    expectClearFailure(await ask([...create, '--scaling-group', 'nowhere', 'dummy']), 'nowhere');
    expectClearFailure(await ask([...create, '-g', 'nobodys', 'dummy']), 'nobodys');
    expectClearFailure(await ask(['session', 'info', 'no-such-session']), 'no-such-session');
  });
});

describe('the command line', () => {
  const say = (...args: string[]) => runCli(args, { cwd: folder });

  test.each([
    [['frobnicate'], "No such command 'frobnicate'"],
    [['session', 'craete'], "'craete'"],
    [['mgr', 'schema', 'twoshot'], "'twoshot'"],
    [['ps', '--frob'], '--frob'],
    [['ps', '--limit', 'many'], 'many'],
    [['run', '-c'], '-c'],
    [['run', '--priority', 'high', '-c', '1', 'python'], 'high'],
    [['run', '-r', 'cpu', '-c', '1', 'python'], 'cpu'],
    [['run'], 'IMAGE'],
    [['up', '--backend', 'podman'], 'podman'],
    [['up', '--port', '70000'], '70000'],
    [['up', '--env-id', '../elsewhere'], '../elsewhere'],
    [['--output', 'xml', 'ps'], 'xml'],
  ])('%p is refused with exit code 2', async (args, text) => {
    const outcome = await say(...args);
    expectClearFailure(outcome, text);
    expect(outcome.code).toBe(2);
    expect(outcome.stdout).toBe('');
  });
});
