/** manager.toml: what is accepted, and how what is wrong is told. */
import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadManagerConfig } from './config-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'bai-manager-'));
afterAll(() => rmSync(folder, { recursive: true }));

function load(text: string, env: Record<string, string> = {}) {
  writeFileSync(join(folder, 'manager.toml'), text);
  return loadManagerConfig({ places: { cwd: folder, home: folder }, env });
}

const sample = readFileSync(join(import.meta.dir, '../../config/manager.toml'), 'utf8');

test('the sample loads, and every key of it has an effect', () => {
  const config = load(sample);
  expect(config.withoutEffect).toEqual([]);
  expect(config.serviceAddr).toEqual({ host: '0.0.0.0', port: 8091 });
  expect(config.etcd.addrs).toEqual(['127.0.0.1:8121']);
});

test('the keys that the sample shows commented out are valid, and their defaults are right', () => {
  const keys = /^# ((?:[a-z-]+ = |\[[a-z.]+\]$).*)$/gm;
  const config = load(sample.replace(keys, '$1'));
  const { path: _, logging: __, pidFile, ...withKeys } = config;
  const { path: ___, logging: ____, pidFile: _____, ...without } = load(sample);
  expect(withKeys).toEqual(without);
  expect(pidFile).toBe('./manager.pid');
});

test("a file in upstream's style loads unmodified", () => {
  const config = load(`
[etcd]
namespace = "local"
addr = { host = "127.0.0.1", port = 8120 }
user = ""
password = ""
[db]
type = "postgresql"
addr = { host = "localhost", port = 8100 }
name = "backend"
user = "postgres"
password = "secret"
pool-recycle = 50
[manager]
num-proc = 4
service-addr = { host = "0.0.0.0", port = 8081 }
distributed_lock = "pg_advisory"
hide_agents = true
disabled-plugins = []
[docker-registry]
ssl-verify = false
[logging]
level = "info"
drivers = ["console", "logstash"]
[logging.pkg-ns]
"" = "WARNING"
"ai.backend" = "INFO"
[logging.logstash]
endpoint = { host = "localhost", port = 9300 }
[pyroscope]
enabled = true
[future-thing]
x = 1
`);
  expect(config.db).toMatchObject({ host: 'localhost', port: 8100, maxConnections: 72 });
  expect(config.etcd).toEqual({
    namespace: 'local',
    addrs: ['127.0.0.1:8120'],
    user: undefined,
    password: undefined,
  });
  expect(config.settings.hideAgents).toBe(true);
  expect(config.withoutEffect).toContain('[pyroscope] enabled');
  expect(config.withoutEffect).toContain('[manager] distributed-lock');
  expect(config.withoutEffect).toContain('[future-thing]');
});

test('the environment alone can name the database', () => {
  const config = load('', {
    BACKEND_DB_ADDR: 'db:1',
    BACKEND_DB_NAME: 'n',
    BACKEND_DB_USER: 'u',
    BACKEND_NAMESPACE: 'ns',
    BACKEND_ETCD_ADDR: 'a:1,b:2',
    BACKEND_SERVICE_PORT: '9',
  });
  expect(config.db).toMatchObject({ host: 'db', port: 1, name: 'n', user: 'u' });
  expect(config.etcd.addrs).toEqual(['a:1', 'b:2']);
  expect(config.etcd.namespace).toBe('ns');
  expect(config.serviceAddr).toEqual({ host: '0.0.0.0', port: 9 });
});

test('mistakes are told with line and remedy', () => {
  expect(() => load('[db]\nadr = "h:1"\nname = "n"\nuser = "u"\n')).toThrow(
    "manager.toml:2: [db] unknown key 'adr' (did you mean 'addr'?)",
  );
  expect(() => load('[db]\naddr = "h:1"\n')).toThrow('manager.toml:1: [db] name is missing');
  expect(() => load('[db]\nname = "n"\nuser = "u"\n[manager]\nssl-enabled = true\n')).toThrow(
    'manager.toml:4: [manager]: expected ssl-cert and ssl-privkey',
  );
});
