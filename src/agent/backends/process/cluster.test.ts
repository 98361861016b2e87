/** Clusters of sandboxed processes: names, addresses, and the settings of SSH. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../../common/clock.ts';
import type { KernelSpec } from '../../../common/protocol/kernel.ts';
import { silentLogger } from '../../../logging/logger.ts';
import { freePort } from '../../../testing/services.ts';
import { noGrant } from '../../resources/grant.ts';
import type { Peer, RunnerClient } from '../backend.ts';
import { loopbackOf } from '../cluster-files.ts';
import { runCode, serveName, testSpec, visitName } from '../testing/kernels.ts';
import { ProcessBackend } from './process-backend.ts';

const TIMEOUT_MS = 60_000;
const keys = { publicKey: 'ssh-rsa AAAA\n', privateKey: 'not a real key\n' };

let stateDir: string;
let backend: ProcessBackend;
const open = () =>
  new ProcessBackend({ stateDir, clock: systemClock, log: silentLogger, kernelHost: '127.0.0.1' });

beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'process-cluster-'));
  backend = open();
});
afterEach(async () => {
  for (const { kernelId } of await backend.list()) await backend.destroy(kernelId, 0);
  await backend.close();
  await rm(stateDir, { recursive: true, force: true });
}, TIMEOUT_MS);

interface Started {
  readonly spec: KernelSpec;
  readonly runner: RunnerClient;
}

async function start(sessionId: string, hostname: string, more: Partial<KernelSpec> = {}) {
  const images = await backend.scanImages();
  const image = images.find(({ aliases }) => aliases.includes('python'));
  if (!image) throw new Error('Python is not installed');
  const base = testSpec(image, { sessionId, ...more });
  const spec: KernelSpec = {
    ...base,
    cluster: { ...base.cluster, size: 2, hostname, sshKeypair: keys },
  };
  const limit = () => AbortSignal.timeout(TIMEOUT_MS / 2);
  await backend.create(spec, noGrant, limit());
  return { spec, runner: await backend.connectRunner(spec.kernelId, limit()) };
}

const peer = ({ spec }: Started, more: Partial<Peer> = {}): Peer => ({
  ...{ kernelId: spec.kernelId, hostname: spec.cluster.hostname, host: '127.0.0.1' },
  ...{ sshPort: 30_001, isNeighbour: true },
  ...more,
});
const python = async ({ runner }: Started, code: string) => {
  const { stdout, stderr } = await runCode(runner, code);
  return stdout + stderr;
};

test(
  'kernels on one host have addresses of their own, and the same port is free for each',
  async () => {
    const sessionId = randomUUID();
    const [main, sub] = [await start(sessionId, 'main1'), await start(sessionId, 'sub1')];
    for (const { spec } of [main, sub]) await backend.join(spec, [peer(main), peer(sub)]);
    const port = await freePort();
    await python(main, serveName(port));
    await python(sub, serveName(port));
    expect(await python(main, visitName('sub1', port))).toBe('sub1\n');
    expect(await python(sub, visitName('main1', port))).toBe('main1\n');
    expect(await python(sub, visitName('sub1', port))).toBe('sub1\n');
    expect(await python(main, 'print(socket.gethostbyname("sub1"))')).toBe(
      `${loopbackOf(sub.spec.kernelId)}\n`,
    );
  },
  TIMEOUT_MS,
);

test(
  'across hosts names resolve to hosts; SSH goes to their ports; a successor knows that it joined',
  async () => {
    const sessionId = randomUUID();
    const dotfiles = [{ path: '.ssh/config', mode: 0o600, data: 'Host own\n  Port 22\n' }];
    const [main, sub] = [
      await start(sessionId, 'main1', { dotfiles }),
      await start(sessionId, 'sub1'),
    ];
    const joined = async (agent: ProcessBackend) =>
      (await agent.list()).find(({ kernelId }) => kernelId === main.spec.kernelId)?.joined;
    expect(await joined(backend)).toBe(false);
    const distant = { host: '192.0.2.7', isNeighbour: false, sshPort: 31_000 };
    await backend.join(main.spec, [peer(main), peer(sub, distant)]);
    const successor = open();
    expect(await joined(successor)).toBe(true);
    await successor.close();

    const read = (path: string) => python(main, `print(open("${path}").read(), end="")`);
    expect(await read('/etc/hosts')).toContain('127.0.0.1 main1\n192.0.2.7 sub1\n');
    expect(await read('/home/work/.ssh/config')).toBe(
      'Include /home/config/ssh/config\nHost own\n  Port 22\n',
    );
    expect(await read('/home/config/ssh/id_cluster')).toBe(keys.privateKey);
    // What OpenSSH's own client makes of it.
    const settings = `import subprocess
print(subprocess.run(["ssh", "-G", "sub1"], capture_output=True, text=True).stdout)`;
    const understood = await python(main, settings);
    for (const line of [
      ...['hostname 192.0.2.7', 'port 31000', 'identityfile /home/config/ssh/id_cluster'],
      ...['stricthostkeychecking false', 'user work'],
    ]) {
      expect(understood).toContain(`${line}\n`);
    }
  },
  TIMEOUT_MS,
);

test(
  'a host that cannot be resolved is named',
  async () => {
    const main = await start(randomUUID(), 'main1');
    const lost = { host: 'no-such-host.invalid', hostname: 'sub1', isNeighbour: false };
    const joining = backend.join(main.spec, [peer(main), peer(main, lost)]);
    await expect(joining).rejects.toThrow("'no-such-host.invalid'");
  },
  TIMEOUT_MS,
);
