/**
 * The working copies that a fold changes, and what they say has to be written in the end.
 */
import type { KernelCreationInfo } from '../../common/protocol/kernel.ts';
import {
  addSlots,
  formatSlots,
  parseAmount,
  type SlotMap,
  type Slots,
} from '../../common/slots.ts';
import { RESCHEDULED, RESCHEDULING } from './lifecycle.ts';
import type { Allocation, KernelState, Report, SessionState } from './reports.ts';
import { isTerminal, type KernelStatus, type SessionResult, type SessionStatus } from './status.ts';

/** Final values of a kernel that changed. */
export interface KernelChange {
  readonly id: string;
  readonly status: KernelStatus;
  readonly statusInfo: string | null;
  /** Merged into status_data. */
  readonly dataPatch: Readonly<Record<string, unknown>>;
  /** Merged into status_history. */
  readonly historyPatch: Readonly<Record<string, string>>;
  readonly agentId: string | null;
  readonly agentAddr: string | null;
  /** Present when the kernel came up. */
  readonly info: KernelCreationInfo | null;
  readonly ended: boolean;
  readonly result: SessionResult | null;
  readonly logs: string | null;
  /** As in KernelState. */
  readonly mustJoin: boolean;
}

/** Final values of a session that changed. */
export interface SessionChange {
  readonly id: string;
  readonly status: SessionStatus;
  readonly statusInfo: string | null;
  readonly statusData: Readonly<Record<string, unknown>>;
  readonly historyPatch: Readonly<Record<string, string>>;
  readonly result: SessionResult;
  readonly agentIds: readonly string[];
  /** Sum over the kernels; present when the session came up. */
  readonly occupyingSlots: SlotMap | null;
  readonly ended: boolean;
}

export interface KernelDraft {
  readonly before: KernelState;
  status: KernelStatus;
  statusInfo: string | null;
  agentId: string | null;
  agentAddr: string | null;
  /** As before, until it waits again: nothing is in use then. */
  allocations: readonly Allocation[];
  used: Slots | null;
  info: KernelCreationInfo | null;
  mustJoin: boolean;
  result: SessionResult | null;
  logs: string | null;
  readonly dataPatch: Record<string, unknown>;
  readonly historyPatch: Record<string, string>;
  touched: boolean;
}

export interface SessionDraft {
  readonly before: SessionState;
  readonly kernels: readonly KernelDraft[];
  status: SessionStatus;
  statusInfo: string | null;
  statusData: Record<string, unknown>;
  result: SessionResult;
  readonly historyPatch: Record<string, string>;
  touched: boolean;
}

export function draftSession(before: SessionState): SessionDraft {
  return {
    before,
    kernels: before.kernels.map((kernel) => ({
      before: kernel,
      status: kernel.status,
      statusInfo: kernel.statusInfo,
      agentId: kernel.agentId,
      agentAddr: kernel.agentAddr,
      allocations: kernel.allocations,
      used: null,
      info: null,
      mustJoin: kernel.mustJoin,
      result: null,
      logs: null,
      dataPatch: {},
      historyPatch: {},
      touched: false,
    })),
    status: before.status,
    statusInfo: before.statusInfo,
    statusData: { ...before.statusData },
    result: before.result,
    historyPatch: {},
    touched: false,
  };
}

export function reasonOf(report: Report): string | null {
  return 'reason' in report ? report.reason : null;
}

export function messageOf(report: Report): string | null {
  return 'message' in report ? report.message : null;
}

export function endData(
  report: Extract<Report, { message: string | null }>,
  agentId: string | null,
): Record<string, unknown> {
  const own = report.kind === 'terminated';
  const { reason: name, message: repr } = report;
  return {
    ...(own ? { kernel: { exit_code: report.exitCode } } : {}),
    ...(repr === null
      ? {}
      : { error: { src: own ? 'agent' : 'other', name, repr, agent_id: agentId } }),
  };
}

function resetsOf(session: SessionDraft): number {
  const { resets } = objectOf(session.statusData.scheduler);
  return typeof resets === 'number' ? resets : 0;
}

/** A session that failed to start too often ends instead of waiting for yet another agent. */
export function withinRetries(session: SessionDraft, report: Report): Report {
  const { maxRetries } = session.before;
  if (report.kind !== 'unscheduled' || maxRetries === null) return report;
  if (resetsOf(session) < maxRetries) return report;
  const attempts = maxRetries === 0 ? 'one attempt' : `${maxRetries + 1} attempts`;
  const message = `Gave up after ${attempts} to start. The last one: ${report.message}`;
  return { ...report, kind: 'force-terminate', reason: 'EXCEEDED_MAX_RETRIES', message };
}

/** A kernel that ends so that it can run again goes back to the queue once its agent says it is gone. */
export function requeuedIfWanted({ status, statusInfo }: KernelDraft, report: Report): Report {
  const { kernelId, kind } = report;
  const isWanted = status === 'TERMINATING' && statusInfo === RESCHEDULING;
  return isWanted && kind === 'terminated'
    ? { kind: 'requeued', kernelId, reason: RESCHEDULED }
    : report;
}

/** Remembers which agents the session was on, so that the next attempt prefers others. */
export function withFailedAgents(session: SessionDraft): Record<string, unknown> {
  const scheduler = objectOf(session.statusData.scheduler);
  const known = Array.isArray(scheduler.failed_agents) ? scheduler.failed_agents : [];
  const tried = session.kernels.flatMap((kernel) => kernel.before.agentId ?? []);
  const failed_agents = [...new Set([...known.filter((id) => typeof id === 'string'), ...tried])];
  const resets = resetsOf(session) + 1;
  return { ...session.statusData, scheduler: { ...scheduler, failed_agents, resets } };
}

export function objectOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
}

/** Amounts the agent reports; malformed ones count as not reported. */
export function parseKnown(map: SlotMap): Map<string, bigint> {
  const out = new Map<string, bigint>();
  for (const [slot, text] of Object.entries(map)) {
    const amount = parseAmount(text);
    if (amount !== null) out.set(slot, amount);
  }
  return out;
}

export function kernelChange(kernel: KernelDraft): KernelChange {
  const { status, statusInfo, dataPatch, historyPatch, agentId, agentAddr } = kernel;
  const { info, result, logs, mustJoin } = kernel;
  const ended = isTerminal(status);
  const id = kernel.before.id;
  return {
    ...{ id, status, statusInfo, dataPatch, historyPatch, agentId, agentAddr, info, result, logs },
    ...{ ended, mustJoin },
  };
}

export function sessionChange(session: SessionDraft): SessionChange {
  const cameUp = session.status === 'RUNNING' && session.before.status !== 'RUNNING';
  const agentIds = [...new Set(session.kernels.flatMap((kernel) => kernel.agentId ?? []))];
  return {
    id: session.before.id,
    status: session.status,
    statusInfo: session.statusInfo,
    statusData: session.statusData,
    historyPatch: session.historyPatch,
    result: session.result,
    agentIds,
    occupyingSlots: cameUp ? formatSlots(occupied(session)) : null,
    ended: isTerminal(session.status),
  };
}

export function occupied(session: SessionDraft): Slots {
  return session.kernels.reduce<Slots>((sum, kernel) => {
    const own = new Map(
      kernel.allocations.map(({ slot, used, requested }) => [slot, used ?? requested]),
    );
    return addSlots(sum, kernel.used ?? own);
  }, new Map());
}
