/**
 * The statements of the leader keep their plans as long as a connection lasts. One that was made while the
 * tables were nearly empty must not read all of them, or compare everything with everything, ever after.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { type ControlPlaneFixture, controlPlaneFixture } from '../../testing/control-plane.ts';
import { SimulatedAgent } from '../../testing/simulated-agent.ts';
import { selectOutOfTime, selectOverdue, selectPendingTooLong } from '../agent/store.ts';
import { selectDueKernels, selectSpecs, type ToldKernel } from '../agent/wish-store.ts';
import type { Db } from '../db/connect.ts';
import { selectPendingDetails } from '../scheduler/pending-store.ts';
import { foldReports } from './transition-fold.ts';
import { lockSessions, writeChanges } from './transition-store.ts';

/** Sessions that come after the plans were made. */
const MANY = 600;
/** Those of them that a statement is about. */
const FEW = 20;
/** Rows that may be read for each of those: itself, its relatives, and what its earlier versions left. */
const READS_EACH = 20;

let cluster: ControlPlaneFixture;
let first: { sessionId: string; kernelId: string };
beforeAll(async () => {
  cluster = await controlPlaneFixture();
  const plane = await cluster.start(await cluster.sibling('i-gateway'));
  await cluster.join(plane, new SimulatedAgent());
  await cluster.quiesce();
  const sessionId = await cluster.enqueue('first');
  const [row] = await cluster.sql`SELECT id FROM kernels WHERE session_id = ${sessionId}`;
  first = { sessionId, kernelId: v.parse(v.object({ id: v.string() }), row).id };
});
afterAll(() => cluster.close());

interface Subject {
  readonly sessionIds: readonly string[];
  readonly kernelIds: readonly string[];
}

/** Many more sessions like the first one. @returns a few of them. */
async function multiply(tx: Db): Promise<Subject> {
  await tx`
    INSERT INTO sessions SELECT (jsonb_populate_record(s, jsonb_build_object(
      'id', md5('session' || n)::uuid, 'name', 'copy-' || n))).*
    FROM sessions s, generate_series(1, ${MANY}::int) AS n WHERE s.id = ${first.sessionId}`;
  await tx`
    INSERT INTO kernels SELECT (jsonb_populate_record(k, jsonb_build_object(
      'id', md5('kernel' || n)::uuid, 'session_id', md5('session' || n)::uuid))).*
    FROM kernels k, generate_series(1, ${MANY}::int) AS n WHERE k.id = ${first.kernelId}`;
  await tx`
    INSERT INTO resource_allocations SELECT (jsonb_populate_record(a, jsonb_build_object(
      'kernel_id', md5('kernel' || n)::uuid))).*
    FROM resource_allocations a, generate_series(1, ${MANY}::int) AS n
    WHERE a.kernel_id = ${first.kernelId}`;
  const rows = await tx`
    SELECT md5('session' || n)::uuid AS session, md5('kernel' || n)::uuid AS kernel
    FROM generate_series(1, ${FEW}::int) AS n`;
  const ids = v.parse(v.array(v.object({ session: v.string(), kernel: v.string() })), [...rows]);
  return {
    sessionIds: ids.map(({ session }) => session),
    kernelIds: ids.map(({ kernel }) => kernel),
  };
}

/** Rows that this transaction has read of the large tables. */
async function rowsRead(tx: Db): Promise<number> {
  const [row] = await tx`
    SELECT sum(coalesce(idx_tup_fetch, 0) + seq_tup_read)::int AS count
    FROM pg_stat_xact_user_tables
    WHERE relname IN ('sessions', 'kernels', 'resource_allocations')`;
  return v.parse(v.object({ count: v.number() }), row).count;
}

/** Puts the kernels on the agent, which has not heard of them yet. */
async function place(tx: Db, { kernelIds }: Subject): Promise<void> {
  await tx`
    UPDATE kernels SET status = 'SCHEDULED', agent = 'i-sim', status_changed = ${new Date(0)}
    WHERE id = ANY(${tx.array([...kernelIds])}::uuid[])`;
}

