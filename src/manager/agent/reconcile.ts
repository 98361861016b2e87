/** Compares what an agent holds with what the database wants of it. Pure. */
import {
  type ActualKernel,
  type TerminationReason,
  terminationReasons,
} from '../../common/protocol/kernel.ts';
import type { Report } from '../session/reports.ts';
import { isStarting, isTerminal, type KernelStatus } from '../session/status.ts';

/** A kernel as the database has it. */
export interface KnownKernel {
  readonly id: string;
  readonly sessionId: string;
  readonly status: KernelStatus;
  readonly statusInfo: string | null;
  readonly agentId: string | null;
  /** Where its services are reached; null before it has started. */
  readonly host: string | null;
  readonly statusChangedAt: Date | null;
}

export interface KernelToEnd {
  readonly kernelId: string;
  readonly sessionId: string;
  readonly reason: TerminationReason;
}

export interface Reconciliation {
  /** Kernels the agent holds and should not. */
  readonly end: readonly KernelToEnd[];
  /** Kernels it should be bringing up and does not hold, or holds and has brought up already. */
  readonly start: readonly string[];
  /** Kernels whose services are reached elsewhere than is known. */
  readonly moved: readonly { readonly kernelId: string; readonly host: string }[];
  /** Kernels it has lost. */
  readonly reports: readonly Report[];
  /** Kernels found missing now, with the time at which that was first seen. */
  readonly missing: ReadonlyMap<string, number>;
}

interface Comparison {
  readonly agentId: string;
  readonly held: readonly ActualKernel[];
  /** The agent's placed kernels and all that it holds. */
  readonly known: readonly KnownKernel[];
  /** `missing` of the heartbeat before. */
  readonly missingBefore: ReadonlyMap<string, number>;
  readonly nowMs: number;
}

/** A wish younger than this may not have reached the agent when it took stock. Milliseconds. */
const SETTLE_MS = 3_000;
/** Missing in two heartbeats at least this far apart means lost. Milliseconds. */
const LOST_AFTER_MS = 1_000;

/** The nearest reason that agents know. */
export function terminationReasonOf(statusInfo: string | null): TerminationReason {
  return terminationReasons.find((reason) => reason === statusInfo) ?? 'user-requested';
}

function surplus(held: ActualKernel, row: KnownKernel | undefined, agentId: string) {
  const { kernelId, sessionId } = held;
  if (!row || row.agentId !== agentId) {
    return { kernelId, sessionId, reason: 'not-found-in-manager' } as const;
  }
  if (isTerminal(row.status)) return { kernelId, sessionId, reason: 'already-terminated' } as const;
  if (row.status === 'TERMINATING') {
    return { kernelId, sessionId, reason: terminationReasonOf(row.statusInfo) };
  }
  return null;
}

/** Where a kernel is reached that was reached elsewhere before; a start says by itself where it is. */
function newHost({ host }: ActualKernel, row: KnownKernel | undefined, agentId: string) {
  if (!row || row.agentId !== agentId || isTerminal(row.status) || row.host === null) return null;
  return host === undefined || host === row.host ? null : host;
}

/** What to tell the agent, and what its silence about a kernel means. */
export function reconcile(input: Comparison): Reconciliation {
  const { agentId, nowMs } = input;
  const rows = new Map(input.known.map((row) => [row.id, row]));
  const heldIds = new Set(input.held.map((kernel) => kernel.kernelId));
  const end = input.held.flatMap(
    (kernel) => surplus(kernel, rows.get(kernel.kernelId), agentId) ?? [],
  );
  const moved = input.held.flatMap((kernel) => {
    const { kernelId } = kernel;
    const host = newHost(kernel, rows.get(kernelId), agentId);
    return host === null ? [] : [{ kernelId, host }];
  });
  const start: string[] = [];
  const reports: Report[] = [];
  const missing = new Map<string, number>();
  const isUp = new Set(
    input.held.filter(({ state }) => state === 'running').map(({ kernelId }) => kernelId),
  );
  for (const row of input.known) {
    if (row.agentId !== agentId || isTerminal(row.status)) continue;
    if (heldIds.has(row.id) && !(isStarting(row.status) && isUp.has(row.id))) continue;
    if (isStarting(row.status)) {
      if (nowMs - (row.statusChangedAt?.getTime() ?? 0) >= SETTLE_MS) start.push(row.id);
      continue;
    }
    const since = input.missingBefore.get(row.id);
    missing.set(row.id, since ?? nowMs);
    if (since === undefined || nowMs - since < LOST_AFTER_MS) continue;
    const wanted = row.status === 'TERMINATING';
    reports.push({
      kind: 'terminated',
      kernelId: row.id,
      reporter: agentId,
      onlyIn: [row.status],
      reason: 'container-not-found',
      exitCode: null,
      message: wanted ? null : `Agent ${agentId} no longer has the container of this kernel.`,
      logs: null,
    });
  }
  return { end, start, moved, reports, missing };
}
