/**
 * Applies reports to sessions in memory: folds them through the state machine and says what has to
 * be written. Pure, so that any order of any reports can be tried.
 */
import type { KernelCreationInfo } from '../../common/protocol/kernel.ts';
import type { PastSpan } from '../../common/tracing.ts';
import type { ManagerEvent } from '../event/bus.ts';
import type { NewCallback } from './callback-store.ts';
import { lifeSpans } from './life-trace.ts';
import {
  defaultStatusInfo,
  nextKernelStatus,
  nextSessionStatus,
  RESCHEDULING,
  type ReportKind,
  sessionEventOf,
  sessionPhase,
} from './lifecycle.ts';
import type { Report, SessionState } from './reports.ts';
import { isStarting, isTerminal, type KernelStatus, type SessionStatus } from './status.ts';
import {
  draftSession,
  endData,
  type KernelChange,
  type KernelDraft,
  kernelChange,
  messageOf,
  objectOf,
  parseKnown,
  reasonOf,
  requeuedIfWanted,
  type SessionChange,
  type SessionDraft,
  sessionChange,
  withFailedAgents,
  withinRetries,
} from './transition-draft.ts';

export interface HistoryEntry {
  readonly sessionId: string;
  readonly kernelId: string | null;
  readonly phase: string;
  readonly from: string;
  readonly to: string;
  readonly result: 'SUCCESS' | 'NEED_RETRY';
  readonly message: string;
}

/** Change of one slot's books on one agent. Millionths. */
export interface ResourceDelta {
  readonly agentId: string;
  readonly slot: string;
  readonly reserved: bigint;
  readonly used: bigint;
}

export interface Changes {
  readonly kernels: readonly KernelChange[];
  readonly sessions: readonly SessionChange[];
  readonly history: readonly HistoryEntry[];
  readonly resources: readonly ResourceDelta[];
  readonly usedAllocations: readonly {
    readonly kernelId: string;
    readonly slot: string;
    readonly used: bigint;
  }[];
  readonly freedKernels: readonly string[];
  /** Kernels that wait again after they had run. */
  readonly requeuedKernels: readonly string[];
  readonly events: readonly ManagerEvent[];
  /** Calls of `callback_url`, in order. */
  readonly callbacks: readonly NewCallback[];
  /** What of the sessions' lives is over, for the traces that they belong to. */
  readonly spans: readonly PastSpan[];
}

/** Largest log kept with an ended kernel. Characters. */
const MAX_LOG_CHARS = 256 * 1024;

/** Agents answer this to a wish that was overtaken; what is being brought up again is not meant. */
function isAboutEarlierRun({ status }: KernelDraft, report: Report): boolean {
  return (
    report.kind === 'terminated' && report.reason === 'already-terminated' && isStarting(status)
  );
}

/**
 * Sessions in memory to which reports are applied, one request after the other, and what has to be
 * written in the end.
 */
export class Fold {
  readonly sessions: SessionDraft[];
  readonly byKernel = new Map<string, { session: SessionDraft; kernel: KernelDraft }>();
  readonly history: HistoryEntry[] = [];
  readonly events: ManagerEvent[] = [];
  readonly callbacks: NewCallback[] = [];
  private readonly deltas = new Map<
    string,
    { agentId: string; slot: string; r: bigint; u: bigint }
  >();
  usedAllocations: { kernelId: string; slot: string; used: bigint }[] = [];
  readonly freedKernels: string[] = [];
  readonly requeuedKernels: string[] = [];
  readonly now: string;
  /** Sessions that the present request has changed. */
  private moved = new Set<SessionDraft>();

  constructor(sessions: readonly SessionState[], now: Date) {
    this.now = now.toISOString();
    this.sessions = sessions.map((session) => {
      const draft = draftSession(session);
      for (const kernel of draft.kernels) {
        this.byKernel.set(kernel.before.id, { session: draft, kernel });
      }
      return draft;
    });
  }

