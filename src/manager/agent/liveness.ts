/**
 * Notices what will never be reported: agents that fell silent, kernels stuck in a phase, sessions
 * that wait for too long. Nothing that is not running may stay as it is for ever.
 */
import type { ManagerContext } from '../context.ts';
import type { Report } from '../session/reports.ts';
import { applyReports } from '../session/transition.ts';
import { limitsSec, orphanReport, overdueReport } from './deadlines.ts';
import type { HangTolerance } from './hang-tolerance.ts';
import { noteSilence } from './silence-store.ts';
import {
  markLost,
  selectDoomed,
  selectOrphans,
  selectOutOfTime,
  selectOverdue,
  selectPendingTooLong,
} from './store.ts';

type LivenessContext = Pick<
  ManagerContext,
  'sql' | 'keyed' | 'transitions' | 'clock' | 'log' | 'settings'
>;

/** Kernels dealt with per pass; the next pass takes the rest. */
const MAX_KERNELS = 500;
const DEFAULT_GRACE_SEC = 300;

/** Agents end batch jobs in time; one that forgot, having been restarted, is helped after this long. */
const BATCH_GRACE_SEC = 30;
/** What agents report of a job that ran out of time. */
const TIMEOUT_EXIT_CODE = -2;

/** Marks silent agents as lost. Only for a manager that has itself listened for long enough. */
async function findLostAgents(ctx: LivenessContext, listeningSince: Date): Promise<void> {
  const now = ctx.clock.now();
  const deadline = new Date(now.getTime() - ctx.settings.heartbeatTimeoutSec * 1000);
  if (listeningSince > deadline) return;
  const lost = await ctx.sql.begin(async (tx) => {
    const ids = await markLost(tx, deadline, now);
    await noteSilence(tx, 'lost', ids, now);
    return ids;
  });
  for (const agentId of lost) {
    ctx.log.warn('an agent is lost', { agentId, timeoutSec: ctx.settings.heartbeatTimeoutSec });
  }
}

async function settleOrphans(ctx: LivenessContext): Promise<void> {
  const orphans = await selectOrphans(ctx.keyed, MAX_KERNELS);
  const graceMs = (ctx.settings.agentLostGraceSec ?? DEFAULT_GRACE_SEC) * 1000;
  const now = ctx.clock.now();
  const reports = orphans.flatMap((orphan) => orphanReport(orphan, now, graceMs) ?? []);
  if (reports.length > 0) await applyReports(ctx, reports);
}

async function settleOverdue(ctx: LivenessContext, tolerance: HangTolerance): Promise<void> {
  const now = ctx.clock.now();
  const finite = Object.fromEntries(
    Object.entries({ ...limitsSec, ...tolerance }).flatMap(([status, limit]) =>
      limit === null ? [] : [[status, limit]],
    ),
  );
  const [stuck, waiting, doomed, late] = await Promise.all([
    selectOverdue(ctx.keyed, finite, now, MAX_KERNELS),
    selectPendingTooLong(ctx.keyed, now, MAX_KERNELS),
    selectDoomed(ctx.sql, MAX_KERNELS),
    selectOutOfTime(ctx.keyed, now, BATCH_GRACE_SEC, MAX_KERNELS),
  ]);
  const reports: Report[] = [
    ...stuck.map((kernel) => overdueReport(kernel.id, kernel.status, kernel.limit_sec)),
    ...waiting.map(
      (kernelId): Report => ({
        ...{ kernelId, kind: 'terminate', onlyIn: ['PENDING'], message: null },
        reason: 'PENDING_TIMEOUT_EXCEEDED',
      }),
    ),
    ...doomed.map(
      ({ id: kernelId, name, result }): Report => ({
        ...{ kernelId, kind: 'terminate', onlyIn: ['PENDING'], reason: 'dependency-failed' },
        message: `It waited for session '${name}', which ended without success (${result}).`,
      }),
    ),
    ...late.map(
      (kernelId): Report => ({
        ...{ kernelId, kind: 'batch-finished', onlyIn: ['RUNNING'], result: 'FAILURE' },
        ...{ reason: 'task-timeout', exitCode: TIMEOUT_EXIT_CODE },
      }),
    ),
  ];
  if (reports.length > 0) await applyReports(ctx, reports);
}

/**
 * @param listeningSince since when heartbeats could have arrived here.
 * @param tolerance the cluster's `config/session/hang-tolerance/threshold`.
 */
export async function livenessPass(
  ctx: LivenessContext,
  listeningSince: Date,
  tolerance: HangTolerance,
): Promise<void> {
  await findLostAgents(ctx, listeningSince);
  await settleOrphans(ctx);
  await settleOverdue(ctx, tolerance);
}
