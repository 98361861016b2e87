/** `mgr start-server` on real PostgreSQL, Redis and etcd: it serves, it ends, it says what is wrong. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { reportFailure } from '../../cli/framework/failures.ts';
import { runProgram } from '../../cli/framework/program.ts';
import type { CommandIo } from '../../common/command.ts';
import { openEtcdConfigStore } from '../../stores/config/etcd.ts';
import type { ConfigStore } from '../../stores/config/port.ts';
import { silentLog } from '../../testing/manager.ts';
import { type TestDatabase, testDatabase } from '../../testing/postgres.ts';
import {
  freePort,
  missingTool,
  requireOrSkip,
  sharedEtcd,
  sharedRedis,
} from '../../testing/services.ts';
import { until } from '../../testing/until.ts';
import { mgrCommands } from './index.ts';

/** A manager loads much, and the machine may be busy. */
const START_MS = 40_000;
const isReady =
  requireOrSkip(missingTool('etcd', 'etcd-server')) &&
  requireOrSkip(missingTool('redis-server', 'redis-server'));

describe.skipIf(!isReady)('mgr start-server', () => {
  let db: TestDatabase;
  let empty: TestDatabase;
  let etcd: Awaited<ReturnType<typeof sharedEtcd>>;
  let redis: Awaited<ReturnType<typeof sharedRedis>>;
  let store: ConfigStore;
  let folder = '';
  let ports: { service: number; internal: number };

  beforeAll(async () => {
    [db, empty, etcd, redis, folder] = await Promise.all([
      testDatabase(),
      testDatabase({ migrated: false }),
      sharedEtcd(),
      sharedRedis(),
      mkdtemp(join(tmpdir(), 'mgr-server-')),
    ]);
    const { addr, namespace } = etcd;
    store = await openEtcdConfigStore({ addrs: [addr], namespace, log: silentLog });
  });
  afterAll(async () => {
    await store.deletePrefix('');
    await store.close();
    await Promise.all([db.drop(), empty.drop(), etcd.stop(), redis.stop()]);
    await rm(folder, { recursive: true });
  });
  beforeEach(async () => {
    ports = { service: await freePort(), internal: await freePort() };
    await store.put('config/redis/addr', redis.addr);
    await configure(db);
  });

  async function configure(database: TestDatabase): Promise<void> {
    const { hostname, port, username, password, pathname } = new URL(database.url);
    await writeFile(
      join(folder, 'manager.toml'),
      `[db]
addr = "${hostname}:${port}"
name = "${pathname.slice(1)}"
user = "${username}"
password = "${password}"
pool-size = 4
max-overflow = 0
[etcd]
addr = "${etcd.addr}"
namespace = "${etcd.namespace}"
[manager]
id = "i-started"
service-addr = "127.0.0.1:${ports.service}"
internal-addr = "127.0.0.1:${ports.internal}"
rpc-auth-manager-keypair = "manager.key_secret"
pid-file = "manager.pid"
[logging]
level = "INFO"
drivers = ["file"]
file = { path = ".", filename = "manager.log" }
`,
    );
  }

  async function startServer(...args: string[]): Promise<{ code: number; stderr: string }> {
    let stderr = '';
    const sink = (write: (text: string) => void) => ({
      write: (chunk: string | Uint8Array) => write(String(chunk)),
      isTTY: false,
      columns: 80,
      rows: 24,
    });
    const io: CommandIo = {
      stdout: sink(() => {}),
      stderr: sink((text) => {
        stderr += text;
      }),
      env: { HOME: folder },
      cwd: folder,
    };
    const code = await runProgram(
      { name: 'mgr', description: '', version: '0', commands: mgrCommands },
      ['start-server', ...args],
      io,
      async (error, globals) => reportFailure(error, globals, io),
    );
    return { code, stderr };
  }

  const answers = async (port: number, path: string): Promise<boolean> => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`).catch(() => null);
    return response?.ok ?? false;
  };

  test('serves until SIGTERM, then leaves nothing behind', async () => {
    const running = startServer();
    await until(() => answers(ports.service, '/health'), 'the manager answers', START_MS);
    const version = await (await fetch(`http://127.0.0.1:${ports.service}/`)).json();
    expect(version).toEqual({ version: 'v9.20250722', manager: '26.4.4' });
    expect(await answers(ports.internal, '/health')).toBe(true);
    await until(async () => (await store.get('nodes/manager/i-started')) === 'up', 'it is listed');
    expect(await store.get('manager/status')).toBe('running');
    await until(async () => Bun.file(join(folder, 'manager.pid')).exists(), 'the pid is written');
    expect(await readFile(join(folder, 'manager.pid'), 'utf8')).toBe(`${process.pid}\n`);

    process.emit('SIGTERM');
    expect(await running).toEqual({ code: 0, stderr: '' });
    expect(await answers(ports.service, '/health')).toBe(false);
    expect(await store.get('nodes/manager/i-started')).toBeNull();
    expect(await Bun.file(join(folder, 'manager.pid')).exists()).toBe(false);
    expect((await stat(join(folder, 'manager.key_secret'))).mode & 0o777).toBe(0o600);
    expect(await readFile(join(folder, 'manager.log'), 'utf8')).toContain('the manager is ready');
  });

  test('keeps its key', async () => {
    const key = await readFile(join(folder, 'manager.key_secret'), 'utf8');
    const running = startServer('--debug');
    await until(() => answers(ports.service, '/health'), 'the manager answers', START_MS);
    process.emit('SIGINT');
    expect((await running).code).toBe(0);
    expect(await readFile(join(folder, 'manager.key_secret'), 'utf8')).toBe(key);
  });

  test('asks for the schema', async () => {
    await configure(empty);
    const { code, stderr } = await startServer();
    expect(code).toBe(1);
    expect(stderr).toContain('mgr schema oneshot');
  });

  test('asks for the address of Redis', async () => {
    await store.delete('config/redis/addr');
    const { code, stderr } = await startServer();
    expect(code).toBe(1);
    expect(stderr).toContain('mgr etcd put config/redis/addr');
  });

  test('names a Redis that is not there', async () => {
    await store.put('config/redis/addr', '127.0.0.1:1');
    const { code, stderr } = await startServer();
    expect(code).toBe(1);
    expect(stderr).toContain('127.0.0.1:1');
  });

  test.each(['service', 'internal'] as const)('names a taken port (%s)', async (which) => {
    const port = ports[which];
    const taken = Bun.serve({ hostname: '127.0.0.1', port, fetch: () => new Response() });
    try {
      const { code, stderr } = await startServer();
      expect(code).toBe(1);
      expect(stderr).toContain(`Port ${port}`);
      expect(stderr).toContain(`${which}-addr`);
    } finally {
      await taken.stop(true);
    }
  });

  test('refuses a log level that does not exist', async () => {
    expect((await startServer('--log-level', 'loud')).code).toBe(2);
  });
});