  /** Applies one request's reports, in order. @returns the sessions it changed, as it leaves them. */
  applyAll(reports: readonly Report[]): Map<string, SessionStatus> {
    this.moved = new Set();
    for (const report of reports) this.apply(report);
    return new Map([...this.moved].map(({ before, status }) => [before.id, status]));
  }

  /** Remembers which agents others leave for a session, so that it comes first until it is placed. */
  clearAgents(sessionId: string, agentIds: readonly string[]): void {
    const session = this.sessions.find(({ before }) => before.id === sessionId);
    if (session?.status !== 'PENDING') return;
    const scheduler = { ...objectOf(session.statusData.scheduler), cleared_agents: agentIds };
    session.statusData = { ...session.statusData, scheduler };
    this.touch(session);
  }

  /** The sessions as the reports so far leave them. */
  states(): SessionState[] {
    return this.sessions.map(({ before, status, kernels }) => ({
      ...{ ...before, status },
      kernels: kernels.map((kernel) => ({
        ...{ ...kernel.before, status: kernel.status, agentId: kernel.agentId },
      })),
    }));
  }

  /** All that the reports so far have changed. */
  changes(): Changes {
    const drafts = this.sessions.flatMap((session) => session.kernels);
    return {
      kernels: drafts.filter((kernel) => kernel.touched).map(kernelChange),
      sessions: this.sessions.filter((session) => session.touched).map(sessionChange),
      history: this.history,
      resources: this.booked(),
      usedAllocations: this.usedAllocations,
      freedKernels: this.freedKernels,
      requeuedKernels: this.requeuedKernels,
      events: this.events,
      callbacks: this.callbacks,
      spans: this.sessions.flatMap((session) => lifeSpans(session, this.now)),
    };
  }

  /** What the reports so far change in the agents' books. */
  booked(): ResourceDelta[] {
    return [...this.deltas.values()]
      .filter(({ r, u }) => r !== 0n || u !== 0n)
      .map(({ agentId, slot, r, u }) => ({ agentId, slot, reserved: r, used: u }));
  }

  private apply(given: Report): void {
    const found = this.byKernel.get(given.kernelId);
    if (!found) return;
    const { session, kernel } = found;
    if (given.reporter !== undefined && given.reporter !== kernel.agentId) return;
    if (given.onlyIn && !given.onlyIn.includes(kernel.status)) return;
    if (isAboutEarlierRun(kernel, given)) return;
    const report = requeuedIfWanted(kernel, withinRetries(session, given));
    if (report.kind === 'joined') {
      if (kernel.status !== 'RUNNING') return;
      kernel.mustJoin = false;
      kernel.touched = true;
      this.settleSession(session, report);
      return;
    }
    this.recordOutcome(session, kernel, report);
    const isChanged =
      this.moveKernel(session, kernel, report) || this.endForGood(session, kernel, report);
    // The others of a session that is to run again are on their way already.
    if (isChanged && report.kind !== 'requeued') this.pullSiblings(session, report);
    this.settleSession(session, report);
  }

  /** Facts that belong to the session whatever its status becomes. */
  private recordOutcome(session: SessionDraft, kernel: KernelDraft, report: Report): void {
    if (isTerminal(kernel.status)) return;
    if (report.kind === 'batch-finished') {
      if (session.result !== 'UNDEFINED') return;
      session.result = report.result;
      this.callBack(session, report.result.toLowerCase());
      session.statusData = { ...session.statusData, session: { exit_code: report.exitCode } };
      this.touch(session);
      kernel.result = report.result;
      kernel.touched = true;
    }
    // What an agent says of a kernel that waits is about an earlier attempt.
    const isPast = report.kind === 'terminated' && kernel.status === 'PENDING';
    if ('message' in report && report.kind !== 'unscheduled' && !isPast) {
      const patch = endData(report, kernel.agentId);
      if (Object.keys(patch).length === 0) return;
      Object.assign(kernel.dataPatch, patch);
      if (report.kind === 'terminated') kernel.logs = report.logs?.slice(-MAX_LOG_CHARS) ?? null;
      kernel.touched = true;
      if (kernel.before.isMain || patch.error) {
        session.statusData = { ...session.statusData, ...patch };
        this.touch(session);
      }
    }
  }

