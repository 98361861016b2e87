/** Kernels in the host's network, in real containers: their ports, their names, and what is told of them. */
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import * as v from 'valibot';
import { DockerEngine } from '../../../common/docker/engine.ts';
import { SSH_SERVICE, TERMINAL_SERVICE } from '../../../common/images/labels.ts';
import type { KernelSpec } from '../../../common/protocol/kernel.ts';
import { sharedDocker } from '../../../testing/docker.ts';
import { importTestImage } from '../../../testing/images.ts';
import { freePort } from '../../../testing/services.ts';
import type { Peer } from '../backend.ts';
import { runCode, serveName, visitName } from '../testing/kernels.ts';
import type { DockerBackend } from './docker-backend.ts';
import { canRunDocker, makeDockerSetup, type StartedKernel, startKernel } from './testing/setup.ts';

const TIMEOUT_MS = 90_000;
const usable = canRunDocker();
const daemon = usable ? await sharedDocker() : null;
if (daemon) await importTestImage(daemon.socketPath, 'python');
afterAll(async () => await daemon?.stop(), TIMEOUT_MS);

/** The place of a kernel that is its session's only one. */
const alone: KernelSpec['cluster'] = {
  ...{ mode: 'single-node', size: 1, role: 'main', idx: 1, localRank: 0, hostname: 'main1' },
  sshKeypair: null,
};

/** The first line that a server sends by itself. */
function greeting(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, timeout: 20_000 });
    socket.once('data', (data) => {
      resolve(data.toString().split('\r\n')[0] ?? '');
      socket.destroy();
    });
    socket.once('timeout', () => socket.destroy(new Error('the server says nothing')));
    socket.once('error', reject);
  });
}

