/**
 * The one state machine of kernels and sessions. A kernel moves by reports (of the scheduler, of its
 * agent, of people); a session's status follows from its kernels. Pure: no clock, no I/O.
 *
 *   PENDING → SCHEDULED → PREPARING → PULLING → PREPARED → CREATING → RUNNING → TERMINATING → TERMINATED
 *
 * Reports may come late, twice or out of order: a report that would move a kernel backwards is
 * ignored, steps may be skipped, and nothing leaves a terminal status. A kernel that ends so that it can
 * run again later goes from TERMINATING back to PENDING.
 */
import { isTerminal, type KernelStatus, type SessionStatus } from './status.ts';

export const reportKinds = [
  /** The scheduler placed the kernel on an agent. */
  'scheduled',
  /** The placement is given up: the kernel waits for another agent. */
  'unscheduled',
  'preparing',
  'pulling',
  'pulled',
  'creating',
  'started',
  /** Somebody wants the kernel to end. */
  'terminate',
  /** As `terminate`, but it is to run again once its agent has room: see `RESCHEDULING`. */
  'reschedule',
  /** Its agent says that a kernel which is to run again is gone. */
  'requeued',
  /** The kernel is over in the books, whatever its agent does. */
  'force-terminate',
  /** Its agent says that the kernel is gone. */
  'terminated',
] as const;
export type ReportKind = (typeof reportKinds)[number];

/** `status_info` of a session or kernel that is ended for another, as upstream has it. */
export const PREEMPTED = 'PREEMPTED_BY_SCHEDULER';
/** `status_info` while TERMINATING of a session or kernel that goes back to the queue afterwards. */
export const RESCHEDULING = 'RESCHEDULING';
/** `status_info` of one that is back in the queue. */
export const RESCHEDULED = 'RESCHEDULED';

/** Compile-time proof that a switch covers everything. */
function unreachable(value: never): never {
  throw new Error(`unhandled case: ${String(value)}`);
}

type Progress = Extract<ReportKind, 'preparing' | 'pulling' | 'pulled' | 'creating' | 'started'>;

/** How far a kernel that is being brought up has come; later stages have larger numbers. */
const stageOfStart = {
  PENDING: 0,
  SCHEDULED: 1,
  PREPARING: 2,
  BUILDING: 2,
  PULLING: 3,
  PREPARED: 4,
  CREATING: 5,
  RUNNING: 6,
} as const;

const progressTarget = {
  preparing: 'PREPARING',
  pulling: 'PULLING',
  pulled: 'PREPARED',
  creating: 'CREATING',
  started: 'RUNNING',
} as const satisfies Record<Progress, KernelStatus>;

/** Forward only, from an agent's report about a kernel that is being brought up. */
function advance(current: keyof typeof stageOfStart, report: Progress): KernelStatus | null {
  const target = progressTarget[report];
  return stageOfStart[target] > stageOfStart[current] ? target : null;
}

function nextWhileStarting(
  current: Exclude<keyof typeof stageOfStart, 'PENDING' | 'RUNNING'>,
  report: ReportKind,
): KernelStatus | null {
  switch (report) {
    case 'preparing':
    case 'pulling':
    case 'pulled':
    case 'creating':
    case 'started':
      return advance(current, report);
    case 'scheduled':
      return null;
    case 'unscheduled':
      return 'PENDING';
    case 'terminate':
    case 'reschedule':
      return 'TERMINATING';
    case 'force-terminate':
    case 'terminated':
      return 'TERMINATED';
    case 'requeued':
      return null;
    default:
      return unreachable(report);
  }
}

function nextWhilePending(report: ReportKind): KernelStatus | null {
  switch (report) {
    case 'scheduled':
      return 'SCHEDULED';
    // Never placed: nothing has to be cleaned up anywhere.
    case 'terminate':
    case 'force-terminate':
      return 'CANCELLED';
    // An agent's word about a kernel that is placed nowhere is about an earlier attempt.
    case 'unscheduled':
    case 'preparing':
    case 'pulling':
    case 'pulled':
    case 'creating':
    case 'started':
    case 'terminated':
    case 'reschedule':
    case 'requeued':
      return null;
    default:
      return unreachable(report);
  }
}

function nextWhileUp(current: KernelStatus, report: ReportKind): KernelStatus | null {
  switch (report) {
    case 'started':
      return current === 'RESTARTING' ? 'RUNNING' : null;
    case 'terminate':
    case 'reschedule':
      return 'TERMINATING';
    case 'force-terminate':
    case 'terminated':
      return 'TERMINATED';
    case 'scheduled':
    case 'unscheduled':
    case 'preparing':
    case 'pulling':
    case 'pulled':
    case 'creating':
    case 'requeued':
      return null;
    default:
      return unreachable(report);
  }
}

function nextWhileTerminating(report: ReportKind): KernelStatus | null {
  switch (report) {
    case 'force-terminate':
    case 'terminated':
      return 'TERMINATED';
    case 'requeued':
      return 'PENDING';
    case 'scheduled':
    case 'unscheduled':
    case 'preparing':
    case 'pulling':
    case 'pulled':
    case 'creating':
    case 'started':
    case 'terminate':
    case 'reschedule':
      return null;
    default:
      return unreachable(report);
  }
}