  /** @returns whether the kernel's status changed. */
  private moveKernel(
    session: SessionDraft,
    kernel: KernelDraft,
    report: Exclude<Report, { kind: 'joined' }>,
  ): boolean {
    const kind: ReportKind = report.kind === 'batch-finished' ? 'terminate' : report.kind;
    const from = kernel.status;
    const to = nextKernelStatus(from, kind);
    if (to === null) return false;
    kernel.status = to;
    kernel.touched = true;
    kernel.historyPatch[to] = this.now;
    // The reason for which an end was asked stays the reason of the end.
    if (from !== 'TERMINATING' || kernel.statusInfo === RESCHEDULING) {
      kernel.statusInfo = reasonOf(report) ?? defaultStatusInfo(to);
    }
    this.keepBooks(kernel, report, to);
    if (report.kind === 'requeued') {
      kernel.mustJoin = session.kernels.length > 1;
      this.forgetRun(kernel);
    }
    if (report.kind === 'scheduled') {
      kernel.dataPatch.scheduler = report.scheduler;
      const scheduler = { ...objectOf(session.statusData.scheduler), ...report.scheduler };
      session.statusData = { ...session.statusData, scheduler };
    }
    this.history.push({
      sessionId: session.before.id,
      kernelId: kernel.before.id,
      phase: to,
      from,
      to,
      result: kind === 'unscheduled' ? 'NEED_RETRY' : 'SUCCESS',
      message: messageOf(report) ?? kernel.statusInfo ?? '',
    });
    this.events.push({
      type: 'kernel-status',
      sessionId: session.before.id,
      kernelId: kernel.before.id,
      status: to,
      reason: kernel.statusInfo ?? '',
      exitCode: 'exitCode' in report ? report.exitCode : null,
    });
    return true;
  }

  /** Slots: reserved when placed, used when running, free when over. */
  private keepBooks(kernel: KernelDraft, report: Report, to: KernelStatus): void {
    if (report.kind === 'scheduled') {
      kernel.agentId = report.agentId;
      kernel.agentAddr = report.agentAddr;
      for (const { slot, requested } of kernel.allocations) {
        this.addDelta(report.agentId, slot, requested, 0n);
      }
    } else if (report.kind === 'started') {
      kernel.info = report.info;
      this.startUsing(kernel, report.info);
    } else if (to === 'PENDING') {
      this.release(kernel);
      kernel.agentId = null;
      kernel.agentAddr = null;
    } else if (isTerminal(to)) {
      this.release(kernel);
      this.freedKernels.push(kernel.before.id);
    }
  }

  private startUsing(kernel: KernelDraft, info: KernelCreationInfo): void {
    const agentId = kernel.agentId;
    if (agentId === null) return;
    const actual = parseKnown(info.occupiedSlots);
    const used = new Map<string, bigint>();
    for (const { slot, requested, used: before } of kernel.allocations) {
      const amount = actual.get(slot) ?? requested;
      used.set(slot, amount);
      this.usedAllocations.push({ kernelId: kernel.before.id, slot, used: amount });
      if (before === null) this.addDelta(agentId, slot, -requested, amount);
      else this.addDelta(agentId, slot, 0n, amount - before);
    }
    kernel.used = used;
  }

  private release(kernel: KernelDraft): void {
    if (kernel.agentId === null) return;
    for (const { slot, requested, used } of kernel.allocations) {
      const inUse = kernel.used?.get(slot) ?? used;
      if (inUse === null) this.addDelta(kernel.agentId, slot, -requested, 0n);
      else this.addDelta(kernel.agentId, slot, 0n, -inUse);
    }
  }

  /** What it used is no matter for its next run. */
  private forgetRun(kernel: KernelDraft): void {
    const { id } = kernel.before;
    kernel.used = null;
    kernel.allocations = kernel.allocations.map((item) => ({ ...item, used: null }));
    this.usedAllocations = this.usedAllocations.filter(({ kernelId }) => kernelId !== id);
    this.requeuedKernels.push(id);
  }

