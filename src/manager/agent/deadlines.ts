/** What becomes of kernels for whose agent or next step there has been no sign for too long. Pure. */
import type { Report } from '../session/reports.ts';
import { isStarting, type KernelStatus } from '../session/status.ts';
import type { Orphan } from './store.ts';
import type { DueKernel } from './wish-store.ts';

/** A start that could not be delivered for this long goes to another agent. Milliseconds. */
const GIVE_UP_MS = 20_000;
/** A cluster whose kernels could not be told of each other for this long ends. Milliseconds. */
const GIVE_UP_JOIN_MS = 120_000;

/** How long a kernel may stay in a status; null: as long as it likes. Seconds. */
export const limitsSec: Readonly<Record<KernelStatus, number | null>> = {
  PENDING: null,
  SCHEDULED: 120,
  PREPARING: 600,
  BUILDING: 600,
  PULLING: 7200,
  PREPARED: 600,
  CREATING: 1800,
  RUNNING: null,
  RESTARTING: 1800,
  RESIZING: 1800,
  SUSPENDED: null,
  TERMINATING: 300,
  TERMINATED: null,
  ERROR: null,
  CANCELLED: null,
};

/** What becomes of a kernel whose agent is away; null: nothing yet. */
export function orphanReport(orphan: Orphan, now: Date, graceMs: number): Report | null {
  const about = { kernelId: orphan.id, reporter: orphan.agent, onlyIn: [orphan.status] };
  const since = orphan.lost_at ?? now;
  const silence = `Agent ${orphan.agent} has not been heard of since ${since.toISOString()}.`;
  if (isStarting(orphan.status)) {
    return { ...about, kind: 'unscheduled', reason: 'agent-lost', message: silence };
  }
  const ending = orphan.status === 'TERMINATING';
  if (!ending && now.getTime() - since.getTime() < graceMs) return null;
  return {
    ...about,
    kind: 'force-terminate',
    reason: 'agent-termination',
    message: ending ? null : silence,
  };
}

/** What becomes of a kernel that is stuck in `status`. */
export function overdueReport(kernelId: string, status: KernelStatus, limitSec: number): Report {
  const about = { kernelId, onlyIn: [status] };
  const message = `It stayed in ${status} for more than ${limitSec} seconds.`;
  // Nothing has begun to run: another agent may do better.
  if (status === 'SCHEDULED' || status === 'PREPARED') {
    return { ...about, kind: 'unscheduled', reason: 'failed-to-start', message };
  }
  if (status === 'TERMINATING') {
    return { ...about, kind: 'force-terminate', reason: 'force-terminated', message };
  }
  return { ...about, kind: 'terminate', reason: 'failed-to-start', message };
}

/** Takes back what an agent could not be told for too long; `kernels` are those of a failed call. */
export function undeliveredReports(
  agentId: string,
  kernels: readonly Pick<DueKernel, 'id' | 'status' | 'status_changed'>[],
  why: string,
  nowMs: number,
): Report[] {
  const about = { reporter: agentId, reason: 'failed-to-start' } as const;
  return kernels.flatMap(({ id: kernelId, status, status_changed }): Report[] => {
    const waitedMs = nowMs - (status_changed?.getTime() ?? 0);
    if (status === 'SCHEDULED' && waitedMs > GIVE_UP_MS) {
      const message = `Agent ${agentId} could not be told to start it: ${why}`;
      return [{ ...about, kind: 'unscheduled', kernelId, onlyIn: [status], message }];
    }
    if (status === 'RUNNING' && waitedMs > GIVE_UP_JOIN_MS) {
      const message = `Agent ${agentId} could not be told where the other kernels are: ${why}`;
      return [{ ...about, kind: 'terminate', kernelId, onlyIn: [status], message }];
    }
    return [];
  });
}
