/** Sessions of several kernels, through a control plane on a real PostgreSQL with simulated agents. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import { type ControlPlaneFixture, controlPlaneFixture } from '../testing/control-plane.ts';
import { eventually } from '../testing/services.ts';
import { SimulatedAgent } from '../testing/simulated-agent.ts';
import { checkAccounting } from './session/accounting-store.ts';
import { getSession, terminateSession, waitForSession } from './session/service.ts';
import type { RoleRequest } from './session/types.ts';

let cluster: ControlPlaneFixture;

const running = (sessionId: string) =>
  waitForSession(cluster.ctx, sessionId, { until: 'running', timeoutMs: 20_000 });
const ended = (sessionId: string) =>
  waitForSession(cluster.ctx, sessionId, { until: 'ended', timeoutMs: 20_000 });

const kernelsOf = (sessionId: string) => cluster.sql`
  SELECT id, cluster_hostname AS name, cluster_role AS role, cluster_idx AS idx, local_rank AS rank,
    status, status_info AS info, agent, cluster_joined_at IS NOT NULL AS joined, occupied_slots,
    requested_slots
  FROM kernels WHERE session_id = ${sessionId} ORDER BY local_rank`;

const secretOf = async (sessionId: string) => {
  const [row] = await cluster.sql`
    SELECT cluster_ssh_keypair AS pair FROM sessions WHERE id = ${sessionId}`;
  return row?.pair;
};

const specsOf = (agents: readonly SimulatedAgent[]) =>
  agents.flatMap((agent) => [...agent.kernels.values()].map(({ spec }) => spec));

beforeAll(async () => {
  cluster = await controlPlaneFixture();
  await cluster.sql`UPDATE keypair_resource_policies SET max_containers_per_session = 4`;
}, 60_000);

afterEach(async () => {
  await cluster.quiesce();
  expect(await checkAccounting(cluster.sql)).toEqual([]);
  await cluster.reset();
});

afterAll(() => cluster.close());

const small = (id: string, cpu = '2') =>
  new SimulatedAgent({ id, slots: { cpu, mem: String(2 ** 30) } });

describe('a cluster on one agent', () => {
  test('starts when all of its kernels have, which then know each other', async () => {
    const agent = await cluster.join(await cluster.start(), new SimulatedAgent());
    agent.stalled = true;
    const sessionId = await cluster.enqueue('trio', { clusterSize: 3, environ: { A: 'b' } });
    await eventually('all kernels are wished for', () => agent.kernels.size === 3);
    const specs = specsOf([agent]);
    expect(specs.map(({ cluster: place }) => place.hostname).sort()).toEqual([
      'main1',
      'sub1',
      'sub2',
    ]);
    const [main, sub1, sub2] = await kernelsOf(sessionId);
    agent.bringUp(main?.id);
    agent.bringUp(sub2?.id);
    await agent.settled();
    expect((await getSession(cluster.ctx, sessionId)).status).not.toBe('RUNNING');
    expect(agent.joins).toEqual([]);
    agent.bringUp(sub1?.id);
    expect((await running(sessionId))?.status).toBe('RUNNING');

    expect(await kernelsOf(sessionId)).toMatchObject([
      { name: 'main1', role: 'main', idx: 1, rank: 0, status: 'RUNNING', joined: true },
      { name: 'sub1', role: 'sub', idx: 1, rank: 1, status: 'RUNNING', joined: true },
      { name: 'sub2', role: 'sub', idx: 2, rank: 2, status: 'RUNNING', joined: true },
    ]);
    const told = agent.joins.flatMap(({ peers }) => peers.map(({ hostname }) => hostname));
    expect([...new Set(told)]).toEqual(['main1', 'sub1', 'sub2']);
    expect(new Set(agent.joins.flatMap(({ kernelIds }) => kernelIds)).size).toBe(3);

    const environ = specs.find(({ cluster: place }) => place.hostname === 'sub2')?.environ;
    expect(environ).toMatchObject({
      ...{ A: 'b', BACKENDAI_CLUSTER_SIZE: '3', BACKENDAI_CLUSTER_REPLICAS: 'main:1,sub:2' },
      ...{ BACKENDAI_CLUSTER_HOSTS: 'main1,sub1,sub2', BACKENDAI_CLUSTER_HOST: 'sub2' },
      ...{ BACKENDAI_CLUSTER_ROLE: 'sub', BACKENDAI_CLUSTER_IDX: '2' },
      ...{ BACKENDAI_CLUSTER_LOCAL_RANK: '2', BACKENDAI_KERNEL_ID: sub2?.id },
    });
    const pairs = specs.map(({ cluster: place }) => place.sshKeypair);
    expect(pairs[0]?.publicKey).toStartWith('ssh-rsa ');
    expect(pairs).toEqual([pairs[0], pairs[0], pairs[0]] as typeof pairs);
    expect(await secretOf(sessionId)).toEqual(pairs[0]);

    const { occupyingSlots, clusterSize } = await getSession(cluster.ctx, sessionId);
    expect(clusterSize).toBe(3);
    expect(occupyingSlots).toEqual({ cpu: '3', mem: String(3 * 256 * 2 ** 20) });

    expect(await terminateSession(cluster.ctx, { sessionId })).toBe('terminated');
    expect(await ended(sessionId)).toMatchObject({
      ...{ status: 'TERMINATED', statusInfo: 'user-requested' },
    });
    expect(agent.kernels.size).toBe(0);
    expect(await secretOf(sessionId)).toBeNull();
    const phases = await cluster.sql`
      SELECT kernel_id, string_agg(to_status, '>' ORDER BY created_at) AS path
      FROM kernel_scheduling_history WHERE session_id = ${sessionId} GROUP BY 1`;
    expect(phases.map(({ path }) => path)).toEqual(
      Array(3).fill('SCHEDULED>PREPARING>CREATING>RUNNING>TERMINATING>TERMINATED'),
    );
  });

  test("of a group whose sessions use their hosts' network says so to agents and people", async () => {
    const agent = await cluster.join(await cluster.start(), new SimulatedAgent());
    const networkOf = async (sessionId: string) => {
      const [row] = await cluster.sql`
        SELECT use_host_network AS shared, network_type AS type, network_id AS id,
          (SELECT bool_and(k.use_host_network) FROM kernels k WHERE k.session_id = s.id) AS kernels
        FROM sessions s WHERE s.id = ${sessionId}`;
      return row;
    };
    const apart = await cluster.enqueue('apart', { clusterSize: 2 });
    await running(apart);
    await cluster.sql`UPDATE scaling_groups SET use_host_network = true`;
    try {
      const shared = await cluster.enqueue('shared', { clusterSize: 2 });
      await running(shared);
      const told = (of: string) =>
        specsOf([agent]).flatMap((spec) => (spec.sessionId === of ? [spec.useHostNetwork] : []));
      expect(told(apart)).toEqual([false, false]);
      expect(told(shared)).toEqual([true, true]);
      expect(await networkOf(apart)).toEqual({
        ...{ shared: false, type: 'volatile', id: null, kernels: false },
      });
      expect(await networkOf(shared)).toEqual({
        ...{ shared: true, type: 'host', id: 'host', kernels: true },
      });
    } finally {
      await cluster.sql`UPDATE scaling_groups SET use_host_network = false`;
    }
  });

  test('ends as a whole, with the reason, when one kernel fails to start', async () => {
    const agent = await cluster.join(await cluster.start(), new SimulatedAgent());
    agent.stalled = true;
    const sessionId = await cluster.enqueue('fragile', { clusterSize: 3 });
    await eventually('all kernels are wished for', () => agent.kernels.size === 3);
    const [main, sub1] = await kernelsOf(sessionId);
    agent.bringUp(main?.id);
    const waiting = running(sessionId);
    agent.end(sub1?.id, 'failed-to-create', 'No space left on device.');
    const over = await ended(sessionId);
    // Whoever waits for it to run learns why it will not.
    expect(await waiting).toMatchObject({ status: 'TERMINATED', statusInfo: 'failed-to-create' });
    expect(over).toMatchObject({
      ...{ status: 'TERMINATED', statusInfo: 'failed-to-create' },
      statusData: { error: { name: 'failed-to-create', repr: 'No space left on device.' } },
    });
    expect(agent.kernels.size).toBe(0);
    expect((await kernelsOf(sessionId)).map(({ status }) => status)).toEqual(
      Array(3).fill('TERMINATED'),
    );
    expect(agent.joins).toEqual([]);
  });

  test('ends as a whole when one kernel ends by itself, or by force', async () => {
    const agent = await cluster.join(await cluster.start(), new SimulatedAgent());
    const first = await cluster.enqueue('first', { clusterSize: 2 });
    await running(first);
    const [, sub] = await kernelsOf(first);
    agent.end(sub?.id, 'self-terminated');
    expect(await ended(first)).toMatchObject({ statusInfo: 'self-terminated' });

    const second = await cluster.enqueue('second', { clusterSize: 2 });
    await running(second);
    await terminateSession(cluster.ctx, { sessionId: second, forced: true });
    expect(await getSession(cluster.ctx, second)).toMatchObject({ status: 'TERMINATED' });
    await eventually('the agent cleans up behind', () => agent.kernels.size === 0);
  });

  test('is not running while its kernels cannot be told of each other, and ends after two minutes', async () => {
    const agent = await cluster.join(await cluster.start(), new SimulatedAgent());
    agent.refusesJoins = true;
    const stubborn = await cluster.enqueue('stubborn', { clusterSize: 2 });
    const isUp = async (sessionId: string) =>
      (await kernelsOf(sessionId)).every(({ status }) => status === 'RUNNING');
    await eventually('its kernels run', () => isUp(stubborn));
    expect((await getSession(cluster.ctx, stubborn)).status).toBe('CREATING');
    agent.refusesJoins = false;
    cluster.clock.jump(15_000);
    expect((await running(stubborn))?.status).toBe('RUNNING');

    agent.refusesJoins = true;
    const lonely = await cluster.enqueue('lonely', { clusterSize: 2 });
    await eventually('its kernels run', () => isUp(lonely));
    await agent.heartbeat();
    cluster.clock.jump(100_000);
    await agent.heartbeat();
    cluster.clock.jump(25_000);
    await agent.heartbeat();
    await eventually('it is given up', async () => {
      cluster.clock.jump(5_000);
      await agent.heartbeat();
      return (await getSession(cluster.ctx, lonely)).status === 'TERMINATED';
    });
    const over = await getSession(cluster.ctx, lonely);
    expect(over.statusInfo).toBe('failed-to-start');
    expect(JSON.stringify(over.statusData)).toContain('could not be told where the other kernels');
  });
});

describe('a cluster on several agents', () => {
  test('is placed on all of them or not at all', async () => {
    const plane = await cluster.start();
    const one = await cluster.join(plane, small('i-one', '1'));
    const sessionId = await cluster.enqueue('wide', { clusterSize: 2, clusterMode: 'multi-node' });
    await eventually('a reason is written down', async () =>
      JSON.stringify((await getSession(cluster.ctx, sessionId)).statusData).includes('not for all'),
    );
    expect(one.kernels.size).toBe(0);
    const two = await cluster.join(plane, small('i-two', '1'));
    await running(sessionId);
    const agents = (await kernelsOf(sessionId)).map(({ agent }) => agent);
    expect([...agents].sort()).toEqual(['i-one', 'i-two']);
    const peers = one.joins[0]?.peers;
    expect(peers?.map(({ agentId }) => agentId)).toEqual(agents);
    expect(two.joins[0]?.peers).toEqual(peers ?? []);
    const { agent_ids } = (
      await cluster.sql`SELECT agent_ids FROM sessions WHERE id = ${sessionId}`
    )[0] ?? { agent_ids: [] };
    expect([...agent_ids].sort()).toEqual(['i-one', 'i-two']);
  });

  test('gives up all of its places when one agent goes away before it has started', async () => {
    const plane = await cluster.start();
    const one = await cluster.join(plane, small('i-one', '1'));
    const two = await cluster.join(plane, small('i-two', '1'));
    two.stalled = true;
    one.stalled = true;
    const sessionId = await cluster.enqueue('moved', { clusterSize: 2, clusterMode: 'multi-node' });
    await eventually('both are asked', () => one.kernels.size + two.kernels.size === 2);
    two.away = true;
    const three = await cluster.join(plane, small('i-three', '1'));
    await eventually('it is placed elsewhere', async () => {
      cluster.clock.jump(10_000);
      await one.heartbeat();
      await three.heartbeat();
      return three.kernels.size > 0 && one.kernels.size > 0;
    });
    for (const id of one.kernels.keys()) one.bringUp(id);
    await running(sessionId);
    const agents = (await kernelsOf(sessionId)).map(({ agent }) => agent);
    expect([...agents].sort()).toEqual(['i-one', 'i-three']);
  });

  test('runs different images, resources and commands by role', async () => {
    const agent = await cluster.join(await cluster.start(), new SimulatedAgent());
    const common = {
      ...{ image: 'local/test:1', architecture: null, resourceOpts: {}, bootstrapScript: null },
      ...{ preopenPorts: [], startupCommand: null },
    };
    const roles: RoleRequest[] = [
      {
        ...{ ...common, role: 'worker', replicas: 2, resources: { cpu: 1, mem: '128m' } },
        ...{ environ: { PART: 'worker' }, preopenPorts: [8081] },
      },
      {
        ...{ ...common, role: 'main', replicas: 1, resources: { cpu: 2, mem: '512m' } },
        environ: { PART: 'main' },
      },
    ];
    const sessionId = await cluster.enqueue('mixed', { roles, clusterMode: 'multi-node' });
    await running(sessionId);
    const specs = specsOf([agent]);
    const bySize = specs.map(({ cluster: place, slots, environ, preopenPorts }) => [
      ...[place.hostname, slots.cpu, slots.mem, environ.PART, preopenPorts.join()],
    ]);
    expect(bySize.sort()).toEqual([
      ['main1', '2', String(512 * 2 ** 20), 'main', ''],
      ['worker1', '1', String(128 * 2 ** 20), 'worker', '8081'],
      ['worker2', '1', String(128 * 2 ** 20), 'worker', '8081'],
    ]);
    const { requestedSlots } = await getSession(cluster.ctx, sessionId);
    expect(requestedSlots).toEqual({ cpu: '4', mem: String(768 * 2 ** 20) });
    expect(specs[0]?.environ.BACKENDAI_CLUSTER_REPLICAS).toBe('main:1,worker:2');
  });
});

describe('limits', () => {
  const refusal = (more: Parameters<ControlPlaneFixture['enqueue']>[1]) =>
    cluster.enqueue('refused', more).then(
      () => 'accepted',
      (error: Error) => error.message,
    );

  test('count every kernel of a session', async () => {
    await cluster.join(await cluster.start(), new SimulatedAgent());
    expect(await refusal({ clusterSize: 5 })).toContain('more than 4 containers');
    expect(await refusal({ clusterSize: 4, resources: { cpu: 2, mem: '256m' } })).toContain(
      'cpu: asked for 8, the largest agent',
    );
    const policy = { max_pending_session_resource_slots: { cpu: '3' } };
    await cluster.sql`UPDATE keypair_resource_policies SET ${cluster.sql(policy)}`;
    try {
      expect(await refusal({ clusterSize: 4 })).toContain('cpu=3 together; with this one it is 4');
    } finally {
      await cluster.sql`UPDATE keypair_resource_policies
        SET max_pending_session_resource_slots = NULL`;
    }
  });

  test('hold a cluster back until all of its kernels are within the quota', async () => {
    await cluster.join(await cluster.start(), new SimulatedAgent());
    await cluster.sql`UPDATE groups SET total_resource_slots = '{"cpu": "3"}'`;
    try {
      const first = await cluster.enqueue('first', { clusterSize: 2 });
      await running(first);
      const second = await cluster.enqueue('second', { clusterSize: 2 });
      await eventually('the quota is named', async () =>
        JSON.stringify((await getSession(cluster.ctx, second)).statusData).includes('Group'),
      );
      await terminateSession(cluster.ctx, { sessionId: first });
      expect((await running(second))?.status).toBe('RUNNING');
    } finally {
      await cluster.sql`UPDATE groups SET total_resource_slots = '{}'`;
    }
  });
});