  private addDelta(agentId: string, slot: string, reserved: bigint, used: bigint): void {
    // Names of slots have no spaces.
    const key = `${slot} ${agentId}`;
    const delta = this.deltas.get(key) ?? { agentId, slot, r: 0n, u: 0n };
    delta.r += reserved;
    delta.u += used;
    this.deltas.set(key, delta);
  }

  /** Kernels of a session end together and are rescheduled together. */
  private pullSiblings(session: SessionDraft, cause: Report): void {
    const reason = reasonOf(cause) ?? 'unknown';
    const ending = session.kernels.some(
      (kernel) => isTerminal(kernel.status) || kernel.status === 'TERMINATING',
    );
    for (const sibling of session.kernels) {
      const kernelId = sibling.before.id;
      if (ending) {
        const isPassedOn = cause.kind === 'force-terminate' || cause.kind === 'reschedule';
        const kind = isPassedOn ? cause.kind : 'terminate';
        const passed: Report = { kind, reason, message: null, kernelId };
        if (!this.moveKernel(session, sibling, passed)) this.endForGood(session, sibling, passed);
      } else if (cause.kind === 'unscheduled') {
        const kind = isStarting(sibling.status) ? 'unscheduled' : 'terminate';
        if (sibling.status === 'PENDING') continue;
        this.moveKernel(session, sibling, { kind, reason, message: cause.message, kernelId });
      }
    }
  }

  /**
   * Somebody wants the end of a kernel that was to run again afterwards.
   * @returns whether that changed anything.
   */
  private endForGood(session: SessionDraft, kernel: KernelDraft, report: Report): boolean {
    const isEnd = report.kind === 'terminate' || report.kind === 'batch-finished';
    const isLeaving = kernel.status === 'TERMINATING' && kernel.statusInfo === RESCHEDULING;
    if (!isEnd || !isLeaving) return false;
    kernel.statusInfo = report.reason;
    kernel.touched = true;
    session.statusInfo = report.reason;
    this.touch(session);
    return true;
  }

  private touch(session: SessionDraft): void {
    session.touched = true;
    this.moved.add(session);
  }

  private callBack({ before }: SessionDraft, event: string): void {
    const { id: sessionId, callbackUrl: url } = before;
    if (url !== null) this.callbacks.push({ sessionId, url, event });
  }

  private settleSession(session: SessionDraft, report: Report): void {
    const from = session.status;
    const to = nextSessionStatus(
      from,
      // Nobody can use a cluster whose kernels don't know each other yet.
      session.kernels.map(({ status, mustJoin }) =>
        status === 'RUNNING' && mustJoin ? 'CREATING' : status,
      ),
    );
    if (to === null) return;
    session.status = to;
    this.touch(session);
    session.historyPatch[to] = this.now;
    if (from !== 'TERMINATING' || session.statusInfo === RESCHEDULING) {
      session.statusInfo = reasonOf(report) ?? defaultStatusInfo(to);
    }
    if (report.kind === 'unscheduled') {
      session.statusData = withFailedAgents(session);
    }
    this.history.push({
      sessionId: session.before.id,
      kernelId: null,
      phase: sessionPhase(to, report.kind),
      from,
      to,
      result: to === 'PENDING' ? 'NEED_RETRY' : 'SUCCESS',
      message: messageOf(report) ?? session.statusInfo ?? '',
    });
    this.events.push({
      type: 'session-status',
      sessionId: session.before.id,
      status: to,
      reason: session.statusInfo ?? '',
    });
    this.callBack(session, sessionEventOf(to));
  }
}

/** Folds `reports`, in order, into `sessions`. Reports about other kernels are ignored. */
export function foldReports(
  sessions: readonly SessionState[],
  reports: readonly Report[],
  now: Date,
): Changes {
  const fold = new Fold(sessions, now);
  fold.applyAll(reports);
  return fold.changes();
}
