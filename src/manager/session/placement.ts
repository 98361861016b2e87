/** Decides which placements still hold once the rows they are about are locked. Pure. */
import { addSlots, type Slots, slotsFit, subtractSlots } from '../../common/slots.ts';
import type { SessionState } from './reports.ts';

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