describe.skipIf(!usable)("kernels in the host's network", () => {
  const socketPath = daemon?.socketPath ?? '';
  const engine = new DockerEngine(socketPath);
  let setup: Awaited<ReturnType<typeof makeDockerSetup>>;
  let backend: DockerBackend;

  beforeEach(async () => {
    setup = await makeDockerSetup(socketPath);
    backend = setup.open();
  }, TIMEOUT_MS);
  afterEach(() => setup.takeAway(backend), TIMEOUT_MS);

  const start = (sessionId: string, hostname: string, more: Partial<KernelSpec> = {}) =>
    startKernel(backend, 'python', {
      sessionId,
      useHostNetwork: true,
      cluster: {
        ...{ mode: 'single-node', size: 2, role: hostname.replace(/\d+$/, ''), idx: 1 },
        ...{ localRank: 0, hostname },
        sshKeypair: { publicKey: 'ssh-rsa AAAA\n', privateKey: 'not a real key\n' },
      },
      ...more,
    });
  const python = async ({ runner }: StartedKernel, code: string) => {
    const { stdout, stderr } = await runCode(runner, code);
    return stdout + stderr;
  };
  /** The kernel's ports by service, which are the same inside and outside. */
  async function portsOf({ spec }: StartedKernel): Promise<Map<string, number>> {
    const kernel = (await backend.list()).find(({ kernelId }) => kernelId === spec.kernelId);
    return new Map(
      (kernel?.servicePorts ?? []).map((service) => {
        expect(service.host_ports).toEqual(service.container_ports);
        return [service.name, service.container_ports[0] ?? 0];
      }),
    );
  }
  async function peer(kernel: StartedKernel, more: Partial<Peer> = {}): Promise<Peer> {
    const { kernelId, cluster } = kernel.spec;
    const sshPort = (await portsOf(kernel)).get(SSH_SERVICE.name) ?? null;
    const place = { host: '127.0.0.1', sshPort, isNeighbour: true };
    return { kernelId, hostname: cluster.hostname, ...place, ...more };
  }
  const networkOf = async ({ containerId }: StartedKernel) =>
    v.parse(
      v.object({ HostConfig: v.object({ NetworkMode: v.string() }) }),
      await engine.call((docker) => docker.getContainer(containerId).inspect()),
    ).HostConfig.NetworkMode;

  test(
    'two of one session run at once: each has ports of its own, and they find each other by name',
    async () => {
      const [sessionId, named, common] = [randomUUID(), await freePort(), await freePort()];
      const [main, sub] = await Promise.all([
        start(sessionId, 'main1', { preopenPorts: [named] }),
        start(sessionId, 'sub1'),
      ]);
      for (const kernel of [main, sub]) expect(await networkOf(kernel)).toBe('host');
      expect(await python(main, 'print("hello world")')).toBe('hello world\n');
      expect(await python(sub, 'print("hello world")')).toBe('hello world\n');

      const [ofMain, ofSub] = [await portsOf(main), await portsOf(sub)];
      expect(ofMain.get(String(named))).toBe(named);
      expect(new Set([...ofMain.values(), ...ofSub.values()]).size).toBe(ofMain.size + ofSub.size);
      for (const ports of [ofMain, ofSub]) {
        const page = await fetch(`http://127.0.0.1:${ports.get(TERMINAL_SERVICE.name)}/`);
        expect(page.status).toBe(200);
        expect(await page.text()).toContain('<html');
        expect(await greeting(ports.get(SSH_SERVICE.name) ?? 0)).toStartWith('SSH-2.0-');
      }

      for (const { spec } of [main, sub]) {
        await backend.join(spec, [await peer(main), await peer(sub)]);
      }
      // The same port on both, at the addresses of their names.
      for (const kernel of [main, sub]) expect(await python(kernel, serveName(common))).toBe('');
      expect(await python(main, visitName('sub1', common))).toBe('sub1\n');
      expect(await python(sub, visitName('main1', common))).toBe('main1\n');
      const read = (path: string) => python(main, `print(open("${path}").read(), end="")`);
      expect(JSON.parse(await read('/home/config/ssh/port-mapping.json'))).toEqual({
        main1: ['127.0.0.1', ofMain.get(SSH_SERVICE.name)],
        sub1: ['127.0.0.1', ofSub.get(SSH_SERVICE.name)],
      });
      const networks = await engine.call((docker) => docker.listNetworks());
      expect(JSON.stringify(networks)).not.toContain(sessionId);
    },
    TIMEOUT_MS,
  );

  test(
    "of a session on several hosts, names stand for the hosts, and the host's own names stay known",
    async () => {
      const main = await start(randomUUID(), 'main1');
      const here = await peer(main, { host: '192.0.2.6' });
      const there: Peer = {
        ...{ kernelId: randomUUID(), hostname: 'sub1', host: '192.0.2.7' },
        ...{ sshPort: 30_001, isNeighbour: false },
      };
      await backend.join(main.spec, [here, there]);
      const hosts = await python(main, 'print(open("/etc/hosts").read(), end="")');
      expect(hosts).toContain('192.0.2.6 main1\n192.0.2.7 sub1\n');
      expect(hosts).toEndWith(await readFile('/etc/hosts', 'utf8'));
      const resolve = 'import socket; print(socket.gethostbyname("sub1"))';
      expect(await python(main, resolve)).toBe('192.0.2.7\n');
      const config = await readFile(
        join(setup.folder, 'scratches', main.spec.kernelId, 'config/ssh/config'),
        'utf8',
      );
      expect(config).toContain(`Host sub1\n  HostName 192.0.2.7\n  Port 30001\n`);
    },
    TIMEOUT_MS,
  );

  test(
    'an agent that takes over gives its ports to nobody else; that the network is shared is told',
    async () => {
      const single = { cluster: alone };
      const first = await start(randomUUID(), 'main1', single);
      expect(await python(first, 'import socket; print(socket.gethostbyname("main1"))')).toBe(
        '127.0.0.1\n',
      );
      const before = await portsOf(first);
      const gaps = (await backend.list()).flatMap(({ isolationGaps }) => isolationGaps);
      expect(gaps).toContain('The network is shared with the host.');
      await backend.close();
      backend = setup.open();
      await backend.list();
      const second = await start(randomUUID(), 'main1', single);
      const after = await portsOf(second);
      expect([...after.values()].filter((port) => [...before.values()].includes(port))).toEqual([]);

      const apart = await start(randomUUID(), 'main1', { ...single, useHostNetwork: false });
      expect(await networkOf(apart)).not.toBe('host');
      const told = (await backend.list()).find(({ kernelId }) => kernelId === apart.spec.kernelId);
      expect(told?.isolationGaps).not.toContain('The network is shared with the host.');
      expect(await backend.usage([second.spec.kernelId])).toHaveProperty('size', 1);
    },
    TIMEOUT_MS,
  );
});
