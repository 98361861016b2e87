/**
 * Sessions of several kernels in a cluster of separate programs, used through the command line: on one
 * agent and on two, with processes and with containers. A kernel dies, an agent is killed.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { DockerEngine } from '../../common/docker/engine.ts';
import { checkAccounting } from '../../manager/session/accounting-store.ts';
import { missingForDocker, sharedDocker, type TestDocker } from '../docker.ts';
import { importTestImage, missingForImages } from '../images.ts';
import { freePort, missingTool, requireOrSkip } from '../services.ts';
import { until } from '../until.ts';
import {
  CONTAINER_GROUP,
  type DistributedCluster,
  startDistributedCluster,
} from './distributed.ts';
import { namesIn, processesNaming } from './leftovers.ts';
import { mustRun } from './programs.ts';

const TIMEOUT_MS = 120_000;
const DEADLINE_MS = 60_000;
const isReady =
  requireOrSkip(missingTool('etcd', 'etcd-server')) &&
  requireOrSkip(missingTool('redis-server', 'redis-server')) &&
  requireOrSkip(missingForDocker() ?? missingForImages());

let docker: TestDocker;
let engine: DockerEngine;
let cluster: DistributedCluster;
let port: number;

const bridge = v.object({ IPAM: v.object({ Config: v.array(v.object({ Gateway: v.string() })) }) });
const networks = v.array(v.object({ Name: v.string() }));

/** The address of this host that containers and processes alike can reach. */
async function gateway(): Promise<string> {
  const found = await engine.call((daemon) => daemon.getNetwork('bridge').inspect());
  const address = v.parse(bridge, found).IPAM.Config[0]?.Gateway;
  if (address === undefined) throw new Error('the default bridge has no address');
  return address;
}

beforeAll(async () => {
  if (!isReady) return;
  docker = await sharedDocker();
  engine = new DockerEngine(docker.socketPath);
  await importTestImage(docker.socketPath, 'python');
  cluster = await startDistributedCluster({
    agents: ['process agent', 'second agent', 'docker agent', 'second docker agent'],
    bindHost: await gateway(),
    agentEnvironment: { DOCKER_HOST: `unix://${docker.socketPath}` },
  });
  port = await freePort();
}, TIMEOUT_MS);
afterAll(async () => {
  await cluster?.stop();
  await docker?.stop();
}, TIMEOUT_MS);

const cli = (...args: string[]) =>
  mustRun(args, {
    cwd: cluster.folder,
    env: cluster.clientEnvironment,
    timeoutMs: DEADLINE_MS,
  });

/** Every kernel greets whoever connects, with its own name, on one and the same port. */
const greeter = (address: string) => `cat > /tmp/greet.py <<'END'
import socket
server = socket.create_server((${address}, ${port}))
while True:
    connection, _ = server.accept()
    connection.sendall(socket.gethostname().encode())
    connection.close()
END
python3 /tmp/greet.py > /dev/null 2>&1 &
`;

interface Kernel {
  id: string;
  agent: string;
  name: string;
  status: string;
}

const kernelsOf = (session: string) => cluster.sql<Kernel[]>`
  SELECT k.id, k.agent, k.cluster_hostname AS name, k.status FROM kernels k
  JOIN sessions s ON s.id = k.session_id WHERE s.name = ${session} ORDER BY k.local_rank`;
const sessionOf = async (session: string) => {
  const [row] = await cluster.sql<{ id: string; status: string; info: string }[]>`
    SELECT id, status, status_info AS info FROM sessions WHERE name = ${session}`;
  if (!row) throw new Error(`there is no session ${session}`);
  return row;
};

async function create(name: string, image: string, address: string, ...more: string[]) {
  const script = join(cluster.folder, `${name}.sh`);
  await Bun.write(script, greeter(address));
  const options = ['--name', name, '--cluster-size', '2', '--bootstrap-script', script];
  await cli('session', 'create', image, ...options, '-r', 'mem=192m', ...more);
  expect((await sessionOf(name)).status).toBe('RUNNING');
}

/** Python of this host; the short name means more than one image here. */
async function interpreter(): Promise<string> {
  const [row] = await cluster.sql<{ name: string }[]>`
    SELECT name FROM images WHERE starts_with(name, 'local/python:') ORDER BY name LIMIT 1`;
  if (!row) throw new Error('this host has no Python');
  return row.name;
}

/** Runs Python on the main kernel. @returns what it printed. */
async function python(session: string, code: string): Promise<string> {
  const runId = crypto.randomUUID().replaceAll('-', '');
  const { client } = cluster;
  let slice = await client.session.execute(session, { mode: 'query', code, runId });
  let output = '';
  for (let turn = 0; turn < 100; turn += 1) {
    output += (slice.console ?? []).map(([, text]) => String(text)).join('');
    if (slice.status === 'finished') return output;
    slice = await client.session.execute(session, { mode: 'continue', code: '', runId });
  }
  throw new Error(`it does not finish: ${output}`);
}

/** The greeter may still be starting. */
const visit = (name: string) => `
import socket, time
end = time.monotonic() + 20
while True:
    try:
        print(socket.create_connection(("${name}", ${port}), timeout=10).makefile().read())
        break
    except ConnectionRefusedError:
        if time.monotonic() > end: raise
        time.sleep(0.1)`;

/** What a command in another kernel prints, in both streams, and its exit code. */
const overSsh = (name: string, command: string) => `
import subprocess
done = subprocess.run(["ssh", "${name}", "${command}"], capture_output=True, text=True,
    stdin=subprocess.DEVNULL, timeout=30)
print([done.stdout, done.stderr, done.returncode])`;

