/** Clusters in real containers: their networks, how kernels find each other, and what is left behind. */
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'bun:test';
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { DockerEngine } from '../../../common/docker/engine.ts';
import type { KernelSpec } from '../../../common/protocol/kernel.ts';
import { sharedDocker } from '../../../testing/docker.ts';
import { importTestImage } from '../../../testing/images.ts';
import type { Peer } from '../backend.ts';
import { runCode } from '../testing/kernels.ts';
import { SESSION_LABEL } from './container-spec.ts';
import type { DockerBackend } from './docker-backend.ts';
import { canRunDocker, makeDockerSetup, type StartedKernel, startKernel } from './testing/setup.ts';

const TIMEOUT_MS = 90_000;
const usable = canRunDocker();
const daemon = usable ? await sharedDocker() : null;
if (daemon) await importTestImage(daemon.socketPath, 'python');
afterAll(async () => await daemon?.stop(), TIMEOUT_MS);

const keys = { publicKey: 'ssh-rsa AAAA\n', privateKey: 'not a real key\n' };

/** The place of a kernel in a session of `size`. */
const place = (
  sessionId: string,
  hostname: string,
  more: Partial<KernelSpec['cluster']> = {},
): Partial<KernelSpec> => ({
  sessionId,
  cluster: {
    ...{ mode: 'single-node', size: 2, role: hostname.replace(/\d+$/, ''), idx: 1 },
    ...{ localRank: 0, hostname, sshKeypair: keys },
    ...more,
  },
});

const networkRows = v.array(
  v.object({ Name: v.string(), Labels: v.nullish(v.record(v.string(), v.string())) }),
);

const LISTEN = `
import socket, threading
server = socket.create_server(("", 5000))
def serve():
    while True:
        connection, _ = server.accept()
        connection.sendall(socket.gethostname().encode() + b"\\n")
        connection.close()
threading.Thread(target=serve, daemon=True).start()`;
const visit = (name: string) => `
import socket
print(socket.create_connection(("${name}", 5000), timeout=20).makefile().readline().strip())`;

