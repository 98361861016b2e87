/**
 * Applies requests for transitions: those that come while others are being written are written
 * together, in one transaction, and announced afterwards.
 */

import type { Sql } from 'postgres';
import type { Clock } from '../../common/clock.ts';
import { errorCode } from '../../common/errors.ts';
import type { AgentEvent } from '../../common/protocol/manager.ts';
import type { Tracer } from '../../common/tracing.ts';
import { type AuditRecord, insertAuditRecords } from '../audit/service.ts';
import { BatchQueue } from '../batch-queue.ts';
import { isDatabaseAway } from '../db/errors.ts';
import type { EventBus } from '../event/bus.ts';
import { reportOf } from './agent-report.ts';
import {
  grantPlacements,
  grantPreemptions,
  type Placement,
  type Preemption,
  preemptionReports,
} from './placement.ts';
import type { Report, SessionState } from './reports.ts';
import { isTerminal, type SessionStatus } from './status.ts';
import { type Changes, Fold } from './transition-fold.ts';
import {
  type FreeSlots,
  lockAgentResources,
  lockEventCursors,
  lockSessions,
  moveEventCursors,
  writeChanges,
} from './transition-store.ts';

export type TransitionRequest =
  | { readonly kind: 'reports'; readonly reports: readonly Report[] }
  | {
      readonly kind: 'agent-events';
      readonly agentId: string;
      readonly events: readonly AgentEvent[];
    }
  | { readonly kind: 'placements'; readonly placements: readonly Placement[] }
  | { readonly kind: 'preemptions'; readonly preemptions: readonly Preemption[] }
  | { readonly kind: 'ends'; readonly sessionIds: readonly string[]; readonly end: SessionEnd }
  | { readonly kind: 'skip'; readonly agentId: string; readonly seq: number };

/** How all kernels of a session are to end. */
export interface SessionEnd {
  readonly kind: 'terminate' | 'force-terminate';
  /** status_info */
  readonly reason: string;
  /** What the audit log keeps of each that is ended, written with it; nothing when absent. */
  readonly record?: ((sessionId: string) => AuditRecord) | undefined;
}

export interface TransitionOutcome {
  /** The sessions that the request changed, as it left them. */
  readonly moved: ReadonlyMap<string, SessionStatus>;
  /** Number of the agent's last event that is dealt with; null without an agent that is known. */
  readonly seq: number | null;
}

export interface TransitionQueueOptions {
  /** A pool for statements that go by keys; see `keyedConnections`. */
  readonly sql: Sql;
  readonly events: EventBus;
  readonly clock: Clock;
  /** Told of sessions' lives; nobody by default. */
  readonly tracer?: Tracer;
}

const MAX_ATTEMPTS = 4;
/** Kernels that one transaction is about, as far as a single request is not about more. */
const MAX_KERNELS = 1_000;
const MAX_WAITING = 20_000;
const DEADLOCK = '40P01';
const SERIALIZATION_FAILURE = '40001';

const isRetryable = (error: unknown): boolean =>
  [DEADLOCK, SERIALIZATION_FAILURE].includes(errorCode(error));

const NOTHING: ReadonlyMap<string, SessionStatus> = new Map();

function kernelsOf(request: TransitionRequest): string[] {
  switch (request.kind) {
    case 'reports':
      return request.reports.map(({ kernelId }) => kernelId);
    case 'agent-events':
      return request.events.map(({ kernelId }) => kernelId);
    case 'placements':
      return request.placements.flatMap(({ kernels }) => kernels.map(({ kernelId }) => kernelId));
    case 'preemptions':
      return request.preemptions.flatMap(({ kernelIds, victims }) => [
        ...kernelIds,
        ...victims.flatMap(({ kernels }) => kernels.map(({ id }) => id)),
      ]);
    case 'ends':
    case 'skip':
      return [];
  }
}

const namedSessions = (request: TransitionRequest): readonly string[] =>
  request.kind === 'ends' ? request.sessionIds : [];

