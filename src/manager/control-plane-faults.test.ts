/** What goes wrong around the control plane: agents, managers and connections that come and go. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test';
import type { AgentEventBody } from '../common/protocol/manager.ts';
import { type ControlPlaneFixture, controlPlaneFixture } from '../testing/control-plane.ts';
import { eventually } from '../testing/services.ts';
import { SimulatedAgent } from '../testing/simulated-agent.ts';
import { createScheduler } from './scheduler/cycle.ts';
import { checkAccounting } from './session/accounting-store.ts';
import { getSession, terminateSession, waitForSession } from './session/service.ts';
import { lockEventCursors } from './session/transition-store.ts';

let cluster: ControlPlaneFixture;

const running = (sessionId: string) =>
  waitForSession(cluster.ctx, sessionId, { until: 'running', timeoutMs: 15_000 });
const ended = (sessionId: string) =>
  waitForSession(cluster.ctx, sessionId, { until: 'ended', timeoutMs: 15_000 });
const statusOf = async (sessionId: string) => (await getSession(cluster.ctx, sessionId)).status;
const agentStatus = async (id: string) =>
  (await cluster.sql`SELECT status FROM agents WHERE id = ${id}`)[0]?.status;

beforeAll(async () => {
  cluster = await controlPlaneFixture();
});

afterEach(async () => {
  await cluster.quiesce();
  expect(await checkAccounting(cluster.sql)).toEqual([]);
  await cluster.reset();
});

afterAll(() => cluster.close());

describe('an agent that falls silent', () => {
  test('is lost; starting sessions move on, running ones end after the grace period', async () => {
    const plane = await cluster.start();
    const first = await cluster.join(plane, new SimulatedAgent({ id: 'i-a' }));
    const runs = await cluster.enqueue('runs');
    await running(runs);
    first.stalled = true;
    const starts = await cluster.enqueue('starts');
    await eventually('the start has arrived', () => first.kernels.size === 2);
    // What it told before is a sign of life as well.
    await first.settled();
    first.away = true;
    cluster.clock.jump(41_000);
    await eventually('the agent is lost', async () => (await agentStatus('i-a')) === 'LOST');
    await eventually('the start is taken back', async () => (await statusOf(starts)) === 'PENDING');
    expect(await statusOf(runs)).toBe('RUNNING');

    const second = await cluster.join(plane, new SimulatedAgent({ id: 'i-b' }));
    expect((await running(starts))?.mainKernel.agentId).toBe('i-b');
    cluster.clock.jump(200_000);
    await second.heartbeat();
    cluster.clock.jump(101_000);
    await second.heartbeat();
    expect(await ended(runs)).toMatchObject({
      ...{ status: 'TERMINATED', statusInfo: 'agent-termination' },
      statusData: { error: { agent_id: 'i-a' } },
    });

    // Back again, it is told to drop what is no longer its own.
    first.away = false;
    await first.heartbeat();
    await first.heartbeat();
    expect(first.kernels.size).toBe(0);
    expect(await agentStatus('i-a')).toBe('ALIVE');
    await first.settled();
    expect((await getSession(cluster.ctx, starts)).status).toBe('RUNNING');
  });

  test('for a minute keeps its session, which is not started elsewhere', async () => {
    const plane = await cluster.start();
    const agent = await cluster.join(plane, new SimulatedAgent({ id: 'i-a' }));
    const sessionId = await cluster.enqueue('patient');
    const before = await running(sessionId);
    agent.away = true;
    cluster.clock.jump(60_000);
    await eventually('the agent is lost', async () => (await agentStatus('i-a')) === 'LOST');
    const other = await cluster.join(plane, new SimulatedAgent({ id: 'i-b' }));
    expect(await statusOf(sessionId)).toBe('RUNNING');

    agent.away = false;
    await agent.heartbeat();
    await other.heartbeat();
    expect(await agentStatus('i-a')).toBe('ALIVE');
    const after = await getSession(cluster.ctx, sessionId);
    expect(after.status).toBe('RUNNING');
    expect(after.mainKernel).toMatchObject({ id: before?.mainKernel.id, agentId: 'i-a' });
    expect(agent.kernels.size).toBe(1);
    expect(other.kernels.size).toBe(0);
  });

  test('for an hour has lost its session, drops what runs of it, and takes new ones', async () => {
    const plane = await cluster.start();
    const agent = await cluster.join(plane, new SimulatedAgent({ id: 'i-a' }));
    const sessionId = await cluster.enqueue('impatient');
    await running(sessionId);
    agent.away = true;
    cluster.clock.jump(60 * 60_000);
    await eventually('the agent is lost', async () => (await agentStatus('i-a')) === 'LOST');
    // Its grace period begins when it is found to be lost.
    cluster.clock.jump(301_000);
    expect(await ended(sessionId)).toMatchObject({ statusInfo: 'agent-termination' });

    agent.away = false;
    await agent.heartbeat();
    await agent.heartbeat();
    expect(agent.kernels.size).toBe(0);
    const next = await cluster.enqueue('next');
    expect((await running(next))?.mainKernel.agentId).toBe('i-a');
  });

  test('and is gone for good does not keep sessions from ending', async () => {
    const plane = await cluster.start();
    const agent = await cluster.join(plane, new SimulatedAgent());
    const sessionId = await cluster.enqueue('stuck');
    await running(sessionId);
    agent.away = true;
    expect(await terminateSession(cluster.ctx, { sessionId })).toBe('terminated');
    expect(await statusOf(sessionId)).toBe('TERMINATING');
    cluster.clock.jump(41_000);
    expect(await ended(sessionId)).toMatchObject({ statusInfo: 'user-requested' });
  });

  test('cannot be told to start anything: the session goes to another agent', async () => {
    const plane = await cluster.start();
    const deaf = await cluster.join(plane, new SimulatedAgent({ id: 'i-a' }));
    deaf.away = true;
    const sessionId = await cluster.enqueue('moves');
    await eventually('it is placed', async () => (await statusOf(sessionId)) === 'SCHEDULED');
    await cluster.join(plane, new SimulatedAgent({ id: 'i-b' }));
    cluster.clock.jump(21_000);
    const up = await running(sessionId);
    expect(up?.mainKernel.agentId).toBe('i-b');
    expect(up?.statusData).toMatchObject({ scheduler: { failed_agents: ['i-a'], resets: 1 } });
  });
});

describe('a heartbeat', () => {
  test('reveals kernels that the agent lost, and starts those that never came up again', async () => {
    const plane = await cluster.start();
    const agent = await cluster.join(plane, new SimulatedAgent());
    const lost = await cluster.enqueue('lost');
    const kernelId = (await running(lost))?.mainKernel.id ?? '';
    agent.stalled = true;
    const retried = await cluster.enqueue('retried');
    await eventually('the start has arrived', () => agent.kernels.size === 2);
    await agent.settled();
    agent.kernels.clear();
    agent.stalled = false;

    await agent.heartbeat();
    expect(await statusOf(lost)).toBe('RUNNING');
    cluster.clock.jump(5_000);
    await agent.heartbeat();
    expect(await ended(lost)).toMatchObject({ statusInfo: 'container-not-found' });
    expect((await running(retried))?.status).toBe('RUNNING');
    expect(agent.kernels.has(kernelId)).toBe(false);
  });

  test('with kernels nobody knows has them removed, and with unknown slots ignores these', async () => {
    const plane = await cluster.start();
    const slots = { cpu: '2', mem: '1073741824', 'dream.device': '8' };
    const agent = await cluster.join(plane, new SimulatedAgent({ slots }));
    const rows = await cluster.sql`SELECT slot_name FROM agent_resources ORDER BY slot_name`;
    expect(rows.map((row) => row.slot_name)).toEqual(['cpu', 'mem']);
    const held = { ...agent.heartbeatBody() };
    const kernelId = crypto.randomUUID();
    held.kernels = [{ kernelId, sessionId: crypto.randomUUID(), state: 'running' }];
    const answer = await plane.gateway.heartbeat(held);
    expect(answer.desired).toMatchObject([{ desired: 'terminated', kernelId }]);
  });

  test('does not wait until what the agent has told is written', async () => {
    const plane = await cluster.start();
    const agent = await cluster.join(plane, new SimulatedAgent());
    const [locked, heard] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const writing = cluster.sql.begin(async (tx) => {
      await lockEventCursors(tx, [agent.id]);
      locked.resolve();
      await heard.promise;
    });
    await locked.promise;
    await agent.heartbeat();
    heard.resolve();
    await writing;
  });

  test('is not missed from an agent that tells something else', async () => {
    const plane = await cluster.start();
    const agent = await cluster.join(plane, new SimulatedAgent());
    await running(await cluster.enqueue('talks'));
    cluster.clock.jump(30_000);
    const now = cluster.clock.now();
    for (const kernelId of agent.kernels.keys()) agent.end(kernelId, 'self-terminated');
    await agent.settled();
    const [row] = await cluster.sql`
      SELECT last_heartbeat >= ${now} AS is_heard FROM agents WHERE id = ${agent.id}`;
    expect(row?.is_heard).toBe(true);
  });

  test('for a resource group that does not exist is refused', async () => {
    const plane = await cluster.start();
    const agent = new SimulatedAgent({ scalingGroup: 'moon' });
    agent.connect(plane.gateway);
    await expect(agent.heartbeat()).rejects.toThrow(/'moon', which does not exist/);
  });
});

describe('nothing stays as it is for ever', () => {
  test('a start that makes no progress is ended with the reason', async () => {
    const plane = await cluster.start();
    const agent = await cluster.join(plane, new SimulatedAgent());
    agent.stalled = true;
    const sessionId = await cluster.enqueue('slow');
    await eventually('it is preparing', async () => (await statusOf(sessionId)) === 'PREPARING');
    for (let minute = 0; minute < 11; minute += 1) {
      cluster.clock.jump(30_000);
      await agent.heartbeat();
      cluster.clock.jump(30_000);
      await agent.heartbeat();
    }
    expect(await ended(sessionId)).toMatchObject({
      ...{ status: 'TERMINATED', statusInfo: 'failed-to-start' },
      statusData: { error: { repr: 'It stayed in PREPARING for more than 600 seconds.' } },
    });
  });

  test('an agent that says goodbye keeps its sessions and takes no new ones', async () => {
    const plane = await cluster.start();
    const agent = await cluster.join(plane, new SimulatedAgent());
    const sessionId = await cluster.enqueue('kept');
    await running(sessionId);
    await plane.gateway.goodbye({ agentId: agent.id, reason: 'agent-restart' });
    expect(await agentStatus(agent.id)).toBe('RESTARTING');
    const waiting = await cluster.enqueue('waiting');
    await eventually('the reason is written down', async () => {
      const { statusData } = await getSession(cluster.ctx, waiting);
      return JSON.stringify(statusData).includes("No agent of resource group 'default'");
    });
    await agent.heartbeat();
    expect((await running(waiting))?.status).toBe('RUNNING');
    expect(await statusOf(sessionId)).toBe('RUNNING');
  });
});

describe('the outbox', () => {
  test('may be delivered twice, late and by the wrong agent without effect', async () => {
    const plane = await cluster.start();
    const agent = await cluster.join(plane, new SimulatedAgent({ id: 'i-a' }));
    const stranger = await cluster.join(
      plane,
      new SimulatedAgent({ id: 'i-b', slots: { cpu: '1' } }),
    );
    const sessionId = await cluster.enqueue('target');
    const kernel = (await running(sessionId))?.mainKernel;
    const kernelId = kernel?.id ?? '';
    const body = (kind: 'kernel-creating' | 'kernel-preparing'): AgentEventBody => ({ kind });
    stranger.emit(kernelId, sessionId, {
      ...{ kind: 'kernel-terminated', reason: 'unknown', exitCode: 1, message: null, logs: null },
    });
    await stranger.settled();
    agent.emit(kernelId, sessionId, body('kernel-preparing'));
    await agent.settled();
    expect(await statusOf(sessionId)).toBe('RUNNING');

    const event = {
      ...{ seq: 1, at: '', kernelId, sessionId },
      body: {
        kind: 'kernel-terminated',
        reason: 'unknown',
        exitCode: 1,
        message: null,
        logs: null,
      },
    } as const;
    const { ackedSeq } = await plane.gateway.deliver({ agentId: 'i-a', events: [event] });
    expect(ackedSeq).toBeGreaterThan(1);
    expect(await statusOf(sessionId)).toBe('RUNNING');

    agent.end(kernelId, 'self-terminated');
    await ended(sessionId);
    agent.emit(kernelId, sessionId, {
      kind: 'kernel-started',
      info: {
        ...{ containerId: 'c', kernelHost: 'h', servicePorts: [], attachedDevices: {} },
        ...{ occupiedSlots: { cpu: '1' }, isolationGaps: [] },
      },
    });
    await agent.settled();
    expect(agent.undelivered).toBe(0);
    expect(await statusOf(sessionId)).toBe('TERMINATED');
  });

  test('of an agent that never registered is refused', async () => {
    const plane = await cluster.start();
    await expect(plane.gateway.deliver({ agentId: 'i-nobody', events: [] })).rejects.toThrow(
      /must send a heartbeat first/,
    );
  });

  test('is not blocked by an entry that cannot be stored', async () => {
    const plane = await cluster.start();
    const agent = await cluster.join(plane, new SimulatedAgent());
    agent.stalled = true;
    const sessionId = await cluster.enqueue('poisoned');
    await eventually('the start has arrived', () => agent.kernels.size === 1);
    const [kernelId = ''] = agent.kernels.keys();
    agent.emit(kernelId, sessionId, {
      kind: 'kernel-started',
      info: {
        ...{ containerId: 'c', kernelHost: 'h', servicePorts: [], attachedDevices: {} },
        ...{ occupiedSlots: { cpu: '9'.repeat(30) }, isolationGaps: [] },
      },
    });
    agent.bringUp(kernelId);
    expect((await running(sessionId))?.status).toBe('RUNNING');
    await agent.settled();
    expect(agent.undelivered).toBe(0);
  });
});

describe('managers', () => {
  test('may be restarted in the middle of starts', async () => {
    const before = await cluster.start();
    const agent = await cluster.join(before, new SimulatedAgent());
    agent.stalled = true;
    const sessionIds = await Promise.all(['x', 'y', 'z'].map((name) => cluster.enqueue(name)));
    await eventually('the starts have arrived', () => agent.kernels.size === 3);
    await cluster.quiesce();
    agent.away = true;
    for (const kernelId of agent.kernels.keys()) agent.bringUp(kernelId);
    await agent.settled();

    agent.away = false;
    await cluster.join(await cluster.start(), agent);
    await agent.flush();
    for (const sessionId of sessionIds) expect((await running(sessionId))?.status).toBe('RUNNING');
  });

  test('two of them: one leads, wakes reach it, and the other takes over', async () => {
    const one = await cluster.start();
    await eventually('the first leads', () => one.isLeader());
    const other = await cluster.sibling('i-second');
    const two = await cluster.start(other);
    const agent = await cluster.join(two, new SimulatedAgent());
    const sessionId = await cluster.enqueue('shared');
    await running(sessionId);
    expect(two.isLeader()).toBe(false);
    await terminateSession(other, { sessionId });
    expect((await ended(sessionId))?.status).toBe('TERMINATED');
    await one.stop();
    await eventually('the second leads', () => two.isLeader());
    expect((await running(await cluster.enqueue('next')))?.status).toBe('RUNNING');
    expect(agent.kernels.size).toBe(1);
  });

  test('two schedulers at once never oversell', async () => {
    const plane = await cluster.start();
    await cluster.join(plane, new SimulatedAgent({ slots: { cpu: '5', mem: '8589934592' } }));
    await plane.stop();
    const schedulers = await Promise.all(
      ['i-c', 'i-d', 'i-e'].map(async (id) => createScheduler(await cluster.sibling(id))),
    );
    for (let index = 0; index < 12; index += 1) await cluster.enqueue(`contender-${index}`);
    await Promise.all(schedulers.map((scheduler) => scheduler.pass()));
    const [row] =
      await cluster.sql`SELECT count(*)::int AS placed FROM kernels WHERE agent IS NOT NULL`;
    expect(row?.placed).toBe(5);
    expect(await checkAccounting(cluster.sql)).toEqual([]);
  });

  test('go on after every connection to the database was cut', async () => {
    const plane = await cluster.start();
    const agent = await cluster.join(plane, new SimulatedAgent());
    await eventually('it leads', () => plane.isLeader());
    await cluster.sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid()`;
    await eventually('a query succeeds again', () =>
      cluster.sql`SELECT 1`.then(
        () => true,
        () => false,
      ),
    );
    const sessionId = await cluster.enqueue('survivor');
    expect((await running(sessionId))?.status).toBe('RUNNING');
    await eventually('it leads again, with a lock that exists', async () => {
      const locks = await cluster.sql`SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
      return plane.isLeader() && locks.length === 1;
    });
    expect(agent.kernels.size).toBe(1);
  });
});