async function untilEnded(session: string): Promise<string> {
  const isOver = async () => (await sessionOf(session)).status === 'TERMINATED';
  await until(isOver, `${session} has ended`, DEADLINE_MS).catch(async (error) => {
    throw new Error(`${error}\n${await cluster.logs()}`);
  });
  return (await sessionOf(session)).info;
}

/** What is still there of a session's kernels, in words. */
async function leftovers(session: string): Promise<string[]> {
  const ids = (await kernelsOf(session)).map(({ id }) => id);
  const folders = await Promise.all(
    (['process agent', 'second agent'] as const).map((name) =>
      namesIn(join(cluster.folderOf(name), `state/${agentOf[name]}/kernels`)),
    ),
  );
  const { id } = await sessionOf(session);
  const bridges = v.parse(networks, await engine.call((daemon) => daemon.listNetworks()));
  return [
    ...(await processesNaming(ids)).map(({ command }) => command),
    ...folders.flat().filter((name) => ids.includes(name)),
    ...bridges.map(({ Name }) => Name).filter((name) => name.includes(id)),
    ...(await checkAccounting(cluster.sql)),
  ];
}

const agentOf = { 'process agent': 'i-process', 'second agent': 'i-second' } as const;

async function untilGone(session: string): Promise<void> {
  let left: string[] = [];
  const isGone = async () => {
    left = await leftovers(session);
    return left.length === 0;
  };
  await until(isGone, `nothing is left of ${session}`, DEADLINE_MS).catch((error) => {
    throw new Error(`${error}: ${left.join('; ')}`);
  });
}

describe.skipIf(!isReady)('a cluster', () => {
  const ACROSS = ['--cluster-mode', 'multi-node', '-r', 'cpu=2'];

  test(
    'of processes on two agents: kernels meet by name, a killed agent takes them up again, one that dies ends all',
    async () => {
      await create(
        'wide',
        await interpreter(),
        'socket.gethostname()',
        ...ACROSS,
        '--sgroup',
        'default',
      );
      const kernels = await kernelsOf('wide');
      expect(kernels.map(({ name }) => name)).toEqual(['main1', 'sub1']);
      expect(kernels.map(({ agent }) => agent).sort()).toEqual(['i-process', 'i-second']);
      expect(await python('wide', visit('sub1'))).toBe('sub1\n');
      expect(await python('wide', visit('main1'))).toBe('main1\n');
      expect(await python('wide', overSsh('sub1', 'hostname'))).toBe("['sub1\\n', '', 0]\n");
      expect(await python('wide', overSsh('main1', 'hostname'))).toBe("['main1\\n', '', 0]\n");
      const environ = 'import os; print(os.environ["BACKENDAI_CLUSTER_HOSTS"])';
      expect(await python('wide', environ)).toBe('main1,sub1\n');

      const { stdout } = await cli('session', 'info', (await sessionOf('wide')).id);
      for (const { id, name } of kernels) {
        expect(stdout).toContain(id);
        expect(stdout).toContain(name.replace('1', ''));
      }

      const since = new Date();
      await cluster.killAndRestart('second agent');
      await until(
        async () => {
          const [row] = await cluster.sql`
            SELECT FROM agents WHERE id = 'i-second' AND last_heartbeat > ${since}`;
          return row !== undefined;
        },
        'the agent is back',
        DEADLINE_MS,
      );
      expect((await sessionOf('wide')).status).toBe('RUNNING');
      expect(await python('wide', visit('sub1'))).toBe('sub1\n');

      const victim = kernels.find(({ agent }) => agent === 'i-second');
      const folder = join(cluster.folderOf('second agent'), 'state/i-second/kernels');
      const stat = await readFile(join(folder, victim?.id ?? '', 'pid'), 'utf8');
      process.kill(Number.parseInt(stat, 10), 'SIGKILL');
      expect(await untilEnded('wide')).toBe('self-terminated');
      await untilGone('wide');
    },
    TIMEOUT_MS,
  );

  test(
    'of containers on one agent: kernels meet by name, and a killed agent leaves no network',
    async () => {
      await create(
        'boxed',
        'local/testing/python:3-debian',
        '""',
        '-r',
        'cpu=0.5',
        '--sgroup',
        CONTAINER_GROUP,
      );
      expect(new Set((await kernelsOf('boxed')).map(({ agent }) => agent)).size).toBe(1);
      expect(await python('boxed', visit('sub1'))).toBe('sub1\n');
      expect(await python('boxed', overSsh('sub1', 'hostname'))).toBe("['sub1\\n', '', 0]\n");
      expect(await leftovers('boxed')).toContain(`bai-singlenode-${(await sessionOf('boxed')).id}`);
      const [main] = await kernelsOf('boxed');
      const holder = main?.agent === 'i-docker' ? 'docker agent' : 'second docker agent';
      await cluster.client.session.destroy('boxed');
      await cluster.killAndRestart(holder);
      await untilEnded('boxed');
      await untilGone('boxed');
    },
    TIMEOUT_MS,
  );

  test(
    'of containers on two agents: each knows the host of the other, and its SSH server there',
    async () => {
      const image = 'local/testing/python:3-debian';
      await create('spread', image, '""', ...ACROSS, '--sgroup', CONTAINER_GROUP);
      expect(new Set((await kernelsOf('spread')).map(({ agent }) => agent)).size).toBe(2);
      const address = 'import socket; print(socket.gethostbyname("sub1"))';
      expect(await python('spread', address)).toBe(`${await gateway()}\n`);
      const there = 'echo $BACKENDAI_CLUSTER_HOST; exit 3';
      expect(await python('spread', overSsh('sub1', there))).toBe("['sub1\\n', '', 3]\n");
      await cluster.client.session.destroy('spread');
      expect(await untilEnded('spread')).toBe('user-requested');
      await untilGone('spread');
    },
    TIMEOUT_MS,
  );
});
