/** The app proxy's files say what was asked for, in words that its programs take. */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { loadCoordinatorConfig } from '../../appproxy/coordinator/config-file.ts';
import { loadWorkerConfig } from '../../appproxy/worker/config-file.ts';
import { systemRandom } from '../../common/random.ts';
import { installRequest } from '../../testing/install-request.ts';
import { layoutOf, loadOrCreateSecrets, writeOwnFile } from '../layout.ts';
import type { AppProxyWish, InstallRequest } from '../request.ts';
import { storedSettings, writeConfigFiles } from './config-files.ts';

setDefaultTimeout(60_000);
const home = mkdtempSync(join(tmpdir(), 'bai-app-proxy-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const layout = layoutOf(join(home, 'cluster'));
const named: AppProxyWish = {
  frontendMode: 'wildcard',
  fqdnPrefix: 'lab',
  appBaseDomain: 'example.com',
  storageBaseDomain: 'files.example.com',
  tlsAdvertised: true,
  advertisedPort: 443,
  metricAccess: '10.0.0.0/8',
};

const requestWith = (part: Partial<InstallRequest>): InstallRequest =>
  installRequest({
    targetPath: layout.root,
    publicAddress: '192.0.2.7',
    appProxy: named,
    ...part,
  });

function write(part: Partial<InstallRequest>) {
  const secrets = loadOrCreateSecrets(layout, systemRandom);
  writeConfigFiles(requestWith(part), layout, secrets);
  const places = { cwd: layout.config, home };
  const load = (name: string) => ({
    explicitPath: join(layout.config, name),
    ...{ places, env: {} },
  });
  return {
    secrets,
    coordinator: loadCoordinatorConfig(load('app-proxy-coordinator.toml')),
    http: loadWorkerConfig(load('app-proxy-worker-http.toml')),
    tcp: loadWorkerConfig(load('app-proxy-worker-tcp.toml')),
    h2: loadWorkerConfig(load('app-proxy-worker-h2.toml')),
  };
}

test('with names, behind TLS', () => {
  const { coordinator, http, tcp, h2, secrets } = write({});
  expect(coordinator.settings.advertisedUrl).toBe('https://lab.apphub.example.com');
  expect(coordinator.settings.metricsFrom).toEqual(['10.0.0.0/8']);
  // Who looks at it is on this machine.
  const watched = write({ watch: 'observability' });
  expect(watched.http.settings.metricsFrom).toEqual(['10.0.0.0/8', '127.0.0.1/32']);
  expect(watched.coordinator.otel.endpoint).toBe('http://127.0.0.1:4318');
  expect(coordinator.db.database).toBe('backend_appproxy');
  expect(coordinator.redis?.keyPrefix).toBe('backendai:local:');
  expect(http.settings.frontend).toEqual({
    mode: 'wildcard',
    bind: { hostname: '0.0.0.0', port: 10_250 },
    domain: '.lab.app.example.com',
    advertisedPort: 443,
  });
  expect(http.settings.apiAdvertised).toEqual({ host: 'lab.app.example.com', port: 443 });
  expect([http, tcp, h2].map(({ settings }) => settings.tlsAdvertised)).toEqual([
    true,
    false,
    true,
  ]);
  expect(tcp.settings.frontend).toMatchObject({ mode: 'port', advertisedHost: '192.0.2.7' });
  expect(h2.settings.frontend.mode).toBe('port');
  for (const { withoutEffect } of [coordinator, http, tcp, h2]) expect(withoutEffect).toEqual([]);
  const { volumes } = storedSettings(requestWith({}), secrets);
  expect(volumes.proxies.local.client_api).toBe('https://lab.public.files.example.com');
});

test('with names, without TLS: everything is where it listens', () => {
  const { coordinator, http } = write({ appProxy: { ...named, tlsAdvertised: false } });
  expect(coordinator.settings.advertisedUrl).toBe('http://lab.apphub.example.com:10200');
  expect(http.settings.frontend).toMatchObject({ mode: 'wildcard', advertisedPort: 10_250 });
  expect(http.settings.apiAdvertised).toEqual({ host: 'lab.app.example.com', port: 10_201 });
});

test('with ports, of this machine only or of all its addresses', () => {
  const plain = { ...named, frontendMode: 'port', fqdnPrefix: null, tlsAdvertised: false } as const;
  const here = { appProxy: plain, publicAddress: '127.0.0.1' };
  const { coordinator, http } = write(here);
  expect(coordinator.settings.advertisedUrl).toBe('http://127.0.0.1:10200');
  expect(coordinator.listen.hostname).toBe('127.0.0.1');
  expect(http.settings.frontend).toMatchObject({ mode: 'port', bindHost: '127.0.0.1' });
  const open = write({ ...here, wildcardBinding: true });
  expect(open.coordinator.listen.hostname).toBe('0.0.0.0');
  expect(open.http.settings.frontend).toMatchObject({
    ...{ bindHost: '0.0.0.0', advertisedHost: '127.0.0.1' },
  });
  const manager = parse(readFileSync(join(layout.config, 'manager.toml'), 'utf8'));
  expect(manager.manager).toMatchObject({ 'service-addr': '0.0.0.0:8091' });
});

test('secrets of an installation without an app proxy are kept, and others added', () => {
  const older = layoutOf(join(home, 'older'));
  const kept = { database: 'd', storageToken: 't', storageManager: 'm' };
  const path = join(older.root, 'secrets.json');
  writeOwnFile(path, JSON.stringify(kept));
  const secrets = loadOrCreateSecrets(older, systemRandom);
  expect(secrets).toMatchObject(kept);
  expect(secrets.appProxyApi).toHaveLength(48);
  expect(loadOrCreateSecrets(older, systemRandom)).toEqual(secrets);
  expect(statSync(path).mode & 0o077).toBe(0);
});
