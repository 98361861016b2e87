/**
 * Two more machines, each with an address of its own, become nodes: one by the installer, one by
 * `ag join`. A session spreads over both; one of them vanishes and comes back, and gets another address.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test';
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import {
  makeTestNetwork,
  missingForNetworks,
  type TestMachine,
  type TestNetwork,
} from '../networks.ts';
import { freePort, missingTool, requireOrSkip } from '../services.ts';
import { until } from '../until.ts';
import { type DistributedCluster, startDistributedCluster } from './distributed.ts';
import { breakAtSteps, killAtEveryStep } from './interrupted.ts';
import { processesNaming } from './leftovers.ts';
import { expectClearFailure, mustRun, Program, runCli } from './programs.ts';

setDefaultTimeout(180_000);
const DEADLINE_MS = 90_000;
const SESSION = 'wide';
/** One core each, and little memory, so that two kernels need two nodes. */
const SMALL = `
[resource]
reserved-cpu = ${availableParallelism() - 1}
reserved-mem = "256m"
[debug]
heartbeat-interval = 1
`;
/** Services of kernels stay reachable when the node's address changes. */
const ANYWHERE = { BACKEND_BIND_HOST_OVERRIDE: '0.0.0.0' };
const reason =
  missingTool('redis-server', 'redis-server') ??
  missingTool('etcd', 'etcd-server') ??
  missingTool('ssh', 'openssh-client') ??
  missingForNetworks();

