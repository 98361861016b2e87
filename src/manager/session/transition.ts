/**
 * Moves kernels and sessions: one transaction per batch of reports, then the announcements. The
 * only way in which a status, an allocation or an agent's books change.
 */
import { errorCode } from '../../common/errors.ts';
import type { AgentEvent } from '../../common/protocol/manager.ts';
import type { ManagerContext } from '../context.ts';
import type { Db } from '../db/connect.ts';
import { reportOf } from './agent-report.ts';
import { grantPlacements, type Placement } from './placement.ts';
import type { Report, SessionState } from './reports.ts';
import { isTerminal } from './status.ts';
import { type Changes, foldReports } from './transition-fold.ts';
import {
  lockAgentResources,
  lockEventCursor,
  lockSessions,
  moveEventCursor,
  writeChanges,
} from './transition-store.ts';

/** What a transition needs of the manager. */
export type TransitionContext = Pick<ManagerContext, 'sql' | 'events' | 'clock' | 'log'>;

const MAX_ATTEMPTS = 4;
const DEADLOCK = '40P01';
const SERIALIZATION_FAILURE = '40001';

const isRetryable = (error: unknown): boolean =>
  [DEADLOCK, SERIALIZATION_FAILURE].includes(errorCode(error));

async function inTransaction<T>(ctx: TransitionContext, work: (tx: Db) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const box = await ctx.sql.begin(async (tx) => ({ value: await work(tx) }));
      return box.value;
    } catch (error) {
      if (attempt >= MAX_ATTEMPTS || !isRetryable(error)) throw error;
    }
  }
}

async function foldAndWrite(
  tx: Db,
  sessions: readonly SessionState[],
  reports: readonly Report[],
  now: Date,
): Promise<Changes> {
  const changes = foldReports(sessions, reports, now);
  await writeChanges(tx, changes, now);
  return changes;
}

/** Tells waiters and loops what a committed batch changed. */
function announce(ctx: TransitionContext, changes: Changes): void {
  for (const event of changes.events) ctx.events.publish(event);
  const kernels = changes.kernels;
  const isDue = ({ status, mustJoin }: Changes['kernels'][number]) =>
    status === 'SCHEDULED' || (status === 'RUNNING' && mustJoin);
  if (kernels.some(isDue)) {
    ctx.events.publish({ type: 'wake', loop: 'start' });
  }
  if (kernels.some((kernel) => kernel.status === 'TERMINATING' || kernel.ended)) {
    ctx.events.publish({ type: 'wake', loop: 'terminate' });
  }
  if (kernels.some((kernel) => kernel.status === 'PENDING' || isTerminal(kernel.status))) {
    ctx.events.publish({ type: 'wake', loop: 'schedule' });
  }
  if (changes.callbacks.length > 0) ctx.events.publish({ type: 'wake', loop: 'callback' });
}

/** Applies reports in order. Those that do not apply any more change nothing. */
export async function applyReports(
  ctx: TransitionContext,
  reports: readonly Report[],
): Promise<Changes> {
  const kernelIds = reports.map((report) => report.kernelId);
  const changes = await inTransaction(ctx, async (tx) => {
    const sessions = await lockSessions(tx, kernelIds);
    return foldAndWrite(tx, sessions, reports, ctx.clock.now());
  });
  announce(ctx, changes);
  return changes;
}

/**
 * Applies an agent's outbox entries, in order and once, however often they are delivered.
 * @returns the number up to which everything is applied; null for an unknown agent.
 */
export async function applyAgentEvents(
  ctx: TransitionContext,
  agentId: string,
  events: readonly AgentEvent[],
): Promise<number | null> {
  const outcome = await inTransaction(ctx, async (tx) => {
    const [cursor, sessions] = await Promise.all([
      lockEventCursor(tx, agentId),
      lockSessions(
        tx,
        events.map((event) => event.kernelId),
      ),
    ]);
    if (cursor === null) return null;
    const fresh = events.filter((event) => event.seq > cursor).sort((a, b) => a.seq - b.seq);
    const last = fresh.at(-1);
    if (!last) return { seq: cursor, changes: null };
    const reports = fresh.map((event) => reportOf(agentId, event));
    const [changes] = await Promise.all([
      foldAndWrite(tx, sessions, reports, ctx.clock.now()),
      moveEventCursor(tx, agentId, last.seq),
    ]);
    return { seq: last.seq, changes };
  });
  if (outcome?.changes) announce(ctx, outcome.changes);
  return outcome?.seq ?? null;
}

/**
 * Reserves slots and moves sessions to SCHEDULED. Placements that no longer hold are left out, and
 * the rest still goes through; overselling is impossible, however many schedulers there are.
 * @returns ids of the sessions that were placed.
 */
export async function applyPlacements(
  ctx: TransitionContext,
  placements: readonly Placement[],
): Promise<Set<string>> {
  const kernels = placements.flatMap((placement) => placement.kernels);
  const outcome = await inTransaction(ctx, async (tx) => {
    const [sessions, free] = await Promise.all([
      lockSessions(
        tx,
        kernels.map((kernel) => kernel.kernelId),
      ),
      lockAgentResources(
        tx,
        kernels.map((kernel) => kernel.agentId),
      ),
    ]);
    const granted = grantPlacements(sessions, placements, free);
    const reports = granted.flatMap((placement) =>
      placement.kernels.map(
        ({ kernelId, agentId, agentAddr }): Report => ({
          kind: 'scheduled',
          ...{ kernelId, agentId, agentAddr },
          scheduler: placement.scheduler,
        }),
      ),
    );
    const changes = await foldAndWrite(tx, sessions, reports, ctx.clock.now());
    return { changes, granted };
  });
  announce(ctx, outcome.changes);
  return new Set(outcome.granted.map((placement) => placement.sessionId));
}

/** Counts an outbox entry as dealt with although it could not be applied. */
export async function skipAgentEvent(
  ctx: TransitionContext,
  agentId: string,
  seq: number,
): Promise<void> {
  await inTransaction(ctx, async (tx) => {
    const cursor = await lockEventCursor(tx, agentId);
    if (cursor !== null && cursor < seq) await moveEventCursor(tx, agentId, seq);
  });
}
