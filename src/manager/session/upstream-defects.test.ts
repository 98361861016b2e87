/** What upstream's control plane gets wrong about the life of sessions, each done right here. */
import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test';
import { type ControlPlaneFixture, controlPlaneFixture } from '../../testing/control-plane.ts';
import { eventually } from '../../testing/services.ts';
import { SimulatedAgent } from '../../testing/simulated-agent.ts';
import { checkAccounting } from './accounting-store.ts';
import { getSession, terminateSession, waitForSession } from './service.ts';

let cluster: ControlPlaneFixture;

const running = (sessionId: string) =>
  waitForSession(cluster.ctx, sessionId, { until: 'running', timeoutMs: 15_000 });
const ended = (sessionId: string) =>
  waitForSession(cluster.ctx, sessionId, { until: 'ended', timeoutMs: 15_000 });
const statusOf = async (sessionId: string) => (await getSession(cluster.ctx, sessionId)).status;
const reached = (sessionId: string, status: string) =>
  eventually(`it is ${status}`, async () => (await statusOf(sessionId)) === status);

beforeAll(async () => {
  cluster = await controlPlaneFixture();
});
afterEach(async () => {
  await cluster.quiesce();
  expect(await checkAccounting(cluster.sql)).toEqual([]);
  await cluster.sql`UPDATE scaling_groups SET scheduler_opts = '{}'`;
  await cluster.sql`UPDATE keypair_resource_policies
    SET max_pending_session_count = NULL, max_pending_session_resource_slots = NULL`;
  await cluster.reset();
});
afterAll(() => cluster.close());

test("a resource group's pending_timeout ends what waits too long", async () => {
  await cluster.sql`UPDATE scaling_groups SET scheduler_opts = '{"pending_timeout": 60}'`;
  await cluster.start();
  const sessionId = await cluster.enqueue('patient');
  cluster.clock.jump(61_000);
  expect(await ended(sessionId)).toMatchObject({
    ...{ status: 'CANCELLED', statusInfo: 'PENDING_TIMEOUT_EXCEEDED' },
  });
});

test('the limits of pending sessions see those that are pending', async () => {
  await cluster.sql`UPDATE keypair_resource_policies SET max_pending_session_count = 1`;
  await cluster.enqueue('first');
  await expect(cluster.enqueue('second')).rejects.toThrow(
    'more than 1 pending sessions and have 1',
  );
  await cluster.sql`UPDATE keypair_resource_policies SET max_pending_session_count = NULL,
    max_pending_session_resource_slots = '{"cpu": "1"}'`;
  await expect(cluster.enqueue('third')).rejects.toThrow('with this one it is 2');
});

test('config/session/hang-tolerance ends what hangs, also when it is set while the manager runs', async () => {
  const key = (status: string) => `config/session/hang-tolerance/threshold/${status}`;
  const { config } = cluster.ctx;
  await config.put(key('PREPARING'), '2m');
  try {
    const agent = await cluster.join(await cluster.start(), new SimulatedAgent());
    agent.stalled = true;
    const first = await cluster.enqueue('hangs');
    await reached(first, 'PREPARING');
    const beat = async (ms: number) => {
      cluster.clock.jump(ms);
      await agent.heartbeat();
    };
    for (let step = 0; step < 7; step += 1) await beat(20_000);
    expect((await ended(first))?.statusData).toMatchObject({
      error: { repr: 'It stayed in PREPARING for more than 120 seconds.' },
    });
    agent.stalled = false;
    const second = await cluster.enqueue('will not end');
    await running(second);
    agent.stalled = true;
    await config.put(key('TERMINATING'), 'nonsense');
    await config.put(key('TERMINATING'), '30');
    await terminateSession(cluster.ctx, { sessionId: second });
    expect(await statusOf(second)).toBe('TERMINATING');
    await beat(31_000);
    expect((await ended(second))?.status).toBe('TERMINATED');
  } finally {
    for (const status of ['PREPARING', 'TERMINATING']) await config.delete(key(status));
  }
});

test("a request's preemptibility and its group's options are kept with the session", async () => {
  await cluster.sql`UPDATE scaling_groups
    SET default_session_options = '{"handler_options": {"default": {"max_retry_count": 2}}}'`;
  try {
    const id = await cluster.enqueue('kept', { isPreemptible: false });
    const [row] = await cluster.sql`SELECT options, is_preemptible FROM sessions WHERE id = ${id}`;
    expect(row).toMatchObject({
      is_preemptible: false,
      options: { handler_options: { default: { max_retry_count: 2 } } },
    });
  } finally {
    await cluster.sql`UPDATE scaling_groups SET default_session_options = '{}'`;
  }
});

