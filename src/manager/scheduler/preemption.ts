/**
 * Who makes room for a session that waits with a higher priority: the rules and orders are upstream's
 * (`sokovan/scheduler/provisioner/selectors/victims`). Nobody is preempted unless that lets the session
 * in, and nobody whose room turns out not to be needed. Pure.
 *
 * Two things differ: the orders compare parts of an agent's capacity, where upstream adds up bytes and
 * cores, and room that is being left anyway counts first.
 */
import type { AgentTable } from './agent-table.ts';
import type { PlannedCandidate } from './planner.ts';
import { canRun, type Requirement } from './selectors.ts';
import type { Demand, SlotSpace } from './slot-space.ts';
import type { PendingSession, PlacedSession } from './snapshot.ts';

/** Sessions of one resource group that victims are looked for in one plan. */
const MAX_SEEKS = 200;

/** Room that will be there for a session, and who leaves for that. */
export interface Claim {
  /** To be preempted; none when those who leave already are enough. */
  readonly victims: readonly PlacedSession[];
  /** Who leaves already the agents that it goes to. */
  readonly leaving: readonly PlacedSession[];
  readonly places: readonly { readonly agent: number; readonly demand: Demand }[];
}

interface Holder {
  readonly session: PlacedSession;
  /** What it holds on each agent of the group. */
  readonly parts: readonly { readonly agent: number; readonly room: Demand }[];
  /** Some agent of it cannot be told to end it now. */
  readonly isOutOfReach: boolean;
}

interface Attempt {
  readonly victims: readonly Holder[];
  readonly places: Claim['places'];
}

interface Collected {
  readonly agent: number;
  readonly victims: readonly Holder[];
}

type Rank = readonly number[];

