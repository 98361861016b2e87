/** Requests for transitions that are written together: each has its own outcome, and fails alone. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'bun:test';
import * as v from 'valibot';
import { type ControlPlaneFixture, controlPlaneFixture } from '../../testing/control-plane.ts';
import { SimulatedAgent } from '../../testing/simulated-agent.ts';
import { checkAccounting } from './accounting-store.ts';
import type { Placement } from './placement.ts';
import { applyAgentEvents, applyPlacements, applyPreemptions, applyReports } from './transition.ts';

let cluster: ControlPlaneFixture;
beforeAll(async () => {
  cluster = await controlPlaneFixture();
  await cluster.sql`UPDATE keypair_resource_policies SET max_concurrent_sessions = 0`;
});
beforeEach(async () => {
  await cluster.reset();
  // The agent joins; nobody schedules.
  const plane = await cluster.start(await cluster.sibling('i-gateway'));
  await cluster.join(plane, new SimulatedAgent({ slots: { cpu: '4', mem: '8589934592' } }));
  await cluster.quiesce();
});
afterAll(() => cluster.close());

const kernelRows = v.array(v.object({ id: v.string(), status: v.string() }));

async function waitingSession(name: string): Promise<{ sessionId: string; kernelId: string }> {
  const sessionId = await cluster.enqueue(name);
  const rows = await cluster.sql`SELECT id, status FROM kernels WHERE session_id = ${sessionId}`;
  const [kernel] = v.parse(kernelRows, [...rows]);
  return { sessionId, kernelId: kernel?.id ?? '' };
}

const waitingSessions = (count: number) =>
  Promise.all(Array.from({ length: count }, (_, index) => waitingSession(`queued-${index}`)));

function placement(session: { sessionId: string; kernelId: string }, agentAddr = 'local:') {
  const { sessionId, kernelId } = session;
  const kernels = [{ kernelId, agentId: 'i-sim', agentAddr }];
  return { sessionId, kernels, scheduler: {} } satisfies Placement;
}

async function statuses(): Promise<Record<string, number>> {
  const rows = await cluster.sql`
    SELECT status AS id, count(*)::text AS status FROM sessions GROUP BY 1 ORDER BY 1`;
  return Object.fromEntries(
    v.parse(kernelRows, [...rows]).map(({ id, status }) => [id, Number(status)]),
  );
}

test('a request that the database refuses fails alone; those beside it are written', async () => {
  const sessions = await waitingSessions(4);
  const outcomes = await Promise.allSettled(
    sessions.map((session, index) =>
      applyPlacements(cluster.ctx, [placement(session, index === 2 ? 'x'.repeat(200) : 'local:')]),
    ),
  );
  expect(outcomes.map(({ status }) => status)).toEqual([
    'fulfilled',
    'fulfilled',
    'rejected',
    'fulfilled',
  ]);
  expect(await statuses()).toEqual({ PENDING: 1, SCHEDULED: 3 });
  expect(await checkAccounting(cluster.sql)).toEqual([]);
});

test('placements of several requests see what the others take, and what ends beside them', async () => {
  const sessions = await waitingSessions(7);
  const place = (which: typeof sessions) =>
    Promise.all(which.map((session) => applyPlacements(cluster.ctx, [placement(session)])));
  const placed = await place(sessions.slice(0, 5));
  expect(placed.map(({ size }) => size)).toEqual([1, 1, 1, 1, 0]);
  const [first] = sessions;
  const [moved, later] = await Promise.all([
    applyReports(cluster.ctx, [
      {
        ...{ kind: 'force-terminate', kernelId: first?.kernelId ?? '' },
        ...{ reason: 'force-terminated', message: null },
      },
    ]),
    place(sessions.slice(5)),
  ]);
  expect([...moved.values()]).toEqual(['TERMINATED']);
  expect(later.map(({ size }) => size)).toEqual([1, 0]);
  expect(await checkAccounting(cluster.sql)).toEqual([]);
});

test('nobody is preempted for a session whose end is written beside it', async () => {
  const [victim, waiting] = await waitingSessions(2);
  if (!victim || !waiting) throw new Error('there are two');
  await applyPlacements(cluster.ctx, [placement(victim)]);
  const preempt = () =>
    applyPreemptions(cluster.ctx, [
      {
        ...{ sessionId: waiting.sessionId, priority: 10, kernelIds: [waiting.kernelId] },
        ...{ agentIds: ['i-sim'], mode: 'terminate' },
        victims: [
          {
            ...{ sessionId: victim.sessionId, priority: 1 },
            kernels: [{ id: victim.kernelId, agentId: 'i-sim' }],
          },
        ],
      },
    ]);
  const end = { kind: 'terminate', reason: 'user-requested', message: null } as const;
  await Promise.all([
    applyReports(cluster.ctx, [{ ...end, kernelId: waiting.kernelId }]),
    preempt(),
  ]);
  expect(await statuses()).toEqual({ CANCELLED: 1, SCHEDULED: 1 });
});

test('of two requests for the same end, one has ended the session', async () => {
  const [session] = await waitingSessions(1);
  const { kernelId, sessionId } = session ?? { kernelId: '', sessionId: '' };
  const end = () =>
    applyReports(cluster.ctx, [
      { kind: 'terminate', kernelId, reason: 'user-requested', message: null },
    ]);
  const moved = await Promise.all([end(), end()]);
  expect(moved.map((map) => map.get(sessionId))).toEqual(['CANCELLED', undefined]);
});

test('events of an agent count once, also when they come twice at the same time', async () => {
  const [session] = await waitingSessions(1);
  const { kernelId, sessionId } = session ?? { kernelId: '', sessionId: '' };
  await applyPlacements(cluster.ctx, [placement({ kernelId, sessionId })]);
  const event = { at: new Date().toISOString(), kernelId, sessionId };
  const events = [
    { ...event, seq: 1, body: { kind: 'kernel-preparing' as const } },
    { ...event, seq: 2, body: { kind: 'kernel-creating' as const } },
  ];
  const deliver = () => applyAgentEvents(cluster.ctx, 'i-sim', events);
  const unknown = applyAgentEvents(cluster.ctx, 'i-nobody', events);
  expect(await Promise.all([deliver(), deliver(), unknown])).toEqual([2, 2, null]);
  const rows = await cluster.sql`SELECT to_status AS id, '' AS status FROM kernel_scheduling_history
    WHERE kernel_id = ${kernelId} ORDER BY created_at`;
  expect(v.parse(kernelRows, [...rows]).map(({ id }) => id)).toEqual([
    'SCHEDULED',
    'PREPARING',
    'CREATING',
  ]);
});