async function terminate(tx: Db, { kernelIds }: Subject): Promise<void> {
  const now = cluster.clock.now();
  const reports = kernelIds.map((kernelId) => ({
    ...{ kind: 'force-terminate' as const, kernelId, reason: 'test', message: null },
  }));
  await writeChanges(tx, foldReports(await lockSessions(tx, { kernelIds }), reports, now), now);
}

const LIMIT = 1_000;
type Statement = (tx: Db, subject: Subject) => Promise<unknown>;
const aboutPending: Record<string, Statement> = {
  'to move sessions': terminate,
  'what the scheduler must know': (tx, { sessionIds }) => selectPendingDetails(tx, sessionIds),
  'who waits for too long': (tx) => selectPendingTooLong(tx, cluster.clock.now(), LIMIT),
};
const aboutPlaced: Record<string, Statement> = {
  'what is due at agents': (tx) =>
    selectDueKernels(tx, cluster.clock.now(), { told: [], limit: LIMIT }),
  'what agents must know': (tx, { kernelIds }) => selectSpecs(tx, kernelIds, 'digest'),
  'what is overdue': (tx) => selectOverdue(tx, { SCHEDULED: 1 }, cluster.clock.now(), LIMIT),
  'which jobs are out of time': (tx) => selectOutOfTime(tx, cluster.clock.now(), 1, LIMIT),
};

class Undo extends Error {}

/** Rows read by a statement of which the plan was made when there was one session. */
async function readsOf(
  statement: Statement,
  prepare: (tx: Db, subject: Subject) => Promise<void>,
): Promise<number> {
  let read = Number.POSITIVE_INFINITY;
  const work = cluster.ctx.keyed.begin(async (tx) => {
    const early = { sessionIds: [first.sessionId], kernelIds: [first.kernelId] };
    await tx`ANALYZE sessions, kernels, resource_allocations`;
    // Its plan is kept from here on; what it did is undone.
    const undone = tx.savepoint(async (inner) => {
      await prepare(inner, early);
      await statement(inner, early);
      throw new Undo();
    });
    await expect(undone).rejects.toBeInstanceOf(Undo);
    const subject = await multiply(tx);
    await prepare(tx, subject);
    const before = await rowsRead(tx);
    await statement(tx, subject);
    read = (await rowsRead(tx)) - before;
    throw new Undo();
  });
  await expect(work).rejects.toBeInstanceOf(Undo);
  return read;
}

describe('with plans of a time when there was one session, few rows are read', () => {
  test.each(Object.entries(aboutPending))('%s', async (_, statement) => {
    const read = await readsOf(statement, async () => {});
    expect(read).toBeLessThan(FEW * READS_EACH);
  });
  test.each(Object.entries(aboutPlaced))('%s', async (_, statement) => {
    expect(await readsOf(statement, place)).toBeLessThan(FEW * READS_EACH);
  });
});

test('what agents were told is left out for as long as kernels stay in that status', async () => {
  const work = cluster.ctx.keyed.begin(async (tx) => {
    const subject = await multiply(tx);
    await place(tx, subject);
    const due = async (told: readonly ToldKernel[]) =>
      (await selectDueKernels(tx, cluster.clock.now(), { told, limit: LIMIT })).map(({ id }) => id);
    const [first, ...others] = await due([]);
    expect(others.length).toBe(FEW - 1);
    const toldIn = (status: ToldKernel['status']) => others.map((id) => ({ id, status }));
    expect(await due(toldIn('SCHEDULED'))).toEqual(first ? [first] : []);
    // That they start is known, not that they end.
    expect((await due(toldIn('TERMINATING'))).length).toBe(FEW);
    throw new Undo();
  });
  await expect(work).rejects.toBeInstanceOf(Undo);
});
