/** What options do nothing is said at once, and what they will do is shown. */
import { afterAll, expect, setDefaultTimeout, test } from 'bun:test';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expectClearFailure, mustRun, runCli } from '../../testing/faults/programs.ts';

setDefaultTimeout(60_000);
const home = mkdtempSync(join(tmpdir(), 'bai-options-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));

const dryRun = (...args: string[]) => [
  ...['install', '--dry-run', '--target-path', join(home, 'cluster'), ...args],
];

test('accelerators are named before anything is done', async () => {
  const args = dryRun('--mode', 'package', '--accelerator', 'ROCM_MOCK');
  const { stdout } = await mustRun(args, { cwd: home });
  expect(stdout).toContain('Sessions of the agent: process, with simulated AMD GPUs.');
  expect(readdirSync(home)).toEqual([]);
});

test.each([
  ['standalone', 'backend.ai up --mock-accelerator FILE'],
  ['join', 'Only --mode develop, package and configure take --accelerator.'],
  ['maintain', 'Only --mode develop, package and configure take --accelerator.'],
])('with --mode %s no accelerator is chosen', async (mode, reason) => {
  const outcome = await runCli(dryRun('--mode', mode, '--accelerator', 'cuda'), { cwd: home });
  expectClearFailure(outcome, reason);
});

test('an SFTP agent is installed with the others, and not afterwards', async () => {
  const { stdout } = await mustRun(dryRun('--mode', 'package', '--with-sftp-agent'), { cwd: home });
  expect(stdout).toContain(
    'A second agent serves folders over SFTP, in the resource group upload.',
  );
  expect(stdout).toContain('Start the agent for sftp');
  const other = await runCli(dryRun('--mode', 'join', '--with-sftp-agent'), { cwd: home });
  expectClearFailure(other, 'take --with-sftp-agent.');
});

test('an app proxy is told where it is reached before anything is done', async () => {
  const names = ['--fqdn-prefix', 'lab', '--app-base-domain', 'example.com'];
  const args = dryRun('--mode', 'package', '--frontend-mode', 'wildcard', ...names);
  const { stdout } = await mustRun([...args, '--tls-advertised'], { cwd: home });
  expect(stdout).toContain('at names below .lab.app.example.com, https, port 443.');
  expect(stdout).toContain("Create the app proxy's database and its tables");
  expect(stdout).toContain('Start the http/2 worker of the app proxy');
});

test.each([
  [['--frontend-mode', 'wildcard'], 'needs names for apps: add --fqdn-prefix'],
  [['--advertised-port', '8443'], 'add --tls-advertised or --frontend-mode wildcard'],
  [['--metric-access-cidr', '10.0.0.0/33'], "'10.0.0.0/33' is not an address or block"],
  [['--fqdn-prefix', 'a.b'], "'a.b' is not a part of a host name"],
])('of the app proxy, %p is refused', async (options, reason) => {
  const outcome = await runCli(dryRun('--mode', 'package', ...options), { cwd: home });
  expectClearFailure(outcome, reason);
});

test('what sees into a cluster is told with what is pulled for it', async () => {
  const asked = dryRun('--mode', 'package', '--enable-observability', '--grafana-port', '3001');
  const { stdout } = await mustRun(asked, { cwd: home });
  expect(stdout).toContain('Prometheus 9090, scraper 9091, Alertmanager 9093, Grafana 3001.');
  expect(stdout).toMatch(/Images that are not here are pulled: .*grafana\/grafana:11/);
  expect(stdout).toContain('Port 3001 for the Grafana of compose');
  const byDefault = await mustRun(dryRun('--mode', 'develop'), { cwd: home });
  expect(byDefault.stdout).toContain('Start the collector, Loki and Tempo with compose');
  expect(byDefault.stdout).toContain(
    'Compose pulls and starts the collector, Loki and Tempo, too, or goes on without where that fails.',
  );
});

test.each([
  ['package', []],
  ['develop', ['--disable-telemetry']],
  ['develop', ['--otel-endpoint', 'http://192.0.2.1:4318']],
])('with --mode %s and %p nothing sees into it', async (mode, options) => {
  const { stdout } = await mustRun(dryRun('--mode', mode, ...options), { cwd: home });
  expect(stdout).not.toContain('Loki');
});

const ELSEWHERE = ['--postgres-addr', 'a:1', '--redis-addr', 'b:1', '--etcd-addr', 'c:1'];
test.each([
  ['develop', ['--enable-telemetry', '--disable-telemetry'], 'not both'],
  ['join', ['--enable-telemetry'], 'Only --mode develop and package take --enable-telemetry'],
  ['standalone', ['--enable-observability'], 'take --enable-observability'],
  ['package', ['--enable-observability', ...ELSEWHERE], '--otel-endpoint'],
])('with --mode %s, %p is refused', async (mode, options, reason) => {
  expectClearFailure(await runCli(dryRun('--mode', mode, ...options), { cwd: home }), reason);
});

test('Harbor is shown before anything is done, and for develop only', async () => {
  const named = ['--harbor-hostname=registry.lab.example', '--harbor-download-uri', '/no/such.tgz'];
  const { stdout } = await mustRun(dryRun('--mode', 'develop', ...named), { cwd: home });
  expect(stdout).toContain('is at http://registry.lab.example:8084.');
  expect(stdout).toContain("Look at Harbor's installer /no/such.tgz");
  const fetched = await mustRun(dryRun('--mode', 'develop', '--with-harbor'), { cwd: home });
  expect(fetched.stdout).toContain('harbor-offline-installer-v2.11.0.tgz');
  expect(fetched.stdout).not.toContain('http://127.0.0.1:8084');
  const elsewhere = await runCli(dryRun('--mode', 'package', '--with-harbor'), { cwd: home });
  expectClearFailure(elsewhere, 'Only --mode develop takes --with-harbor.');
});

test.each([
  [['--harbor-hostname', '127.0.0.1'], 'Harbor is not reached by 127.0.0.1'],
  [['--harbor-hostname', 'a b'], "'a b' is not the name or address of a host"],
  [['--harbor-http-port', '70000'], '65535'],
  [['--harbor-admin-password', 'short'], 'at least 8 characters'],
  [['--harbor-download-sha256', 'abc'], "'abc' is not a SHA-256"],
  [['--harbor-download-uri', 'ftp://example.com/x.tgz'], 'is neither http, https nor a file'],
  [['--harbor-download-uri', 'https://'], "'https://' is neither http, https nor a file"],
  [['--harbor-download-uri', 'file://host/x.tgz'], 'is neither http, https nor a file'],
])('of Harbor, %p is refused', async (options, reason) => {
  const outcome = await runCli(dryRun('--mode', 'develop', ...options), { cwd: home });
  expectClearFailure(outcome, reason);
});

test('upstream’s words for accelerators and the app proxy mean the same', async () => {
  const asked = [
    '--enable-rocm-mock',
    '--app-proxy-impl=port',
    '--app-proxy-coordinator-port=1200',
  ];
  const { stdout } = await mustRun(dryRun('--mode', 'package', ...asked), { cwd: home });
  expect(stdout).toContain('with simulated AMD GPUs.');
  expect(stdout).toContain('Port 1200 for the app proxy');
  const two = dryRun('--mode', 'package', '--enable-cuda', '--accelerator', 'cuda_mock');
  expectClearFailure(await runCli(two, { cwd: home }), 'not cuda_mock and cuda.');
});

test.each([
  [['--configure-ha'], 'halfstack/ha.yaml'],
  [['--python-version', '3.13'], 'no Python is needed'],
  [['--ipc-base-path=/tmp/x'], '--target-path'],
  [['--codespaces-on-create'], 'needs no container'],
])('upstream’s %p says why it is not taken', async (options, reason) => {
  expectClearFailure(await runCli(dryRun('--mode', 'develop', ...options), { cwd: home }), reason);
});

test('upstream’s --enable-storage says why it is not taken', async () => {
  const outcome = await runCli(dryRun('--mode', 'develop', '--enable-storage'), { cwd: home });
  expectClearFailure(outcome, 'MinIO, which nothing here uses', 'artifact-storages');
});

test('without an installation there is nothing to configure, and servers are not changed', async () => {
  const nothing = await runCli(dryRun('--mode', 'configure'), { cwd: home });
  expectClearFailure(nothing, 'There is no installation in', '--target-path');
  const servers = dryRun('--mode', 'configure', '--etcd-port', '2379');
  expectClearFailure(await runCli(servers, { cwd: home }), 'it does not take --etcd-port');
});