test("a resource group's limits of handlers count: how often and for how long a start is tried", async () => {
  const options = (handler: object) =>
    JSON.stringify({ handler_options: { by_handler: handler, default: { max_retry_count: 3 } } });
  const setOptions = (text: string) =>
    cluster.sql`UPDATE scaling_groups SET default_session_options = ${text}::text::jsonb`;
  await setOptions(
    options({ 'start-sessions': { max_retry_count: 1 }, 'check-precondition': { timeout: 20 } }),
  );
  try {
    const agent = await cluster.join(await cluster.start(), new SimulatedAgent());
    agent.stalled = true;
    const slow = await cluster.enqueue('slow');
    await reached(slow, 'PREPARING');
    for (let step = 0; step < 3; step += 1) {
      cluster.clock.jump(10_000);
      await agent.heartbeat();
    }
    expect((await ended(slow))?.statusData).toMatchObject({
      error: { repr: 'It stayed in PREPARING for more than 20 seconds.' },
    });
    await setOptions(options({ 'start-sessions': { max_retry_count: 1 } }));
    const sessionId = await cluster.enqueue('twice');
    await eventually('it is given up', async () => {
      cluster.clock.jump(60_000);
      const status = await statusOf(sessionId);
      if (status === 'PENDING') await agent.heartbeat();
      return status === 'TERMINATED' || status === 'CANCELLED';
    });
    expect(JSON.stringify((await getSession(cluster.ctx, sessionId)).statusData)).toContain(
      'Gave up after 2 attempts',
    );
  } finally {
    await setOptions('{}');
  }
});

test('going back to the queue gives the reserved slots of the agent back', async () => {
  const agent = await cluster.join(await cluster.start(), new SimulatedAgent());
  agent.stalled = true;
  const sessionId = await cluster.enqueue('comes back');
  await reached(sessionId, 'PREPARING');
  cluster.clock.jump(3_600_000);
  await eventually('the agent is lost and nothing is reserved on it', async () => {
    const rows = await cluster.sql`SELECT sum(reserved)::float AS reserved FROM agent_resources`;
    return rows[0]?.reserved === 0 && (await statusOf(sessionId)) === 'PENDING';
  });
});

test('why a session waits, and on which agents it failed, stands in its status data', async () => {
  await cluster.join(
    await cluster.start(),
    new SimulatedAgent({ slots: { cpu: '1', mem: '1073741824' } }),
  );
  await running(await cluster.enqueue('first'));
  const sessionId = await cluster.enqueue('second');
  await eventually('the reason is there', async () => {
    const { statusData } = await getSession(cluster.ctx, sessionId);
    return JSON.stringify(statusData?.scheduler ?? {}).includes('failed_predicates');
  });
});

test('a session whose agent never says another word ends, kernels without an agent at once', async () => {
  const agent = await cluster.join(await cluster.start(), new SimulatedAgent());
  const sessionId = await cluster.enqueue('silent');
  await running(sessionId);
  agent.stalled = true;
  const waiting = await cluster.enqueue('nowhere', { resources: { cpu: 1, mem: '1g' } });
  await terminateSession(cluster.ctx, { sessionId: waiting, forced: true });
  expect((await ended(waiting))?.status).toBeOneOf(['CANCELLED', 'TERMINATED']);
  await terminateSession(cluster.ctx, { sessionId });
  cluster.clock.jump(301_000);
  expect(await ended(sessionId)).toMatchObject({
    ...{ status: 'TERMINATED', statusInfo: 'user-requested' },
  });
});

test('what depends on a session that ended without success is not left waiting for ever', async () => {
  const agent = await cluster.join(await cluster.start(), new SimulatedAgent());
  const job = { sessionType: 'batch', startupCommand: 'false' } as const;
  const first = await cluster.enqueue('first', job);
  const second = await cluster.enqueue('second', { dependencies: [first] });
  const third = await cluster.enqueue('third', { dependencies: [second] });
  const up = await running(first);
  agent.emit(up?.mainKernel.id ?? '', first, {
    ...{ kind: 'batch-finished', result: 'failure', reason: 'task-failed', exitCode: 1 },
  });
  for (const [id, name] of [
    [second, 'first'],
    [third, 'second'],
  ] as const) {
    const over = await ended(id);
    expect(over).toMatchObject({ status: 'CANCELLED', statusInfo: 'dependency-failed' });
    expect(JSON.stringify(over?.statusData)).toContain(`waited for session '${name}'`);
  }
  await expect(cluster.enqueue('fourth', { dependencies: [first] })).rejects.toThrow(
    'ended without success',
  );
});

test('a batch job that outlives its timeout because its agent forgot it is ended by the manager', async () => {
  const plane = await cluster.start();
  const agent = await cluster.join(plane, new SimulatedAgent());
  const job = { sessionType: 'batch', startupCommand: 'sleep', batchTimeoutMs: 60_000 } as const;
  const sessionId = await cluster.enqueue('long', job);
  await running(sessionId);
  // Another manager knows as well.
  await plane.stop();
  agent.connect((await cluster.start(await cluster.sibling('i-later'))).gateway);
  for (let step = 0; step < 5; step += 1) {
    cluster.clock.jump(20_000);
    await agent.heartbeat();
  }
  expect(await ended(sessionId)).toMatchObject({
    ...{ status: 'TERMINATED', result: 'FAILURE', statusInfo: 'task-timeout' },
    statusData: { session: { exit_code: -2 } },
  });
});
