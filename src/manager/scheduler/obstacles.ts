/** Why agents cannot take a session, in words and numbers. Pure. */
import { formatAmount } from '../../common/slots.ts';
import type { AgentTable } from './agent-table.ts';
import type { Requirement } from './selectors.ts';
import type { SlotSpace } from './slot-space.ts';
import type { PendingSession } from './snapshot.ts';

/** The name under which a session waits for room, beside those of the validators. */
export const NO_ROOM = 'AgentSelector';
/** How many agents an explanation lists. */
const MAX_EXPLAINED = 8;

/** One slot of which an agent has too little. Millionths. */
export interface Shortage {
  readonly slot: string;
  readonly requested: bigint;
  readonly available: bigint;
}

export interface Obstacles {
  /** The agent's architecture where it is the wrong one. */
  readonly architecture: string | null;
  /** No registry has the image, and neither has the agent. */
  readonly lacksImage: boolean;
  readonly shortages: readonly Shortage[];
  /** The agent has as many sessions as it may. */
  readonly isFull: boolean;
}

export interface Limits {
  readonly space: SlotSpace;
  readonly maxSessionsPerAgent: number | null;
}

/** What keeps the agent from taking the kernels; nothing of it when it can. */
export function obstaclesOn(
  table: AgentTable,
  agent: number,
  requirement: Requirement,
  { space, maxSessionsPerAgent }: Limits,
): Obstacles {
  const { slots, amounts } = requirement.demand;
  const shortages = slots.flatMap((slot, at) => {
    const [requested, available] = [amounts[at] ?? 0, table.freeOf(slot, agent)];
    if (requested <= available) return [];
    return {
      slot: space.names[slot] ?? '',
      requested: space.amount(slot, requested),
      available: space.amount(slot, available),
    };
  });
  const right = table.architectureOf[agent] === requirement.architecture;
  return {
    lacksImage: requirement.holders?.has(agent) === false,
    architecture: right ? null : (table.architectures[agent] ?? ''),
    shortages,
    isFull: maxSessionsPerAgent !== null && (table.sessions[agent] ?? 0) >= maxSessionsPerAgent,
  };
}

function inWords(obstacles: Obstacles, requirement: Requirement, limits: Limits): string {
  const { architecture, lacksImage, shortages, isFull } = obstacles;
  if (architecture !== null) {
    return `is ${architecture}, the image needs ${requirement.architectures.join(' and ')}`;
  }
  if (lacksImage) return 'does not have the image, which no registry has either';
  if (shortages.length > 0) {
    return shortages
      .map(({ slot, requested, available }) => {
        const [asked, left] = [requested, available].map(formatAmount);
        return `${slot}: requested=${asked}, available=${left}`;
      })
      .join(', ');
  }
  return isFull ? `has ${limits.maxSessionsPerAgent} sessions, as many as it may` : 'fits';
}

/**
 * A sentence about the agents, the first ones of them by name.
 * @param hopeless a requirement that no agent has room for; null: there is room for each, not for all.
 */
export function describeObstacles(
  waiting: {
    readonly session: PendingSession;
    readonly table: AgentTable;
    readonly requirements: readonly Requirement[];
    readonly designated: readonly number[] | null;
  },
  hopeless: Requirement | null,
  limits: Limits,
  reservation: { readonly agents: readonly number[] } | null,
): string {
  const { session, table, requirements, designated } = waiting;
  const group = `resource group '${session.scalingGroup}'`;
  const agents = designated ?? table.ids.map((_, agent) => agent);
  if (agents.length === 0) {
    return `No agent of ${group} is available. It starts when one joins or comes back.`;
  }
  const failing = hopeless ?? requirements[0];
  if (!failing) throw new RangeError(`session ${session.id} has no kernels`);
  const lines = agents
    .slice(0, MAX_EXPLAINED)
    .map(
      (agent) =>
        `${table.ids[agent]} (${inWords(obstaclesOn(table, agent, failing, limits), failing, limits)})`,
    );
  const more = agents.length > MAX_EXPLAINED ? `, and ${agents.length - MAX_EXPLAINED} more` : '';
  const who = hopeless
    ? `No agent of ${group} has room`
    : `The agents of ${group} have room for some of its ${requirements.length} kernels, not for all at once`;
  const kept = reservation?.agents.map((agent) => table.ids[agent]).join(', ');
  const why = kept ? ` What is free on ${kept} is kept for a session that has waited longer.` : '';
  return `${who}: ${lines.join('; ')}${more}.${why}`;
}