function compareRanks(a: Rank, b: Rank): number {
  for (let at = 0; at < a.length; at += 1) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

const agentsOf = (places: Claim['places']): ReadonlySet<number> =>
  new Set(places.map(({ agent }) => agent));

const roomOn = ({ parts }: Holder, agent: number): Demand | undefined =>
  parts.find((part) => part.agent === agent)?.room;

export class Preemption {
  readonly #table: AgentTable;
  readonly #now: Date;
  readonly #maxSessions: number | null;
  readonly #holders: readonly Holder[];
  readonly #holdersOn = new Map<number, Holder[]>();
  /** By slot, then by agent: what those who leave will give back. */
  readonly #coming: readonly Float64Array[];
  /** By agent: sessions that will be there, less those on it now. */
  readonly #sessions: Int32Array;
  readonly #claimed = new Set<string>();
  /** Kinds of sessions for which there are not enough victims. There will be only fewer. */
  readonly #hopeless = new Set<string>();
  #seeks = 0;

  constructor(
    table: AgentTable,
    space: SlotSpace,
    placed: readonly PlacedSession[],
    {
      now,
      maxSessionsPerAgent,
    }: { readonly now: Date; readonly maxSessionsPerAgent: number | null },
  ) {
    this.#table = table;
    this.#now = now;
    this.#maxSessions = maxSessionsPerAgent;
    this.#coming = table.free.map(() => new Float64Array(table.size));
    this.#sessions = new Int32Array(table.size);
    const places = new Map(table.ids.map((id, agent) => [id, agent]));
    const sorted = [...placed].sort((a, b) => (a.id < b.id ? -1 : 1));
    this.#holders = sorted.map((session) => {
      const byAgent = [...Map.groupBy(session.kernels, ({ agentId }) => agentId)];
      const parts = byAgent.flatMap(([agentId, kernels]) => {
        const agent = places.get(agentId);
        if (agent === undefined) return [];
        return { agent, room: space.room(kernels.map(({ slots }) => slots)) };
      });
      return { session, parts, isOutOfReach: parts.length < byAgent.length };
    });
    for (const holder of this.#holders) {
      if (holder.session.leaving) this.#move(holder, 1);
      for (const { agent } of holder.parts) {
        const here = this.#holdersOn.get(agent);
        if (here) here.push(holder);
        else this.#holdersOn.set(agent, [holder]);
      }
    }
  }

  /**
   * Room for a session for which there is none now. Changes nothing.
   * @returns null when not even all that may be preempted would be enough.
   */
  seek(candidate: PlannedCandidate): Claim | null {
    const { session, designated, isSystem } = candidate;
    // These serve transfers: they neither make others go, nor go for others.
    if (isSystem || this.#holders.length === 0) return null;
    const kind = designated ? null : this.#kindOf(candidate);
    if (kind !== null && this.#hopeless.has(kind)) return null;
    if (this.#seeks >= MAX_SEEKS) return null;
    this.#seeks += 1;
    const able = this.#holders.filter(
      (holder) => !holder.isOutOfReach && this.#mayPreempt(session, holder.session),
    );
    let found = this.#attempt(candidate, able);
    if (!found) {
      if (kind !== null) this.#hopeless.add(kind);
      return null;
    }
    // The agents were chosen one after the other, so that somebody may be spared: the most important first.
    for (const spared of [...found.victims].reverse()) {
      const others: readonly Holder[] = found.victims.filter((victim) => victim !== spared);
      found = this.#attempt(candidate, others) ?? found;
    }
    const { victims, places } = found;
    return {
      victims: victims.map((victim) => victim.session),
      leaving: this.#leavingFrom(places),
      places,
    };
  }

  /** A place for every requirement, if only those of `able` may be made to leave. Changes nothing. */
  #attempt(candidate: PlannedCandidate, able: readonly Holder[]): Attempt | null {
    const left = new Set(able);
    const victims: Holder[] = [];
    const places: { agent: number; demand: Demand }[] = [];
    for (const requirement of candidate.requirements) {
      const found = this.#place(candidate, requirement, left, places);
      if (!found) break;
      for (const victim of found.victims) {
        this.#move(victim, 1);
        left.delete(victim);
      }
      victims.push(...found.victims);
      const { agent } = found;
      const { demand } = requirement;
      this.#add(agent, demand, -1);
      if (!places.some((place) => place.agent === agent)) this.#count(agent, 1);
      places.push({ agent, demand });
    }
    for (const { agent, demand } of places) this.#add(agent, demand, 1);
    for (const agent of agentsOf(places)) this.#count(agent, -1);
    for (const victim of victims) this.#move(victim, -1);
    return places.length === candidate.requirements.length ? { victims, places } : null;
  }

  /** Keeps the room for the session, now and as it becomes free. */
  commit({ victims, places }: Claim): void {
    const going = new Set(victims.map(({ id }) => id));
    for (const holder of this.#holders) {
      if (!going.has(holder.session.id)) continue;
      this.#claimed.add(holder.session.id);
      this.#move(holder, 1);
    }
    for (const { agent, demand } of places) this.#table.hold(agent, demand);
    for (const agent of agentsOf(places)) this.#count(agent, 1);
  }

  #kindOf({ session, requirements }: PlannedCandidate): string {
    const { userId, projectId, domainName, priority, failedAgents } = session;
    const shapes = requirements.map(({ shape }) => shape);
    return [userId, projectId, domainName, priority, failedAgents, shapes].join('|');
  }

  #mayPreempt(session: PendingSession, victim: PlacedSession): boolean {
    const { preemptible_priority, preemption_min_runtime } = this.#table.rules.preemption;
    if (victim.leaving || !victim.isPreemptible || victim.sessionType === 'system') return false;
    if (victim.priority >= session.priority || victim.priority > preemptible_priority) return false;
    if (this.#claimed.has(victim.id) || !this.#isInScope(session, victim)) return false;
    if (preemption_min_runtime === 0) return true;
    const runtimeMs = this.#now.getTime() - (victim.startedAt ?? this.#now).getTime();
    return runtimeMs >= preemption_min_runtime * 1000;
  }

  #isInScope(session: PendingSession, victim: PlacedSession): boolean {
    switch (this.#table.rules.preemption.victim_scope) {
      case 'user':
        return victim.userId === session.userId;
      case 'project':
        return victim.projectId === session.projectId;
      case 'domain':
        return victim.domainName === session.domainName;
      case 'resource-group':
        return true;
    }
  }

  /** The agent where the fewest have to go for the requirement, by the group's order. */
  #place(
    { designated, avoided, cleared }: PlannedCandidate,
    requirement: Requirement,
    able: ReadonlySet<Holder>,
    places: Claim['places'],
  ): Collected | null {
    const table = this.#table;
    let best: Collected | null = null;
    let bestRank: Rank = [];
    for (const agent of designated ?? table.ids.keys()) {
      if (!canRun(table, agent, requirement)) continue;
      const isOwn = places.some((place) => place.agent === agent);
      const victims = this.#collect(agent, requirement.demand, able, isOwn);
      if (!victims) continue;
      const rank = [
        avoided.has(agent) ? 1 : 0,
        ...this.#rankOf(agent, victims),
        cleared[places.length] === agent ? 0 : 1,
      ];
      if (best && compareRanks(rank, bestRank) >= 0) continue;
      [best, bestRank] = [{ agent, victims }, rank];
    }
    return best;
  }

  /** Those who have to go before the agent can take the demand; null: it could not even then. */
  #collect(
    agent: number,
    demand: Demand,
    able: ReadonlySet<Holder>,
    isOwn: boolean,
  ): Holder[] | null {
    const lacking = this.#shortfall(agent, demand);
    let crowd = this.#crowdOn(agent) + (isOwn ? 0 : 1);
    if (lacking.size === 0 && crowd <= 0) return [];
    const ranked = (this.#holdersOn.get(agent) ?? [])
      .filter((holder) => able.has(holder))
      .map((holder) => ({ holder, rank: this.#victimRank(holder, agent, lacking) }))
      .sort((a, b) => compareRanks(a.rank, b.rank));
    const victims: Holder[] = [];
    for (const { holder } of ranked) {
      if (lacking.size === 0 && crowd <= 0) break;
      const { slots, amounts } = roomOn(holder, agent) ?? { slots: [], amounts: [] };
      if (crowd <= 0 && !slots.some((slot) => lacking.has(slot))) continue;
      victims.push(holder);
      crowd -= 1;
      slots.forEach((slot, at) => {
        const left = (lacking.get(slot) ?? 0) - (amounts[at] ?? 0);
        if (left > 0) lacking.set(slot, left);
        else lacking.delete(slot);
      });
    }
    return lacking.size === 0 && crowd <= 0 ? victims : null;
  }

  /** Who goes first: the lowest priority, then by the group's order, then by id. */
  #victimRank(holder: Holder, agent: number, lacking: ReadonlyMap<number, number>): Rank {
    const { priority, startedAt } = holder.session;
    const started = startedAt?.getTime() ?? null;
    switch (this.#table.rules.preemption.order) {
      case 'oldest':
        return [priority, started ?? 0];
      case 'newest':
        return [priority, started === null ? Number.NEGATIVE_INFINITY : -started];
      case 'fewest-sessions':
        return [priority, -this.#contribution(holder, agent, lacking), started ?? 0];
      case 'smallest-resources':
        return [priority, this.#share(holder, agent), started ?? 0];
    }
  }

  #rankOf(agent: number, victims: readonly Holder[]): Rank {
    const highest = Math.max(-1, ...victims.map(({ session }) => session.priority));
    const total = victims.reduce((sum, victim) => sum + this.#share(victim, agent), 0);
    return this.#table.rules.preemption.order === 'smallest-resources'
      ? [highest, total, victims.length]
      : [highest, victims.length, total];
  }

  /** What the session holds of the agent, each slot as a part of the agent's capacity. */
  #share(holder: Holder, agent: number): number {
    const { slots, amounts } = roomOn(holder, agent) ?? { slots: [], amounts: [] };
    return slots.reduce((sum, slot, at) => {
      const capacity = this.#table.capacity[slot]?.[agent] ?? 0;
      return capacity > 0 ? sum + (amounts[at] ?? 0) / capacity : sum;
    }, 0);
  }

  /** How much of what is lacking it gives back, each slot as a part of that. */
  #contribution(holder: Holder, agent: number, lacking: ReadonlyMap<number, number>): number {
    const { slots, amounts } = roomOn(holder, agent) ?? { slots: [], amounts: [] };
    return slots.reduce((sum, slot, at) => {
      const missing = lacking.get(slot);
      return missing === undefined ? sum : sum + Math.min(amounts[at] ?? 0, missing) / missing;
    }, 0);
  }

  /** What will be free on the agent once all have left that do; less than nothing where more is kept. */
  #roomLater(slot: number, agent: number): number {
    const table = this.#table;
    const coming = this.#coming[slot]?.[agent] ?? 0;
    return table.actualFreeOf(slot, agent) - table.heldOf(slot, agent) + coming;
  }

  #shortfall(agent: number, { slots, amounts }: Demand): Map<number, number> {
    const lacking = new Map<number, number>();
    slots.forEach((slot, at) => {
      const missing = (amounts[at] ?? 0) - this.#roomLater(slot, agent);
      if (missing > 0) lacking.set(slot, missing);
    });
    return lacking;
  }

  /** How many sessions more than it may the agent will have; negative: it will have room for some. */
  #crowdOn(agent: number): number {
    if (this.#maxSessions === null) return Number.NEGATIVE_INFINITY;
    const later = (this.#table.sessions[agent] ?? 0) + (this.#sessions[agent] ?? 0);
    return later - this.#maxSessions;
  }

  #leavingFrom(places: Claim['places']): PlacedSession[] {
    const agents = agentsOf(places);
    return this.#holders
      .filter(({ session }) => session.leaving || this.#claimed.has(session.id))
      .filter(({ parts }) => parts.some(({ agent }) => agents.has(agent)))
      .map(({ session }) => session);
  }

  /** The holder leaves all its agents (1), or stays after all (-1). */
  #move({ parts }: Holder, sign: 1 | -1): void {
    for (const { agent, room } of parts) {
      this.#add(agent, room, sign);
      this.#count(agent, -sign);
    }
  }

  #add(agent: number, { slots, amounts }: Demand, sign: 1 | -1): void {
    slots.forEach((slot, at) => {
      const column = this.#coming[slot];
      if (column) column[agent] = (column[agent] ?? 0) + sign * (amounts[at] ?? 0);
    });
  }

  #count(agent: number, by: number): void {
    this.#sessions[agent] = (this.#sessions[agent] ?? 0) + by;
  }
}
