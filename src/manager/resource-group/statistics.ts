/** What resource groups have and what is held there, with one query per request and question. */
import DataLoader from 'dataloader';
import type { Sql } from 'postgres';
import { addSlots, formatSlots, parseSlots, type SlotMap } from '../../common/slots.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import * as store from './statistics-store.ts';

/** Where administrators set the smallest share of a GPU. */
const QUANTUM_KEY = 'config/plugins/accelerator/cuda/quantum_size';

interface Loaders {
  readonly agents: DataLoader<string, store.AgentSums[]>;
  readonly largest: DataLoader<string, SlotMap>;
  readonly own: DataLoader<string, SlotMap>;
}
const loadersByRequest = new WeakMap<GraphqlContext, Loaders>();

const slotsOf = (rows: readonly store.GroupSlots[], name: string): SlotMap =>
  rows.find((row) => row.name === name)?.slots ?? {};

function loadersOf(context: GraphqlContext): Loaders {
  const present = loadersByRequest.get(context);
  if (present) return present;
  const { ctx, caller } = context;
  const loaders: Loaders = {
    agents: new DataLoader(async (names) => {
      const rows = await store.sumAgents(ctx.sql, names);
      return names.map((name) => rows.filter((row) => row.name === name));
    }),
    largest: new DataLoader(async (names) => {
      const rows = await store.largestAgents(ctx.sql, names);
      return names.map((name) => slotsOf(rows, name));
    }),
    own: new DataLoader(async (names) => {
      const rows = await store.sumOwnSessions(ctx.sql, caller.userId, names);
      return names.map((name) => slotsOf(rows, name));
    }),
  };
  loadersByRequest.set(context, loaders);
  return loaders;
}

/**
 * How many agents the group has and what they have together.
 * @param status of the agents that count; null means any.
 */
export async function agentSumsOf(
  context: GraphqlContext,
  name: string,
  status: string | null,
): Promise<Pick<store.AgentSums, 'agents' | 'available' | 'occupied'>> {
  const rows = await loadersOf(context).agents.load(name);
  const meant = rows.filter((row) => status === null || row.status === status.toUpperCase());
  const total = (pick: (row: store.AgentSums) => SlotMap): SlotMap =>
    formatSlots(meant.map((row) => parseSlots(pick(row))).reduce(addSlots, new Map()));
  return {
    agents: meant.reduce((count, row) => count + row.agents, 0),
    available: total((row) => row.available),
    occupied: total((row) => row.occupied),
  };
}

/** The slots that the living agents of groups have, by group. */
export async function livingSlots(
  sql: Sql,
  names: readonly string[],
): Promise<Map<string, string[]>> {
  const slots = new Map(names.map((name) => [name, new Set<string>()]));
  for (const { name, status, available } of await store.sumAgents(sql, names)) {
    if (status === 'ALIVE') for (const slot of Object.keys(available)) slots.get(name)?.add(slot);
  }
  return new Map([...slots].map(([name, own]) => [name, [...own]]));
}

/** The most of each slot that any one agent could give a session. */
export const largestAgentOf = (context: GraphqlContext, name: string): Promise<SlotMap> =>
  loadersOf(context).largest.load(name);

/** What the caller's sessions hold in the group. */
export const ownSlotsOf = (context: GraphqlContext, name: string): Promise<SlotMap> =>
  loadersOf(context).own.load(name);

/** The smallest share of a GPU that can be asked for; null when none is set. */
export async function acceleratorQuantum({ ctx }: GraphqlContext): Promise<number | null> {
  const size = Number.parseFloat((await ctx.config.get(QUANTUM_KEY)) ?? '');
  return Number.isFinite(size) ? size : null;
}