/** What the audit log is to keep of a request that was applied. */
function recordsOf(request: TransitionRequest, { moved }: TransitionOutcome): AuditRecord[] {
  const record = request.kind === 'ends' ? request.end.record : undefined;
  return record === undefined ? [] : [...moved.keys()].map((sessionId) => record(sessionId));
}

const agentOf = (request: TransitionRequest): string[] =>
  'agentId' in request ? [request.agentId] : [];

const chosenAgents = (request: TransitionRequest): string[] =>
  request.kind === 'placements'
    ? request.placements.flatMap(({ kernels }) => kernels.map(({ agentId }) => agentId))
    : [];

/** One transaction's requests, applied in memory to what the database has locked for them. */
class Batch {
  readonly #sessions: readonly SessionState[];
  readonly #cursors: Map<string, number>;
  readonly #free: Map<string, FreeSlots>;
  readonly #fold: Fold;
  /** Agent → its last event, for those that were heard. */
  readonly heardCursors = new Map<string, number>();

  constructor(
    sessions: readonly SessionState[],
    cursors: Map<string, number>,
    free: Map<string, FreeSlots>,
    now: Date,
  ) {
    this.#sessions = sessions;
    this.#cursors = cursors;
    this.#free = free;
    this.#fold = new Fold(sessions, now);
  }

  changes(): Changes {
    return this.#fold.changes();
  }

  apply(request: TransitionRequest): TransitionOutcome {
    switch (request.kind) {
      case 'reports':
        return { moved: this.#fold.applyAll(request.reports), seq: null };
      case 'ends':
        return {
          moved: this.#fold.applyAll(this.#ends(request.sessionIds, request.end)),
          seq: null,
        };
      case 'placements':
        return { moved: this.#fold.applyAll(this.#granted(request.placements)), seq: null };
      case 'preemptions':
        return { moved: this.#preempt(request.preemptions), seq: null };
      case 'agent-events':
        return this.#applyEvents(request.agentId, request.events);
      case 'skip': {
        const cursor = this.#cursors.get(request.agentId);
        if (cursor === undefined) return { moved: NOTHING, seq: null };
        return { moved: NOTHING, seq: this.#moveCursor(request.agentId, request.seq) };
      }
    }
  }

  #applyEvents(agentId: string, events: readonly AgentEvent[]): TransitionOutcome {
    const cursor = this.#cursors.get(agentId);
    if (cursor === undefined) return { moved: NOTHING, seq: null };
    const fresh = events.filter((event) => event.seq > cursor).sort((a, b) => a.seq - b.seq);
    const moved = this.#fold.applyAll(fresh.map((event) => reportOf(agentId, event)));
    return { moved, seq: this.#moveCursor(agentId, fresh.at(-1)?.seq ?? cursor) };
  }

  #moveCursor(agentId: string, seq: number): number {
    const last = Math.max(this.#cursors.get(agentId) ?? 0, seq);
    this.#cursors.set(agentId, last);
    this.heardCursors.set(agentId, last);
    return last;
  }

  #preempt(preemptions: readonly Preemption[]): ReadonlyMap<string, SessionStatus> {
    // Who waits no longer, by an earlier request of the batch, needs nobody to leave.
    const granted = grantPreemptions(this.#fold.states(), preemptions);
    const moved = this.#fold.applyAll(granted.flatMap(preemptionReports));
    for (const { sessionId, agentIds } of granted) this.#fold.clearAgents(sessionId, agentIds);
    return moved;
  }

  #ends(sessionIds: readonly string[], { kind, reason }: SessionEnd): Report[] {
    const byId = new Map(this.#sessions.map((session) => [session.id, session]));
    return sessionIds.flatMap((id) =>
      (byId.get(id)?.kernels ?? []).map(
        (kernel): Report => ({ kind, kernelId: kernel.id, reason, message: null }),
      ),
    );
  }

  #granted(placements: readonly Placement[]): Report[] {
    // What earlier requests of the batch have reserved or released counts.
    const free = new Map([...this.#free].map(([agentId, slots]) => [agentId, new Map(slots)]));
    for (const { agentId, slot, reserved, used } of this.#fold.booked()) {
      const slots = free.get(agentId);
      const amount = slots?.get(slot);
      if (amount !== undefined) slots?.set(slot, amount - reserved - used);
    }
    return grantPlacements(this.#sessions, placements, free).flatMap(({ kernels, scheduler }) =>
      kernels.map((kernel): Report => ({ kind: 'scheduled', ...kernel, scheduler })),
    );
  }
}

export class TransitionQueue {
  readonly #options: TransitionQueueOptions;
  readonly #queue: BatchQueue<TransitionRequest, TransitionOutcome>;

  constructor(options: TransitionQueueOptions) {
    this.#options = options;
    this.#queue = new BatchQueue({
      write: (requests) => this.#write(requests),
      weightOf: (request) => kernelsOf(request).length + namedSessions(request).length,
      maxWeight: MAX_KERNELS,
      maxWaiting: MAX_WAITING,
      isOfOneItem: (error) => !isDatabaseAway(error),
    });
  }

  /** Resolves when the request is written. @throws what the database throws on it. */
  async submit(request: TransitionRequest): Promise<TransitionOutcome> {
    return await this.#queue.submit(request);
  }

  async #write(requests: readonly TransitionRequest[]): Promise<TransitionOutcome[]> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const { outcomes, changes } = await this.#attempt(requests);
        this.#announce(changes);
        return outcomes;
      } catch (error) {
        if (attempt >= MAX_ATTEMPTS || !isRetryable(error)) throw error;
      }
    }
  }