describe.if(requireOrSkip(reason))('nodes with addresses of their own', () => {
  let network: TestNetwork;
  let cluster: DistributedCluster;
  let manager: string;
  const machines: TestMachine[] = [];
  const folders: string[] = [];
  let installing: string[];
  let agent: Program | null = null;

  const machine = (index: number): TestMachine => machines[index] ?? expect.unreachable();
  const folder = (index: number): string => folders[index] ?? expect.unreachable();
  const on = (index: number) => ({ cwd: folder(index), inside: machine(index).inside });
  const startSecond = () => {
    agent = new Program(['ag', 'start-server'], { ...on(1), env: ANYWHERE });
  };

  beforeAll(async () => {
    network = await makeTestNetwork();
    cluster = await startDistributedCluster({
      agents: ['dummy agent'],
      internalHost: network.hostAddress,
    });
    const toml = readFileSync(join(cluster.folderOf('manager'), 'manager.toml'), 'utf8');
    manager = /internal-addr = "([^"]+)"/.exec(toml)?.[1] ?? '';
    for (const name of ['node-one', 'node-two']) {
      machines.push(await network.addMachine());
      folders.push(join(cluster.folder, name));
      mkdirSync(folder(folders.length - 1));
    }
    installing = [
      ...['install', '--mode', 'join', '--non-interactive', '--target-path', folder(0)],
      ...['--manager', manager, '--agent-id', 'i-one'],
    ];
  });

  afterAll(async () => {
    await agent?.stop();
    if (folders.length > 0 && existsSync(join(folder(0), 'INSTALL-INFO'))) {
      await runCli(['dev', 'stop', '--target-path', folder(0)], on(0));
    }
    await cluster?.stop();
    await network?.remove();
  });

  const token = async () =>
    (await mustRun(['mgr', 'token', 'create'], { cwd: cluster.folderOf('manager') })).stdout.trim();

  const stateOf = async (id: string) => {
    const [row] = await cluster.sql<{ status: string; addr: string }[]>`
      SELECT status, addr FROM agents WHERE id = ${id}`;
    return row ?? null;
  };
  const untilAlive = (id: string, address: string) =>
    until(
      async () => {
        const state = await stateOf(id);
        return state?.status === 'ALIVE' && state.addr.includes(`//${address}:`);
      },
      `${id} is alive at ${address}`,
      DEADLINE_MS,
    ).catch(async (error) => {
      throw new Error(`${error}: ${JSON.stringify(await stateOf(id))}\n${agent?.stderr}`);
    });

  /** Runs Python on the main kernel. @returns what it printed. */
  async function python(code: string): Promise<string> {
    const runId = crypto.randomUUID().replaceAll('-', '');
    const { client } = cluster;
    let slice = await client.session.execute(SESSION, { mode: 'query', code, runId });
    let output = '';
    for (let turn = 0; turn < 100; turn += 1) {
      output += (slice.console ?? []).map(([, text]) => String(text)).join('');
      if (slice.status === 'finished') return output.trim();
      slice = await client.session.execute(SESSION, { mode: 'continue', code: '', runId });
    }
    throw new Error(`it does not finish: ${output}`);
  }
  const overSsh = (name: string) =>
    python(`import subprocess
print(subprocess.run(["ssh", "${name}", "hostname"], capture_output=True, text=True,
    stdin=subprocess.DEVNULL, timeout=30))`);

  const kernels = () => cluster.sql<{ id: string; agent: string; name: string }[]>`
    SELECT k.id, k.agent, k.cluster_hostname AS name FROM kernels k
    JOIN sessions s ON s.id = k.session_id WHERE s.name = ${SESSION} ORDER BY name`;
  /** Where the SSH server of the agent's kernel is reached. */
  const sshPlace = async (agentId: string) => {
    const [row] = await cluster.sql<{ host: string; port: number }[]>`
      SELECT k.kernel_host AS host, (p->'host_ports'->>0)::int AS port
      FROM kernels k JOIN sessions s ON s.id = k.session_id, jsonb_array_elements(k.service_ports) p
      WHERE s.name = ${SESSION} AND k.agent = ${agentId} AND p->>'name' = 'sshd'`;
    return row ?? expect.unreachable();
  };
  const statusOf = async () => {
    const rows = await cluster.sql<{ status: string }[]>`
      SELECT status FROM sessions WHERE name = ${SESSION}`;
    return rows.map(({ status }) => status);
  };
  /** Of both nodes: which kernels they hold, by the files that outlive agents. */
  const held = () =>
    [join(folder(0), 'var/agent/i-one/kernels'), join(folder(1), 'state/i-two/kernels')].map(
      (path) =>
        readdirSync(path).map((id) => [id, readFileSync(join(path, id, 'pid'), 'utf8').trim()]),
    );

  test('the installer says what is missing before it does anything', async () => {
    const outcome = await runCli(
      installing.map((text) => (text === manager ? '127.0.0.1:1' : text)),
      on(0),
    );
    expectClearFailure(outcome, 'The manager at 127.0.0.1:1 cannot be reached', 'mgr token create');
    expect(readdirSync(folder(0)).filter((name) => name !== 'install.log')).toEqual([]);
  });

  test('cut off while it joins, a node joins when that is run again', async () => {
    const target = join(cluster.folder, 'node-cut-off');
    const joining = installing.map((text) => (text === folder(0) ? target : text));
    const wish = joining.map((text) => (text === 'i-one' ? 'i-cut-off' : text));
    const { tried, last } = await breakAtSteps(
      [...wish, '--no-start'],
      { ...on(0), env: { BACKEND_JOIN_TOKEN: await token() } },
      {
        at: (step) => step.startsWith('Join the cluster'),
        begin: () => machine(0).setLink(false),
        end: () => machine(0).setLink(true),
      },
    );
    expect(tried).toEqual(['Join the cluster as i-cut-off']);
    expect(last.stderr).toContain('Join the cluster as i-cut-off');
    expect(existsSync(join(target, 'etc/agent.toml'))).toBe(true);
  });

  test('one joins by the installer, in two goes, killed at every step of both', async () => {
    const at = { ...on(0), env: { BACKEND_JOIN_TOKEN: await token() } };
    await killAtEveryStep([...installing, '--no-start'], at);
    appendFileSync(join(folder(0), 'etc/agent.toml'), SMALL);
    const { killedAt, last } = await killAtEveryStep(installing, on(0));
    expect(last.stderr).toContain('✓ Join the cluster as i-one (was done)');
    expect(killedAt.at(-1)).toBe('Wait until the manager hears it');
    expect(last.stdout).toContain('Nothing starts them after a reboot.');
    await untilAlive('i-one', machine(0).address);
  });

  test('the other by ag join and ag start-server', async () => {
    await mustRun(
      [
        ...['ag', 'join', manager, '--id', 'i-two', '--backend', 'process'],
        ...['--config-dir', folder(1), '--state-dir', join(folder(1), 'state')],
        ...['--rpc-port', String(await freePort()), '--token', await token()],
      ],
      on(1),
    );
    appendFileSync(join(folder(1), 'agent.toml'), SMALL);
    startSecond();
    await untilAlive('i-two', machine(1).address);
  });

  test('a session spreads over both; its kernels find each other by name and by ssh', async () => {
    const isKnown = async () => {
      const [row] = await cluster.sql<{ name: string }[]>`
        SELECT name FROM images WHERE starts_with(name, 'local/python:') ORDER BY name LIMIT 1`;
      return row?.name ?? '';
    };
    await until(async () => (await isKnown()) !== '', 'the nodes offer Python', DEADLINE_MS);
    await mustRun(
      [
        ...['session', 'create', await isKnown(), '--name', SESSION, '--sgroup', 'default'],
        ...['--cluster-size', '2', '--cluster-mode', 'multi-node', '-r', 'cpu=1', '-r', 'mem=192m'],
      ],
      { cwd: cluster.folder, env: cluster.clientEnvironment, timeoutMs: DEADLINE_MS },
    );
    expect(await statusOf()).toEqual(['RUNNING']);
    const [main, sub] = await kernels();
    expect([main?.agent, sub?.agent].sort()).toEqual(['i-one', 'i-two']);
    const there = sub?.agent === 'i-one' ? machine(0) : machine(1);
    expect(await python('import socket; print(socket.gethostbyname("sub1"))')).toBe(there.address);
    expect(await overSsh('sub1')).toContain(`stdout='sub1\\n'`);
  });

  test('a node that vanishes and comes back goes on with what it had', async () => {
    const before = held();
    expect(before.map((of) => of.length)).toEqual([1, 1]);
    machine(1).setLink(false);
    await until(async () => (await stateOf('i-two'))?.status === 'LOST', 'it is lost', DEADLINE_MS);
    expect(await statusOf()).toEqual(['RUNNING']);
    machine(1).setLink(true);
    await untilAlive('i-two', machine(1).address);
    expect(await statusOf()).toEqual(['RUNNING']);
    expect(held()).toEqual(before);
    expect(await overSsh('sub1')).toContain(`stdout='sub1\\n'`);
    const history = await cluster.sql<{ phase: string; message: string }[]>`
      SELECT h.phase, h.message FROM session_scheduling_history h
      JOIN sessions s ON s.id = h.session_id WHERE s.name = ${SESSION} AND h.phase LIKE 'agent-%'
      ORDER BY h.created_at`;
    expect(history.map(({ phase, message }) => `${phase}: ${message}`)).toEqual([
      expect.stringMatching(/^agent-lost: The agent i-two is not heard any more\./),
      expect.stringMatching(/^agent-back: The agent i-two is heard again\./),
    ]);
  });

  test('with another address it is found again, and its kernel with it', async () => {
    const before = held();
    await agent?.stop();
    machine(1).renumber();
    startSecond();
    await untilAlive('i-two', machine(1).address);
    expect(await statusOf()).toEqual(['RUNNING']);
    expect(held()).toEqual(before);
    await until(
      async () => (await sshPlace('i-two')).host === machine(1).address,
      'its kernel is known to be there',
      DEADLINE_MS,
    );
    const { host, port } = await sshPlace('i-two');
    const socket = connect(port, host);
    const greeting = await new Promise((resolve, reject) => {
      socket.once('data', (data) => resolve(data.toString('latin1')));
      socket.once('error', reject);
    });
    socket.destroy();
    expect(greeting).toStartWith('SSH-2.0-');
    await cluster.client.session.destroy(SESSION);
    await until(
      async () => (await statusOf())[0] === 'TERMINATED',
      'the session has ended on both',
      DEADLINE_MS,
    );
    expect(await processesNaming((await kernels()).map(({ id }) => id))).toEqual([]);
  });

  test('taken away, a node leaves nothing but what the manager knows of it', async () => {
    const { stderr } = await mustRun(
      [
        ...['install', '--mode', 'maintain', '--action', 'uninstall', '--purge'],
        ...['--non-interactive', '--verbose', '--target-path', folder(0)],
      ],
      { ...on(0), timeoutMs: DEADLINE_MS },
    );
    expect(stderr).toContain('✓ End what its sessions run on this machine');
    expect(existsSync(folder(0))).toBe(false);
    await mustRun(['mgr', 'agent', 'revoke', 'i-one'], { cwd: cluster.folderOf('manager') });
  });
});
