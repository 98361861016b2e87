/**
 * Choosing one agent among those that have room. Pure.
 *
 * The order of filters and the keys are upstream's (`sokovan/scheduler/provisioner/selectors`):
 * architecture, room, sessions per agent, designated agents, agents of failed attempts, strategy.
 */
import type { AgentTable } from './agent-table.ts';
import type { Demand } from './slot-space.ts';

/** Kernels that must share an agent. */
export interface Requirement {
  readonly kernelIds: readonly string[];
  /** All of these at once, so more than one cannot be met. */
  readonly architectures: readonly string[];
  /** The architecture, as the table numbers it; -1 when no agent can be right. */
  readonly architecture: number;
  /** Agents that have the images, where these cannot be pulled; null: any agent will do. */
  readonly holders: ReadonlySet<number> | null;
  /** Slots in the order in which they weigh. */
  readonly demand: Demand;
  /** The same for requirements that any agent meets alike. */
  readonly shape: string;
}

export interface Wish {
  readonly requirement: Requirement;
  /** In order of preference; null: any. */
  readonly designated: readonly number[] | null;
  /** Used only when there is no other. */
  readonly avoided: ReadonlySet<number>;
  /** Most sessions with kernels on one agent; null: no limit. */
  readonly maxSessions: number | null;
  /** Agents on which the session has kernels already. */
  readonly own: ReadonlySet<number>;
}

const NOBODY: ReadonlySet<number> = new Set();

/** Whether the agent is of the right architecture and has the images, or can get them. */
export function canRun(
  table: AgentTable,
  agent: number,
  { architecture, holders }: Requirement,
): boolean {
  return table.architectureOf[agent] === architecture && (holders?.has(agent) ?? true);
}

function accepts(table: AgentTable, agent: number, wish: Wish, avoided: ReadonlySet<number>) {
  const { requirement, maxSessions, own } = wish;
  if (!canRun(table, agent, requirement)) return false;
  if (maxSessions !== null && (table.sessions[agent] ?? 0) >= maxSessions && !own.has(agent)) {
    return false;
  }
  return !avoided.has(agent) && table.fits(agent, requirement.demand);
}

/**
 * Agents with kinds of slots that are not wanted, such as idle GPUs, are spared. Then `dispersed` and
 * `legacy`, which are the same, take the one with most to spare of the first slot that differs,
 * `concentrated` the one with least. Ties: the lowest id.
 */
function selectByRoom(table: AgentTable, wish: Wish, avoided: ReadonlySet<number>): number {
  const { freeKinds, size } = table;
  const { requirement } = wish;
  const columns = requirement.demand.slots.flatMap((slot) => table.free[slot] ?? []);
  const sign = table.rules.strategy === 'concentrated' ? -1 : 1;
  let best = -1;
  let bestKinds = 0;
  for (let agent = 0; agent < size; agent += 1) {
    // Every slot that is wanted is free on agents that fit, so the kinds differ by the others.
    const kinds = freeKinds[agent] ?? 0;
    if (best >= 0) {
      if (kinds > bestKinds) continue;
      if (kinds === bestKinds && sign * compare(columns, agent, best) <= 0) continue;
    }
    if (!accepts(table, agent, wish, avoided)) continue;
    best = agent;
    bestKinds = kinds;
  }
  return best;
}

/** Positive when `a` has more of the first column that differs. */
function compare(columns: readonly Float64Array[], a: number, b: number): number {
  for (let at = 0; at < columns.length; at += 1) {
    const column = columns[at];
    const difference = column ? (column[a] ?? 0) - (column[b] ?? 0) : 0;
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The next agent by id after the one that was used last, round and round. */
function selectInTurn(table: AgentTable, wish: Wish, avoided: ReadonlySet<number>): number {
  for (let step = 0; step < table.size; step += 1) {
    const agent = (table.cursor + step) % table.size;
    if (accepts(table, agent, wish, avoided)) return agent;
  }
  return -1;
}

/** @returns the agent to use, by its place in the table; -1 when none can take the kernels. */
export function selectAgent(table: AgentTable, wish: Wish): number {
  const select = (avoided: ReadonlySet<number>): number => {
    if (wish.designated) {
      return wish.designated.find((agent) => accepts(table, agent, wish, avoided)) ?? -1;
    }
    return table.rules.strategy === 'roundrobin'
      ? selectInTurn(table, wish, avoided)
      : selectByRoom(table, wish, avoided);
  };
  const fresh = select(wish.avoided);
  return fresh >= 0 || wish.avoided.size === 0 ? fresh : select(NOBODY);
}

/** Orders slots as they weigh when agents are compared: prioritised ones by name or prefix, then by name. */
export function weighingRanks(names: readonly string[], priority: readonly string[]): number[] {
  const rank = (slot: string) => {
    const index = priority.findIndex((name) => slot === name || slot.startsWith(`${name}.`));
    return index < 0 ? priority.length : index;
  };
  const order = [...names].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : a > b ? 1 : 0));
  const place = new Map(order.map((name, index) => [name, index]));
  return names.map((name) => place.get(name) ?? 0);
}
