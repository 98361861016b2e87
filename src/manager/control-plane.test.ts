/** The control plane on a real PostgreSQL, with simulated agents that keep a real one's contract. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import { BackendError } from '../common/errors.ts';
import {
  type ControlPlaneFixture,
  controlPlaneFixture,
  sessionRequest,
} from '../testing/control-plane.ts';
import { eventually } from '../testing/services.ts';
import { SimulatedAgent } from '../testing/simulated-agent.ts';
import { checkAccounting } from './session/accounting-store.ts';
import {
  type EnqueueRequest,
  enqueueSession,
  getSession,
  getSessionForCaller,
  terminateSession,
  waitForSession,
} from './session/service.ts';

let cluster: ControlPlaneFixture;

const running = (sessionId: string) =>
  waitForSession(cluster.ctx, sessionId, { until: 'running', timeoutMs: 10_000 });
const ended = (sessionId: string) =>
  waitForSession(cluster.ctx, sessionId, { until: 'ended', timeoutMs: 10_000 });
const statusOf = async (sessionId: string) => (await getSession(cluster.ctx, sessionId)).status;

beforeAll(async () => {
  cluster = await controlPlaneFixture();
});

afterEach(async () => {
  await cluster.quiesce();
  expect(await checkAccounting(cluster.sql)).toEqual([]);
  await cluster.reset();
});

afterAll(() => cluster.close());

describe('a session', () => {
  test('is scheduled, started, ended, and leaves a complete trail', async () => {
    const agent = await cluster.join(await cluster.start(), new SimulatedAgent());
    const { sessionId } = await enqueueSession(
      cluster.ctx,
      cluster.caller,
      sessionRequest('happy'),
    );
    const up = await running(sessionId);
    expect(up?.status).toBe('RUNNING');
    expect(up?.statusInfo).toBe('');
    expect(up?.mainKernel).toMatchObject({
      status: 'RUNNING',
      agentId: 'i-sim',
      agentAddr: 'local:',
    });
    expect(up?.occupyingSlots).toEqual({ cpu: '1', mem: '268435456' });
    expect(Object.keys(up?.statusHistory ?? {})).toEqual(
      expect.arrayContaining(['PENDING', 'SCHEDULED', 'PREPARING', 'CREATING', 'RUNNING']),
    );
    const spec = agent.kernels.get(up?.mainKernel.id ?? '')?.spec;
    expect(spec).toMatchObject({
      slots: { cpu: '1', mem: '268435456' },
      shmemBytes: 64 * 1024 * 1024,
      image: { canonical: 'local/test:1', isLocal: true, digest: 'sha256:0' },
      environ: { GREETING: 'hello', BACKENDAI_SESSION_NAME: 'happy', BACKENDAI_CLUSTER_SIZE: '1' },
    });

    expect(await terminateSession(cluster.ctx, { sessionId })).toBe('terminated');
    const over = await ended(sessionId);
    expect(over).toMatchObject({ status: 'TERMINATED', statusInfo: 'user-requested' });
    expect(over?.statusData).toMatchObject({ kernel: { exit_code: 0 } });
    expect(await terminateSession(cluster.ctx, { sessionId })).toBeNull();
    expect(agent.kernels.size).toBe(0);

    const rows = await cluster.sql`SELECT from_status, to_status FROM session_scheduling_history
      WHERE session_id = ${sessionId} ORDER BY created_at`;
    expect(rows.map((row) => `${row.from_status}>${row.to_status}`)).toEqual([
      'null>PENDING',
      'PENDING>SCHEDULED',
      'SCHEDULED>PREPARING',
      'PREPARING>CREATING',
      'CREATING>RUNNING',
      'RUNNING>TERMINATING',
      'TERMINATING>TERMINATED',
    ]);
  });

  test('waits with a reason, starts when there is room, and can be cancelled while it waits', async () => {
    const agent = await cluster.join(
      await cluster.start(),
      new SimulatedAgent({ slots: { cpu: '1', mem: '1073741824' } }),
    );
    const first = await enqueueSession(cluster.ctx, cluster.caller, sessionRequest('first'));
    await running(first.sessionId);
    const second = await enqueueSession(cluster.ctx, cluster.caller, sessionRequest('second'));
    const third = await enqueueSession(cluster.ctx, cluster.caller, sessionRequest('third'));
    await eventually('a reason is written down', async () => {
      const { statusData } = await getSession(cluster.ctx, third.sessionId);
      return JSON.stringify(statusData).includes('cpu: requested=1, available=0');
    });
    expect(await terminateSession(cluster.ctx, { sessionId: second.sessionId })).toBe('cancelled');
    expect(await statusOf(second.sessionId)).toBe('CANCELLED');
    await terminateSession(cluster.ctx, { sessionId: first.sessionId });
    expect((await running(third.sessionId))?.status).toBe('RUNNING');
    expect(agent.kernels.size).toBe(1);
  });

  test('that fails to start ends with the reason', async () => {
    const agent = await cluster.join(await cluster.start(), new SimulatedAgent());
    agent.stalled = true;
    const { sessionId } = await enqueueSession(
      cluster.ctx,
      cluster.caller,
      sessionRequest('broken'),
    );
    await eventually('the agent has the kernel', () => agent.kernels.size === 1);
    for (const id of agent.kernels.keys()) agent.end(id, 'failed-to-create', 'no such\0 image');
    const over = await ended(sessionId);
    expect(over).toMatchObject({ status: 'TERMINATED', statusInfo: 'failed-to-create' });
    expect(over?.statusData).toMatchObject({
      error: {
        src: 'agent',
        name: 'failed-to-create',
        repr: 'no such\uFFFD image',
        agent_id: 'i-sim',
      },
    });
    expect(over?.mainKernel.containerLog).toBe('bye\n');
  });

  test('of type batch takes its result from the agent and ends by itself', async () => {
    const agent = await cluster.join(await cluster.start(), new SimulatedAgent());
    const batch = sessionRequest('batch', { sessionType: 'batch', startupCommand: 'true' });
    const { sessionId } = await enqueueSession(cluster.ctx, cluster.caller, batch);
    const up = await running(sessionId);
    agent.emit(up?.mainKernel.id ?? '', sessionId, {
      ...{ kind: 'batch-finished', result: 'success', reason: 'task-finished', exitCode: 0 },
    });
    const over = await ended(sessionId);
    expect(over).toMatchObject({
      status: 'TERMINATED',
      result: 'SUCCESS',
      statusInfo: 'task-finished',
    });
  });

  test('waits for its dependencies and for its time', async () => {
    const agent = await cluster.join(await cluster.start(), new SimulatedAgent());
    const before = await enqueueSession(
      cluster.ctx,
      cluster.caller,
      sessionRequest('before', { sessionType: 'batch', startupCommand: 'true' }),
    );
    const after = await enqueueSession(
      cluster.ctx,
      cluster.caller,
      sessionRequest('after', { dependencies: [before.sessionId] }),
    );
    const up = await running(before.sessionId);
    await eventually('the dependency is named', async () =>
      JSON.stringify((await getSession(cluster.ctx, after.sessionId)).statusData).includes(
        'before (',
      ),
    );
    agent.emit(up?.mainKernel.id ?? '', before.sessionId, {
      ...{ kind: 'batch-finished', result: 'success', reason: 'task-finished', exitCode: 0 },
    });
    expect((await running(after.sessionId))?.status).toBe('RUNNING');
  });

  test('ended by force is over at once; the agent is told to clean up', async () => {
    const agent = await cluster.join(await cluster.start(), new SimulatedAgent());
    const { sessionId } = await enqueueSession(
      cluster.ctx,
      cluster.caller,
      sessionRequest('forced'),
    );
    await running(sessionId);
    await terminateSession(cluster.ctx, { sessionId, forced: true });
    expect(await statusOf(sessionId)).toBe('TERMINATED');
    await eventually('the agent cleaned up', () => agent.kernels.size === 0);
  });

  test('many at once all run, and are found by name and id', async () => {
    const slots = { cpu: '64', mem: String(64 * 2 ** 30) };
    await cluster.join(await cluster.start(), new SimulatedAgent({ slots }));
    const names = Array.from({ length: 25 }, (_, index) => `many-${index}`);
    const made = await Promise.all(
      names.map((name) => enqueueSession(cluster.ctx, cluster.caller, sessionRequest(name))),
    );
    const states = await Promise.all(made.map(({ sessionId }) => running(sessionId)));
    expect(states.map((session) => session?.status)).toEqual(names.map(() => 'RUNNING'));
    const byName = await getSessionForCaller(cluster.ctx, cluster.caller, 'many-7');
    expect((await getSessionForCaller(cluster.ctx, cluster.caller, byName.id)).name).toBe('many-7');
  });
});

describe('requests that cannot be satisfied', () => {
  const refusal = (more: Partial<EnqueueRequest>) =>
    enqueueSession(cluster.ctx, cluster.caller, sessionRequest('refused', more)).then(
      () => 'accepted',
      (error) => (error instanceof BackendError ? `${error.problem}: ${error.message}` : error),
    );

  test('are refused with the rule and the numbers', async () => {
    await cluster.join(await cluster.start(), new SimulatedAgent());
    expect(await refusal({ resources: { cpu: 99 } })).toMatch(/asked for 99.*has 4/);
    expect(await refusal({ resources: { gpu: 1 } })).toMatch(/UnknownResourceSlotType: .*'gpu'/);
    expect(await refusal({ resources: { cpu: 'many' } })).toMatch(/'many' is not an amount/);
    expect(await refusal({ resourceOpts: { shmem: '1g' } })).toMatch(
      /shmem .* must be less than mem/,
    );
    expect(await refusal({ image: 'nothing' })).toMatch(/ImageNotFound/);
    expect(await refusal({ group: 'elsewhere' })).toMatch(/ProjectNotFound/);
    expect(await refusal({ scalingGroup: 'moon' })).toMatch(/ScalingGroupNotFound/);
    expect(await refusal({ sessionType: 'batch' })).toMatch(/startup_command/);
    expect(await refusal({ clusterSize: 2 })).toMatch(/QuotaExceeded: .*more than 1 containers/);
    expect(await refusal({ preopenPorts: [2200] })).toMatch(/2200 is reserved/);
    expect(await refusal({ dependencies: [crypto.randomUUID()] })).toMatch(/no such sessions/);
    expect(await refusal({ agentList: ['i-none'] })).toMatch(/no schedulable agent i-none/);
    expect(await cluster.sql`SELECT 1 FROM sessions`).toHaveLength(0);
  });

  test('a taken name is reused for the same image, else refused with the id', async () => {
    await cluster.join(await cluster.start(), new SimulatedAgent());
    const first = await enqueueSession(cluster.ctx, cluster.caller, sessionRequest('same'));
    const again = await enqueueSession(
      cluster.ctx,
      cluster.caller,
      sessionRequest('same', { image: 'test' }),
    );
    expect(again).toMatchObject({ sessionId: first.sessionId, created: false });
    const outcome = await enqueueSession(
      cluster.ctx,
      cluster.caller,
      sessionRequest('same', { reuse: false }),
    ).catch((error) => error);
    expect(outcome).toMatchObject({
      problem: 'SessionAlreadyExists',
      data: { existingSessionId: first.sessionId },
    });
  });

  test('two requests for one name at once make one session', async () => {
    await cluster.join(await cluster.start(), new SimulatedAgent());
    const tries = await Promise.allSettled(
      [1, 2, 3, 4].map(() =>
        enqueueSession(cluster.ctx, cluster.caller, sessionRequest('race', { reuse: false })),
      ),
    );
    expect(tries.filter((item) => item.status === 'fulfilled')).toHaveLength(1);
    for (const item of tries) {
      if (item.status === 'rejected') expect(item.reason.problem).toBe('SessionAlreadyExists');
    }
  });
});
