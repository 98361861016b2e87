/** Choosing one agent among those that could take a request. Pure. */
import type { Slots } from '../../common/slots.ts';
import type { AgentSnapshot, SelectionStrategy } from './snapshot.ts';

/** The request's slots in the order in which they weigh: prioritised ones, then by name. */
function weighingOrder(request: Slots, priority: readonly string[]): string[] {
  const rank = (slot: string) => {
    const index = priority.findIndex((name) => slot === name || slot.startsWith(`${name}.`));
    return index < 0 ? priority.length : index;
  };
  return [...request.keys()].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : a > b ? 1 : 0));
}

/** Slots that the agent has to spare and the request does not want, such as idle GPUs. */
function unwantedCapabilities(agent: AgentSnapshot, request: Slots): number {
  let count = 0;
  for (const [slot, free] of agent.free) if (free > 0n && !request.get(slot)) count += 1;
  return count;
}

/** Negative when `a` has less of the first slot that differs. */
function compareFree(a: AgentSnapshot, b: AgentSnapshot, order: readonly string[]): number {
  for (const slot of order) {
    const x = a.free.get(slot) ?? 0n;
    const y = b.free.get(slot) ?? 0n;
    if (x !== y) return x < y ? -1 : 1;
  }
  return 0;
}

/**
 * The agent to use; all candidates can take the request. Agents with capabilities that the request
 * does not want are spared. Then `dispersed` takes the one with most to spare, `concentrated` the
 * one with least. Ties: first in the list.
 *
 * `legacy` is `dispersed`, and `roundrobin`, having no memory here, spreads in the same way.
 */
export function selectAgent(
  strategy: SelectionStrategy,
  candidates: readonly AgentSnapshot[],
  request: Slots,
  slotPriority: readonly string[],
): AgentSnapshot | null {
  const order = weighingOrder(request, slotPriority);
  const sign = strategy === 'concentrated' ? 1 : -1;
  let best: AgentSnapshot | null = null;
  for (const agent of candidates) {
    const difference =
      best === null
        ? -1
        : unwantedCapabilities(agent, request) - unwantedCapabilities(best, request) ||
          sign * compareFree(agent, best, order);
    if (difference < 0) best = agent;
  }
  return best;
}
