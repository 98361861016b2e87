/** The manager's tables as rows in memory. A batch of changes is written in one step or not at all. */

import type { KernelSpec } from '../../common/protocol/kernel.ts';
import type { Report, SessionState } from '../../manager/session/reports.ts';
import { isTerminal, type KernelStatus } from '../../manager/session/status.ts';
import type { Changes } from '../../manager/session/transition-fold.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export interface KernelRow extends Mutable<Omit<SessionState['kernels'][number], 'allocations'>> {
  readonly spec: KernelSpec;
  statusChangedMs: number;
  terminatedMs: number | null;
  /** Its agent said that it is gone. */
  agentSaidEnd: boolean;
  allocations: { slot: string; requested: bigint; used: bigint | null }[];
}

export interface SessionRow extends Mutable<Omit<SessionState, 'kernels'>> {
  readonly kernels: readonly KernelRow[];
  readonly createdMs: number;
  readonly priority: number;
}

export interface Book {
  readonly capacity: bigint;
  reserved: bigint;
  used: bigint;
}

export interface AgentRow {
  readonly id: string;
  status: 'ALIVE' | 'LOST' | 'UNKNOWN';
  heartbeatMs: number;
  lostMs: number | null;
  lastSeq: number;
  readonly books: Map<string, Book>;
}

/** What a kernel may do, written down apart from the state machine that is under test. */
const STARTING: readonly KernelStatus[] = [
  'SCHEDULED',
  'PREPARING',
  'PULLING',
  'PREPARED',
  'CREATING',
];
function isLegal(from: KernelStatus, to: KernelStatus): boolean {
  if (from === 'PENDING') return to === 'SCHEDULED' || to === 'CANCELLED';
  if (from === 'TERMINATING') return to === 'TERMINATED' || to === 'PENDING';
  if (to === 'TERMINATING' || to === 'TERMINATED') return !isTerminal(from);
  const at = STARTING.indexOf(from);
  return at >= 0 && (to === 'PENDING' || to === 'RUNNING' || STARTING.indexOf(to) > at);
}

export class Tables {
  readonly agents = new Map<string, AgentRow>();
  readonly sessions = new Map<string, SessionRow>();
  readonly kernels = new Map<string, KernelRow>();

  add(session: SessionRow): void {
    this.sessions.set(session.id, session);
    for (const kernel of session.kernels) this.kernels.set(kernel.id, kernel);
  }

  /** The sessions of the given kernels, as a transaction reads them under its locks. */
  read(kernelIds: readonly string[]): SessionState[] {
    const ids = new Set(kernelIds.flatMap((id) => this.kernels.get(id)?.sessionId ?? []));
    return [...ids].flatMap((id) => {
      const session = this.sessions.get(id);
      if (!session) return [];
      return [
        {
          ...session,
          kernels: session.kernels.map((kernel) => ({
            ...kernel,
            allocations: kernel.allocations.map((item) => ({ ...item })),
          })),
        },
      ];
    });
  }

  free(agentIds: readonly string[]): Map<string, Map<string, bigint>> {
    return new Map(
      agentIds.map((id) => [
        id,
        new Map(
          [...(this.agents.get(id)?.books ?? [])].map(([slot, book]) => [
            slot,
            book.capacity - book.reserved - book.used,
          ]),
        ),
      ]),
    );
  }

  /** @throws Error when a change breaks a rule of the books or of the life of kernels. */
  write(changes: Changes, reports: readonly Report[], nowMs: number): void {
    const statuses = new Map<string, KernelStatus>();
    for (const { kernelId, from, to } of changes.history) {
      const kernel = kernelId === null ? undefined : this.kernels.get(kernelId);
      if (!kernel) continue;
      const before = statuses.get(kernel.id) ?? kernel.status;
      const step = [from, to] as [KernelStatus, KernelStatus];
      if (before !== from || !isLegal(...step)) {
        throw new Error(`kernel ${kernelId} went from ${before} (${from}) to ${to}`);
      }
      statuses.set(kernel.id, step[1]);
    }
    for (const { agentId, slot, reserved, used } of changes.resources) {
      const book = this.agents.get(agentId)?.books.get(slot);
      if (!book) throw new Error(`no book of ${slot} on ${agentId}`);
      book.reserved += reserved;
      book.used += used;
      if (book.reserved < 0n || book.used < 0n)
        throw new Error(`${agentId} got back more ${slot} than was taken`);
      if (book.reserved + book.used > book.capacity) throw new Error(`${agentId} is oversold`);
    }
    for (const { kernelId, slot, used } of changes.usedAllocations) {
      const held = this.kernels.get(kernelId)?.allocations.find((item) => item.slot === slot);
      if (held) held.used = used;
    }
    for (const id of changes.requeuedKernels) {
      for (const held of this.kernels.get(id)?.allocations ?? []) held.used = null;
    }
    for (const id of changes.freedKernels) {
      const kernel = this.kernels.get(id);
      if (kernel) kernel.allocations = [];
    }
    for (const change of changes.kernels) {
      const kernel = this.kernels.get(change.id);
      if (!kernel) continue;
      if (kernel.status !== change.status) kernel.statusChangedMs = nowMs;
      if (change.ended) kernel.terminatedMs ??= nowMs;
      const { status, statusInfo, agentId, agentAddr } = change;
      Object.assign(kernel, { status, statusInfo, agentId, agentAddr });
      kernel.mustJoin = change.mustJoin || (status !== 'RUNNING' && kernel.spec.cluster.size > 1);
    }
    for (const report of reports) {
      const kernel = this.kernels.get(report.kernelId);
      if (report.kind === 'terminated' && kernel) kernel.agentSaidEnd = true;
    }
    for (const { id, status, statusInfo, statusData, result } of changes.sessions) {
      const session = this.sessions.get(id);
      if (session) Object.assign(session, { status, statusInfo, statusData, result });
    }
  }
}
