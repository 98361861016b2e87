/** Decides which placements and preemptions still hold once the rows they are about are locked. Pure. */
import { addSlots, type Slots, slotsFit, subtractSlots } from '../../common/slots.ts';
import { PREEMPTED, RESCHEDULING } from './lifecycle.ts';
import type { Report, SessionState } from './reports.ts';
import { type KernelStatus, placedKernelStatuses } from './status.ts';

/** A session's placement, whole: all of its kernels or none. */
export interface Placement {
  readonly sessionId: string;
  readonly kernels: readonly {
    readonly kernelId: string;
    readonly agentId: string;
    readonly agentAddr: string;
  }[];
  /** Kept in `status_data.scheduler`. */
  readonly scheduler: Readonly<Record<string, unknown>>;
}

/** What a session asks of each agent, taken from its unfreed allocations. */
function demandOf(session: SessionState, placement: Placement): Map<string, Slots> {
  const demand = new Map<string, Slots>();
  for (const { kernelId, agentId } of placement.kernels) {
    const kernel = session.kernels.find((item) => item.id === kernelId);
    const slots = new Map(kernel?.allocations.map((item) => [item.slot, item.requested]));
    demand.set(agentId, addSlots(demand.get(agentId) ?? new Map(), slots));
  }
  return demand;
}

/**
 * Takes the placements that still hold, in order: the session must be waiting with exactly these
 * kernels, and the agents must have room. Pure but for `free`, from which it subtracts.
 */
export function grantPlacements(
  sessions: readonly SessionState[],
  placements: readonly Placement[],
  free: Map<string, Map<string, bigint>>,
): Placement[] {
  const byId = new Map(sessions.map((session) => [session.id, session]));
  return placements.filter((placement) => {
    const session = byId.get(placement.sessionId);
    const placed = new Set(placement.kernels.map((kernel) => kernel.kernelId));
    if (!session || placed.size !== session.kernels.length) return false;
    if (!session.kernels.every((item) => item.status === 'PENDING' && placed.has(item.id))) {
      return false;
    }
    const demand = [...demandOf(session, placement)];
    if (!demand.every(([agent, slots]) => slotsFit(slots, free.get(agent) ?? new Map()))) {
      return false;
    }
    for (const [agent, slots] of demand) {
      free.set(agent, new Map(subtractSlots(free.get(agent) ?? new Map(), slots)));
    }
    return true;
  });
}

/** Sessions that have to go so that another can start. */
export interface Preemption {
  readonly sessionId: string;
  readonly priority: number;
  readonly kernelIds: readonly string[];
  /** Where there will be room for it, in the order of its kernels. */
  readonly agentIds: readonly string[];
  readonly victims: readonly {
    readonly sessionId: string;
    readonly priority: number;
    readonly kernels: readonly { readonly id: string; readonly agentId: string }[];
  }[];
  /** Whether they wait in the queue again afterwards. */
  readonly mode: 'terminate' | 'reschedule';
}

/** Statuses of kernels that can be made to leave. */
const stayingKernelStatuses: readonly KernelStatus[] = placedKernelStatuses.filter(
  (status) => status !== 'TERMINATING',
);

/**
 * Takes the preemptions that still make sense, each whole: the session must still wait, and every
 * victim be where it was. Otherwise some would go for nothing.
 */
export function grantPreemptions(
  sessions: readonly SessionState[],
  preemptions: readonly Preemption[],
): Preemption[] {
  const byId = new Map(sessions.map((session) => [session.id, session]));
  const gone = new Set<string>();
  return preemptions.filter(({ sessionId, victims }) => {
    const waiting = byId.get(sessionId);
    if (!waiting?.kernels.every(({ status }) => status === 'PENDING')) return false;
    const stay = victims.every((victim) => {
      const session = byId.get(victim.sessionId);
      return (
        session !== undefined &&
        !gone.has(session.id) &&
        session.kernels.every(({ id, status, agentId }) => {
          const isThere = victim.kernels.some((item) => item.id === id && item.agentId === agentId);
          return isThere && stayingKernelStatuses.includes(status);
        })
      );
    });
    if (stay) for (const victim of victims) gone.add(victim.sessionId);
    return stay;
  });
}

/** What becomes of the victims. */
export function preemptionReports({ sessionId, priority, victims, mode }: Preemption): Report[] {
  const isAgain = mode === 'reschedule';
  return victims.flatMap((victim) => {
    const message = `Its place is needed by session ${sessionId}, whose priority is ${priority} while its own is ${victim.priority}.${isAgain ? ' It runs again when there is room.' : ''}`;
    return victim.kernels.map(
      ({ id: kernelId }): Report => ({
        ...{ kernelId, message, onlyIn: stayingKernelStatuses },
        ...(isAgain
          ? { kind: 'reschedule', reason: RESCHEDULING }
          : { kind: 'terminate', reason: PREEMPTED }),
      }),
    );
  });
}