describe.skipIf(!usable)('a cluster in containers', () => {
  const socketPath = daemon?.socketPath ?? '';
  const engine = new DockerEngine(socketPath);
  let setup: Awaited<ReturnType<typeof makeDockerSetup>>;
  let backend: DockerBackend;

  beforeEach(async () => {
    setup = await makeDockerSetup(socketPath);
    backend = setup.open();
  }, TIMEOUT_MS);
  afterEach(() => setup.takeAway(backend), TIMEOUT_MS);

  const networksOf = async (sessionId: string) => {
    const found = v.parse(networkRows, await engine.call((docker) => docker.listNetworks()));
    return found
      .filter(({ Labels }) => Labels?.[SESSION_LABEL] === sessionId)
      .map(({ Name }) => Name);
  };
  const startBoth = async (sessionId: string) => ({
    main: await startKernel(backend, 'python', place(sessionId, 'main1')),
    sub: await startKernel(backend, 'python', place(sessionId, 'sub1')),
  });
  const peer = ({ spec }: Pick<StartedKernel, 'spec'>, more: Partial<Peer> = {}): Peer => ({
    ...{ kernelId: spec.kernelId, hostname: spec.cluster.hostname, host: '127.0.0.1' },
    ...{ sshPort: 30_001, isNeighbour: true },
    ...more,
  });
  const python = async ({ runner }: StartedKernel, code: string) => {
    const { stdout, stderr } = await runCode(runner, code);
    return stdout + stderr;
  };

  test(
    'kernels of a session reach each other by name, those of another session not; the network goes with the last',
    async () => {
      const sessionId = randomUUID();
      const { main, sub } = await startBoth(sessionId);
      expect(await networksOf(sessionId)).toEqual([`bai-singlenode-${sessionId}`]);
      for (const { spec } of [main, sub]) await backend.join(spec, [peer(main), peer(sub)]);
      await python(sub, LISTEN);
      await python(main, LISTEN);
      expect(await python(main, visit('sub1'))).toBe('sub1\n');
      expect(await python(sub, visit('main1'))).toBe('main1\n');
      expect(await python(main, visit('main1'))).toBe('main1\n');
      expect(await python(main, 'print(socket.gethostbyname("localhost"))')).toBe('127.0.0.1\n');

      const stranger = await startKernel(backend, 'python', place(randomUUID(), 'main1'));
      expect(await python(stranger, visit('sub1'))).toContain('gaierror');

      await backend.destroy(sub.spec.kernelId, 0);
      expect(await networksOf(sessionId)).toHaveLength(1);
      await backend.destroy(main.spec.kernelId, 0);
      expect(await networksOf(sessionId)).toEqual([]);
    },
    TIMEOUT_MS,
  );

  test(
    'the key and the others are found in the configuration, also by an agent that takes over',
    async () => {
      const sessionId = randomUUID();
      const { main, sub } = await startBoth(sessionId);
      const read = (path: string) => python(main, `print(open("${path}").read(), end="")`);
      expect(await read('/home/config/ssh/id_cluster')).toBe(keys.privateKey);
      expect(await read('/home/config/ssh/id_cluster.pub')).toBe(keys.publicKey);
      const mode =
        'import os; s = os.stat("/home/config/ssh/id_cluster"); print(oct(s.st_mode & 0o777), s.st_uid == os.getuid())';
      expect(await python(main, mode)).toBe('0o600 True\n');
      expect(await read('/home/work/.ssh/config')).toBe('Include /home/config/ssh/config\n');
      const joinedOf = async (agent: DockerBackend) =>
        new Map((await agent.list()).map(({ kernelId, joined }) => [kernelId, joined]));
      expect((await joinedOf(backend)).get(main.spec.kernelId)).toBe(false);

      const distant = { host: '192.0.2.7', isNeighbour: false };
      await backend.join(main.spec, [peer(main), peer(sub, distant)]);
      const config = await read('/home/config/ssh/config');
      expect(config).toContain('Host main1\n  Port 2200\n');
      expect(config).toContain('Host sub1\n  HostName 192.0.2.7\n  Port 30001\n');
      expect(JSON.parse(await read('/home/config/ssh/port-mapping.json'))).toEqual({
        sub1: ['192.0.2.7', 30_001],
      });
      expect(await read('/etc/hosts')).toContain('192.0.2.7 sub1\n');
      const successor = setup.open();
      const joined = await joinedOf(successor);
      expect(joined.get(main.spec.kernelId)).toBe(true);
      expect(joined.get(sub.spec.kernelId)).toBe(false);
      await successor.close();
      // Where else secrets would lie open.
      const record = join(setup.folder, 'scratches', main.spec.kernelId, 'kernel.json');
      expect(await readFile(record, 'utf8')).toContain('not a real key');
      expect(await python(main, 'print(os.path.exists("/home/config/kernel.json"))')).toBe(
        'False\n',
      );
    },
    TIMEOUT_MS,
  );

  test(
    'a start that fails leaves no network, and one that a killed agent left is removed by the next',
    async () => {
      const failed = randomUUID();
      const missing = { name: 'x', root: '/nowhere', subpath: '.', target: '/home/work/x' };
      const mounts = [{ ...missing, readOnly: true }];
      const attempt = startKernel(backend, 'python', { ...place(failed, 'main1'), mounts });
      await expect(attempt).rejects.toThrow("'x' cannot be mounted");
      expect(await networksOf(failed)).toEqual([]);

      const sessionId = randomUUID();
      const { main, sub } = await startBoth(sessionId);
      for (const { containerId } of [main, sub]) {
        await engine.call((docker) => docker.getContainer(containerId).remove({ force: true }));
      }
      expect(await networksOf(sessionId)).toHaveLength(1);
      const successor = setup.open();
      const left = (await successor.list()).map(({ kernelId, state }) => [kernelId, state]);
      expect(left).toContainEqual([main.spec.kernelId, 'exited']);
      expect(await networksOf(sessionId)).toEqual([]);
      await successor.close();
    },
    TIMEOUT_MS,
  );

  test(
    'two agents of one daemon keep networks of their own for a session of several nodes',
    async () => {
      const sessionId = randomUUID();
      const second = await makeDockerSetup(socketPath);
      const other = second.open();
      const multi = { mode: 'multi-node' } as const;
      const main = await startKernel(backend, 'python', place(sessionId, 'main1', multi));
      const sub = await startKernel(other, 'python', place(sessionId, 'sub1', multi));
      expect(new Set(await networksOf(sessionId)).size).toBe(2);
      await backend.destroy(main.spec.kernelId, 0);
      expect(await networksOf(sessionId)).toHaveLength(1);
      await other.destroy(sub.spec.kernelId, 0);
      expect(await networksOf(sessionId)).toEqual([]);
      await other.close();
      await second.cleanUp();
    },
    TIMEOUT_MS,
  );
});
