/**
 * Keeping agents free for a session that waits for more room than there is, so that smaller ones
 * behind it cannot pass it for ever: EASY backfilling (Lifka, JSSPP 1995), but only after it has
 * been passed for a while, as most sessions have no known end that a reservation could count on.
 */
import type { AgentTable } from './agent-table.ts';
import { canRun, type Requirement } from './selectors.ts';
import type { Demand } from './slot-space.ts';
import type { PendingSession } from './snapshot.ts';

/** Room that an agent will have from a moment on. */
export interface Release {
  readonly atMs: number;
  readonly demand: Demand;
}

interface Waiting {
  readonly table: AgentTable;
  readonly requirements: readonly Requirement[];
  readonly designated: readonly number[] | null;
}

/** After all times that are known. Milliseconds. */
const UNKNOWN_MS = Number.MAX_SAFE_INTEGER;

/** How much of the demand the agent lacks, each slot as a part of what is asked. */
export function deficit(table: AgentTable, agent: number, { slots, amounts }: Demand): number {
  let lacking = 0;
  slots.forEach((slot, at) => {
    const amount = amounts[at] ?? 0;
    lacking += Math.max(0, amount - table.freeOf(slot, agent)) / amount;
  });
  return lacking;
}

/** Whether the agent could take the demand beside `planned` if nothing else ran on it. */
function couldEver(
  table: AgentTable,
  agent: number,
  { slots, amounts }: Demand,
  planned: ReadonlyMap<number, number> | undefined,
): boolean {
  return slots.every((slot, at) => {
    const capacity = table.capacity[slot]?.[agent] ?? 0;
    return (planned?.get(slot) ?? 0) + (amounts[at] ?? 0) <= capacity;
  });
}

/** When the agent will have `wanted` by the releases that are known; null: unknown. Milliseconds. */
function readyAtMs(
  table: AgentTable,
  agent: number,
  wanted: ReadonlyMap<number, number>,
  releases: readonly Release[],
): number | null {
  const lacking = new Map<number, number>();
  for (const [slot, amount] of wanted) {
    const missing = amount - table.actualFreeOf(slot, agent);
    if (missing > 0) lacking.set(slot, missing);
  }
  if (lacking.size === 0) return 0;
  for (const { atMs, demand } of [...releases].sort((a, b) => a.atMs - b.atMs)) {
    demand.slots.forEach((slot, at) => {
      const missing = lacking.get(slot);
      if (missing === undefined) return;
      const left = missing - (demand.amounts[at] ?? 0);
      if (left > 0) lacking.set(slot, left);
      else lacking.delete(slot);
    });
    if (lacking.size === 0) return atMs;
  }
  return null;
}

/** All of `planned` and the demand, by slot. */
function withDemand(
  planned: ReadonlyMap<number, number> | undefined,
  { slots, amounts }: Demand,
): Map<number, number> {
  const sums = new Map(planned);
  slots.forEach((slot, at) => {
    sums.set(slot, (sums.get(slot) ?? 0) + (amounts[at] ?? 0));
  });
  return sums;
}

/**
 * Keeps free, for each requirement, the agent that is ready first by the ends that are known; where
 * none are, the one that lacks least. Nobody who ends later may use an agent that is kept free, so it is
 * ready no later in the next plan, and is left only for one that is ready even earlier: the session
 * starts no later than the first plan says.
 * @returns null when some requirement is too large for every agent; nothing is kept then.
 */
export function reserve({
  candidate: { table, requirements, designated },
  releases,
}: {
  readonly candidate: Waiting;
  readonly releases: ReadonlyMap<string, readonly Release[]>;
}): { readonly agents: readonly number[]; readonly startsAt: Date | null } | null {
  const planned = new Map<number, Map<number, number>>();
  const chosen: { agent: number; demand: Demand }[] = [];
  const readyAt = (agent: number, wanted: ReadonlyMap<number, number>) =>
    readyAtMs(table, agent, wanted, releases.get(table.ids[agent] ?? '') ?? []);
  for (const requirement of requirements) {
    const { demand } = requirement;
    let best = -1;
    let [first, least] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    for (let agent = 0; agent < table.size; agent += 1) {
      if (!canRun(table, agent, requirement)) continue;
      if (designated && !designated.includes(agent)) continue;
      if (!couldEver(table, agent, demand, planned.get(agent))) continue;
      const lacking = deficit(table, agent, demand);
      const ready = readyAt(agent, withDemand(planned.get(agent), demand)) ?? UNKNOWN_MS;
      if (ready > first || (ready === first && lacking >= least)) continue;
      [best, first, least] = [agent, ready, lacking];
    }
    if (best < 0) return null;
    planned.set(best, withDemand(planned.get(best), demand));
    chosen.push({ agent: best, demand });
  }
  const times = [...planned].map(([agent, wanted]) => readyAt(agent, wanted));
  for (const { agent, demand } of chosen) table.hold(agent, demand);
  const known = times.flatMap((time) => time ?? []);
  const startsAt = known.length === times.length ? new Date(Math.max(...known)) : null;
  return { agents: [...planned.keys()], startsAt };
}

/** Whether the session is surely over before the agents are needed. */
export function shortEnough(
  { durationSec }: PendingSession,
  neededAt: Date | null,
  now: Date,
): boolean {
  if (durationSec === null || neededAt === null) return false;
  return now.getTime() + durationSec * 1000 <= neededAt.getTime();
}