/** @returns the kernel's next status, or null when the report changes nothing. */
export function nextKernelStatus(current: KernelStatus, report: ReportKind): KernelStatus | null {
  switch (current) {
    case 'PENDING':
      return nextWhilePending(report);
    case 'SCHEDULED':
    case 'PREPARING':
    case 'BUILDING':
    case 'PULLING':
    case 'PREPARED':
    case 'CREATING':
      return nextWhileStarting(current, report);
    case 'RUNNING':
    case 'RESTARTING':
    case 'RESIZING':
    case 'SUSPENDED':
      return nextWhileUp(current, report);
    case 'TERMINATING':
      return nextWhileTerminating(report);
    case 'TERMINATED':
    case 'ERROR':
    case 'CANCELLED':
      return null;
    default:
      return unreachable(current);
  }
}

/** The session status that a kernel on its own would give, while nothing is ending. */
function sessionStatusOf(kernel: KernelStatus): SessionStatus {
  switch (kernel) {
    case 'BUILDING':
      return 'PREPARING';
    case 'RESIZING':
      return 'RUNNING';
    case 'SUSPENDED':
      return 'RUNNING_DEGRADED';
    case 'PENDING':
    case 'SCHEDULED':
    case 'PREPARING':
    case 'PULLING':
    case 'PREPARED':
    case 'CREATING':
    case 'RUNNING':
    case 'RESTARTING':
    case 'TERMINATING':
    case 'TERMINATED':
    case 'ERROR':
    case 'CANCELLED':
      return kernel;
    default:
      return unreachable(kernel);
  }
}

/** The slowest kernel decides for a session whose kernels all live. */
const slowestFirst: readonly SessionStatus[] = [
  'PENDING',
  'SCHEDULED',
  'PREPARING',
  'PULLING',
  'PREPARED',
  'CREATING',
  'RESTARTING',
  'RUNNING_DEGRADED',
  'RUNNING',
];

/**
 * The status of a session, given the statuses of all its kernels (at least one).
 * @returns null when it stays as it is.
 */
export function nextSessionStatus(
  current: SessionStatus,
  kernels: readonly KernelStatus[],
): SessionStatus | null {
  if (isTerminal(current) || kernels.length === 0) return null;
  const next = derivedSessionStatus(current, kernels);
  return next === current ? null : next;
}

function derivedSessionStatus(
  current: SessionStatus,
  kernels: readonly KernelStatus[],
): SessionStatus {
  if (kernels.every(isTerminal)) {
    return kernels.every((kernel) => kernel === 'CANCELLED') ? 'CANCELLED' : 'TERMINATED';
  }
  // The last kernel of a session that is to run again is gone.
  if (kernels.every((kernel) => kernel === 'PENDING')) return 'PENDING';
  const ending = kernels.some((kernel) => isTerminal(kernel) || kernel === 'TERMINATING');
  if (ending || current === 'TERMINATING') return 'TERMINATING';
  const parts = new Set(kernels.map(sessionStatusOf));
  return slowestFirst.find((status) => parts.has(status)) ?? current;
}

/** `status_info` of a session or kernel that enters `status` without a reason of its own. */
export function defaultStatusInfo(status: SessionStatus | KernelStatus): string {
  switch (status) {
    case 'SCHEDULED':
      return 'scheduled';
    case 'PREPARING':
    case 'PULLING':
    case 'BUILDING':
    case 'PREPARED':
      return 'passed-preconditions';
    case 'CREATING':
      return 'triggered-by-scheduler';
    case 'PENDING':
    case 'DEPRIORITIZING':
    case 'RUNNING':
    case 'RESTARTING':
    case 'RUNNING_DEGRADED':
    case 'RESIZING':
    case 'SUSPENDED':
      return '';
    case 'TERMINATING':
    case 'TERMINATED':
    case 'ERROR':
    case 'CANCELLED':
      return 'unknown';
    default:
      return unreachable(status);
  }
}

/** Upstream's name for a session's entering a status, after `session_`. */
export function sessionEventOf(status: string): string {
  if (status === 'PENDING') return 'enqueued';
  return status === 'RUNNING' ? 'started' : status.toLowerCase();
}

/** `phase` of the session's history row for entering `status`, in upstream's words. */
export function sessionPhase(
  status: SessionStatus,
  cause: ReportKind | 'joined' | 'batch-finished',
): string {
  switch (status) {
    case 'PENDING':
      return cause === 'requeued' ? 'reschedule-sessions' : 'reset';
    case 'DEPRIORITIZING':
      return 'deprioritize-sessions';
    case 'SCHEDULED':
      return 'schedule-sessions';
    case 'PREPARING':
      return 'check-precondition';
    case 'PULLING':
    case 'PREPARED':
      return 'check-pulling-progress';
    case 'CREATING':
      return 'start-sessions';
    case 'RUNNING':
    case 'RESTARTING':
    case 'RUNNING_DEGRADED':
      return 'check-creating-progress';
    case 'TERMINATING':
      return cause === 'reschedule' ? 'preempt-sessions' : 'mark_terminating';
    case 'TERMINATED':
    case 'ERROR':
      return cause === 'force-terminate' ? 'force_terminate' : 'check-terminating-progress';
    case 'CANCELLED':
      return 'cancel';
    default:
      return unreachable(status);
  }
}
