/** Every port that an installation listens at is looked at before anything is done, and told with its option. */
import { afterAll, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../common/clock.ts';
import { installRequest } from '../../testing/install-request.ts';
import { layoutOf, writeInfo } from '../layout.ts';
import { infoOf } from '../modes/record.ts';
import { type InstallRequest, PLAIN_APP_PROXY, type Ports } from '../request.ts';
import { portChecks } from './port-checks.ts';
import { servicesOf } from './services.ts';

const home = mkdtempSync(join(tmpdir(), 'bai-port-checks-'));
const layout = layoutOf(join(home, 'cluster'));
const taken = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } });
const { port } = taken;
afterAll(() => {
  taken.stop();
  rmSync(home, { recursive: true, force: true });
});

const withTaken = (name: keyof Ports, part: Partial<InstallRequest> = {}): InstallRequest => {
  const request = installRequest({ targetPath: layout.root, ...part });
  return { ...request, ports: { ...request.ports, [name]: port } };
};

/** What is found at the port that is taken. */
async function found(request: InstallRequest) {
  const services = servicesOf(infoOf(request, systemClock));
  const checks = portChecks(request, layout, services).filter(({ title }) =>
    title.startsWith(`Port ${port} `),
  );
  return await Promise.all(checks.map((check) => check.run()));
}

const all: Partial<InstallRequest> = {
  ...{ watch: 'observability', sftpAgent: true },
  appProxy: { ...PLAIN_APP_PROXY, frontendMode: 'wildcard', fqdnPrefix: 'lab' },
};

const OPTIONAL = ['webInternal', 'agentService', 'sftpAgentService', 'storageInternal'];

test.each<[keyof Ports, string]>([
  ['manager', '--manager-port'],
  ['managerInternal', '--manager-internal-port'],
  ['web', '--webserver-port'],
  ['webInternal', '--webserver-internal-port'],
  ['agentRpc', '--agent-rpc-port'],
  ['agentService', '--agent-service-port'],
  ['sftpAgentRpc', '--sftp-agent-rpc-port'],
  ['sftpAgentService', '--sftp-agent-service-port'],
  ['storageClient', '--storage-client-port'],
  ['storageManager', '--storage-manager-port'],
  ['storageInternal', '--storage-internal-port'],
  ['appProxy', '--app-proxy-port'],
  ['appProxyHttp', '--app-proxy-http-port'],
  ['appProxyTcp', '--app-proxy-tcp-port'],
  ['appProxyH2', '--app-proxy-h2-port'],
  ['appProxyWildcard', '--app-proxy-wildcard-port'],
  ['postgres', '--postgres-port'],
  ['redis', '--redis-port'],
  ['etcd', '--etcd-port'],
])('that of %s is chosen by %s', async (name, flag) => {
  const remedy = `End the program that listens there, or choose another port with ${flag}.`;
  // Without the health and the figures of a component, the rest goes on.
  const isWarning = OPTIONAL.includes(name) ? true : undefined;
  expect(await found(withTaken(name, all))).toEqual([
    { problem: expect.stringContaining(`${port}, for the `), remedy, isWarning },
  ]);
});

test.each<[keyof Ports, Partial<InstallRequest>]>([
  ['webInternal', {}],
  ['appProxyWildcard', { appProxy: PLAIN_APP_PROXY }],
  ['sftpAgentService', {}],
  ['etcd', { halfstack: 'existing' }],
])('that of %s is not needed with %p', async (name, part) => {
  expect(await found(withTaken(name, part))).toEqual([]);
});

test('what compose started for this installation may stay', async () => {
  writeInfo(layout, infoOf(withTaken('postgres'), systemClock));
  expect(await found(withTaken('postgres'))).toEqual([null]);
  expect(await found(withTaken('redis'))).toEqual([
    { problem: expect.anything(), remedy: expect.stringContaining('--redis-port') },
  ]);
});
