/** Installed again, an installation keeps the parts of which nothing is said: what would go on running unseen. */
import { afterAll, afterEach, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { systemRandom } from '../../common/random.ts';
import { mustRun } from '../../testing/faults/programs.ts';
import { installRequest } from '../../testing/install-request.ts';
import { layoutOf, writeInfo } from '../layout.ts';
import { planFor } from '../plan.ts';
import { type InstallRequest, PLAIN_APP_PROXY } from '../request.ts';
import { infoOf, requestOf, withInstalledParts } from './record.ts';

const home = mkdtempSync(join(tmpdir(), 'bai-record-'));
const layout = layoutOf(join(home, 'cluster'));
afterEach(() => rmSync(layout.root, { recursive: true, force: true }));
afterAll(() => rmSync(home, { recursive: true, force: true }));

/** As somebody asks who names no part. */
const plain: InstallRequest = installRequest({
  ...{ mode: 'develop', targetPath: layout.root, watch: 'telemetry', isWatchOptional: true },
});
const withAll: InstallRequest = {
  ...plain,
  appProxy: {
    ...{ ...PLAIN_APP_PROXY, frontendMode: 'wildcard', fqdnPrefix: 'lab' },
    ...{ tlsAdvertised: true, advertisedPort: 8443, metricAccess: '10.0.0.0/8' },
  },
  sftpAgent: true,
  harbor: {
    ...{ hostname: 'registry.lab.example', httpPort: 8085, adminPassword: null },
    ...{ archive: '/no/such.tgz', sha256: 'a'.repeat(64) },
  },
  ...{ watch: 'observability', isWatchOptional: false },
  ports: { ...plain.ports, appProxy: 11_200, sftpAgentRpc: 7013, grafana: 3001 },
};
const install = (request: InstallRequest) => writeInfo(layout, infoOf(request, systemClock));
const environment = {
  ...{ clock: systemClock, random: systemRandom, signal: new AbortController().signal },
  ...{ isRoot: false, userName: 'somebody' },
};
const parts = ({ appProxy, sftpAgent, harbor, watch, isWatchOptional, ports }: InstallRequest) => ({
  ...{ appProxy, sftpAgent, harbor, watch, isWatchOptional, ports },
});

test('a record tells of the request that led to it', () => {
  expect(parts(requestOf(infoOf(withAll, systemClock), plain))).toEqual(parts(withAll));
});

test('what is there stays, with its options and ports, in either mode, and the plan says so', () => {
  install(withAll);
  expect(parts(withInstalledParts(plain))).toEqual(parts(withAll));
  const asPackage: InstallRequest = { ...plain, mode: 'package', watch: 'nothing' };
  expect(parts(withInstalledParts(asPackage))).toEqual(parts(withAll));
  const { summary, steps } = planFor(plain, environment);
  expect(summary).toContain(
    'Already there, and kept: the app proxy, what sees into it (observability), the SFTP agent, Harbor. ' +
      'To remove the app proxy: --mode configure --without-app-proxy; what sees into it (observability): --disable-telemetry.',
  );
  expect(steps.map(({ id }) => id)).toEqual(
    expect.arrayContaining(['start-proxy', 'start-sftp-agent', 'harbor', 'watch']),
  );
});

test('what is said is done', () => {
  install(withAll);
  const said: InstallRequest = {
    ...{ ...plain, appProxy: PLAIN_APP_PROXY, watch: 'nothing', isWatchOptional: false },
    ports: { ...plain.ports, appProxy: 12_200 },
  };
  const { appProxy, watch, ports } = withInstalledParts(said);
  expect(appProxy).toEqual(PLAIN_APP_PROXY);
  expect(watch).toBe('nothing');
  expect(ports.appProxy).toBe(12_200);
});

test('a collector that is named takes the place only of one that nobody asked for', () => {
  const named: InstallRequest = {
    ...plain,
    watch: 'nothing',
    otelEndpoint: 'http://192.0.2.1:4318',
  };
  install(plain);
  expect(withInstalledParts(named).watch).toBe('nothing');
  install(withAll);
  expect(withInstalledParts(named).watch).toBe('observability');
});

test('other modes, other servers, nothing and a damaged record keep nothing', () => {
  expect(withInstalledParts(plain)).toEqual(plain);
  install(withAll);
  const join: InstallRequest = { ...plain, mode: 'join' };
  expect(withInstalledParts(join)).toEqual(join);
  const existing = { postgres: 'a:1', redis: 'b:1', etcd: 'c:1' };
  expect(
    withInstalledParts({ ...plain, halfstack: 'auto', existing, watch: 'nothing' }).watch,
  ).toBe('nothing');
  writeFileSync(layout.info, '{');
  expect(withInstalledParts(plain)).toEqual(plain);
  // Such a record is replaced, as its message says.
  expect(planFor(withAll, environment).checks.length).toBeGreaterThan(0);
});

test('an option changes what it names, and nothing else', async () => {
  install(withAll);
  const { stdout } = await mustRun(
    [
      ...['install', '--dry-run', '--mode', 'develop', '--target-path', layout.root],
      ...[
        '--harbor-http-port',
        '8086',
        '--advertised-port',
        '9443',
        '--app-proxy-h2-port',
        '10999',
      ],
    ],
    { cwd: home },
  );
  expect(stdout).toContain('is at http://registry.lab.example:8086.');
  expect(stdout).toContain("Look at Harbor's installer /no/such.tgz");
  expect(stdout).toContain('Port 11200 for the app proxy');
  expect(stdout).toContain('Port 10999 for the http/2 worker of the app proxy');
  expect(stdout).toContain('at names below .lab.app.backend.ai, https, port 9443.');
  expect(stdout).toContain('Grafana 3001');
}, 60_000);