  async #attempt(requests: readonly TransitionRequest[]) {
    const { sql, clock } = this.#options;
    return await sql.begin(async (tx) => {
      const [cursors, sessions, free] = await Promise.all([
        lockEventCursors(tx, requests.flatMap(agentOf)),
        lockSessions(tx, {
          kernelIds: requests.flatMap(kernelsOf),
          sessionIds: requests.flatMap(namedSessions),
        }),
        lockAgentResources(tx, requests.flatMap(chosenAgents)),
      ]);
      const now = clock.now();
      const batch = new Batch(sessions, cursors, free, now);
      const applied = requests.map((request) => ({ request, outcome: batch.apply(request) }));
      const changes = batch.changes();
      const records = applied.flatMap(({ request, outcome }) => recordsOf(request, outcome));
      await Promise.all([
        writeChanges(tx, changes, now),
        moveEventCursors(tx, batch.heardCursors, now),
        insertAuditRecords(tx, records),
      ]);
      return { outcomes: applied.map(({ outcome }) => outcome), changes };
    });
  }

  /** Tells waiters and loops what a committed batch changed. */
  #announce(changes: Changes): void {
    const { events, tracer } = this.#options;
    for (const span of changes.spans) tracer?.tell(span);
    for (const event of changes.events) events.publish(event);
    const { kernels } = changes;
    const isDue = ({ status, mustJoin }: Changes['kernels'][number]) =>
      status === 'SCHEDULED' || (status === 'RUNNING' && mustJoin);
    if (kernels.some(isDue)) events.publish({ type: 'wake', loop: 'start' });
    // An end of which the agent has told needs nothing more from it.
    const isUntold = ({ ended, dataPatch }: Changes['kernels'][number]) =>
      ended && dataPatch.kernel === undefined;
    if (kernels.some((kernel) => kernel.status === 'TERMINATING' || isUntold(kernel))) {
      events.publish({ type: 'wake', loop: 'terminate' });
    }
    if (kernels.some(({ status }) => status === 'PENDING' || isTerminal(status))) {
      events.publish({ type: 'wake', loop: 'schedule' });
    }
    if (changes.callbacks.length > 0) events.publish({ type: 'wake', loop: 'callback' });
  }
}
