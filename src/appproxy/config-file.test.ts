/** app-proxy-coordinator.toml and app-proxy-worker.toml: the samples, and how what is wrong is told. */
import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadCoordinatorConfig } from './coordinator/config-file.ts';
import { loadWorkerConfig } from './worker/config-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'bai-proxy-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

const sample = (name: string) =>
  readFileSync(join(import.meta.dir, `../../config/${name}.toml`), 'utf8');
const samples = {
  coordinator: sample('app-proxy-coordinator'),
  worker: sample('app-proxy-worker'),
};
const places = { cwd: folder, home: folder };

function coordinator(text: string) {
  writeFileSync(join(folder, 'app-proxy-coordinator.toml'), text);
  return loadCoordinatorConfig({ places, env: {} });
}
function worker(text: string) {
  writeFileSync(join(folder, 'app-proxy-worker.toml'), text);
  return loadWorkerConfig({ places, env: {} });
}

test('the samples load, and every key of them has an effect', () => {
  const first = coordinator(samples.coordinator);
  expect(first.withoutEffect).toEqual([]);
  expect(first).toMatchObject({
    listen: { hostname: '127.0.0.1', port: 10_200, tls: null },
    db: { host: '127.0.0.1', port: 5432, database: 'appproxy', user: 'appproxy' },
    redis: null,
    settings: {
      ...{ apiSecret: 'change me', jwtSecret: 'change me too', workerTimeoutMs: 30_000 },
      ...{ advertisedUrl: 'http://127.0.0.1:10200', unusedCircuitMs: 3_600_000 },
      ...{ allowsUnauthorizedConfigure: false, metricsFrom: ['127.0.0.1/32'] },
    },
  });
  const second = worker(samples.worker);
  expect(second.withoutEffect).toEqual([]);
  expect(second.settings).toMatchObject({
    ...{ authority: 'worker-1', coordinator: 'http://127.0.0.1:10200', protocol: 'http' },
    frontend: {
      ...{ mode: 'port', bindHost: '127.0.0.1', bindPorts: [10_205, 10_300] },
      advertisedPorts: [10_205, 10_300],
    },
    permits: { secret: 'change me as well', digest: 'sha256' },
    heartbeatMs: 10_000,
  });
});

test('the keys that the samples show commented out are valid', () => {
  const shown = (text: string) => text.replace(/^# (\[[a-z_.]+\]$|[a-z_]+ = )/gm, '$1');
  expect(coordinator(shown(samples.coordinator)).settings).toEqual(
    coordinator(samples.coordinator).settings,
  );
  expect(worker(shown(samples.worker)).settings).toEqual(worker(samples.worker).settings);
  expect(coordinator(shown(samples.coordinator)).otel).toEqual(
    coordinator(samples.coordinator).otel,
  );
  expect(worker(shown(samples.worker)).otel).toEqual(worker(samples.worker).otel);
});

test('names below a domain', () => {
  const text = samples.worker
    .replace('frontend_mode = "port"', 'frontend_mode = "wildcard"')
    .replace(/^# (\[proxy_worker\.wildcard_domain\]|bind_addr|domain|advertised_port)/gm, '$1');
  expect(worker(text).settings.frontend).toEqual({
    ...{ mode: 'wildcard', bind: { hostname: '0.0.0.0', port: 8443 } },
    ...{ domain: '.apps.example.com', advertisedPort: 443 },
  });
});

test.each([
  [
    'a frontend without its section',
    'frontend_mode = "port"',
    'frontend_mode = "wildcard"',
    'wildcard_domain',
  ],
  ['TCP below a domain', 'protocol = "http"', 'protocol = "udp"', 'expected "http", "tcp"'],
  ['ports the wrong way round', '[10205, 10300]', '[10300, 10205]', 'lower port first'],
  ['TLS without files', '# tls_listen = false', 'tls_listen = true', 'tls-cert'],
  ['no coordinator', 'coordinator_endpoint = "http://127.0.0.1:10200"', '', 'coordinator-endpoint'],
])('of a worker %s is told', (_what, from, to, told) => {
  expect(() => worker(samples.worker.replace(from, to))).toThrow(told);
});

test('of a coordinator an empty secret is told', () => {
  const text = samples.coordinator.replace('api_secret = "change me"', 'api_secret = ""');
  expect(() => coordinator(text)).toThrow('api-secret');
});
