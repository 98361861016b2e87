/**
 * A plan as it grows: what is left of agents and quotas after each session. Pure, and in memory only.
 */
import { type Accounts, bookPlaced, bookWaiting } from './accounts.ts';
import type { AgentTable } from './agent-table.ts';
import { describeObstacles, NO_ROOM } from './obstacles.ts';
import type { Claim, Preemption } from './preemption.ts';
import { reserve, shortEnough } from './reservation.ts';
import { type Requirement, selectAgent } from './selectors.ts';
import type { Candidate } from './sequencers.ts';
import type { SlotSpace } from './slot-space.ts';
import { validators } from './validators.ts';

/** One requirement of a session on one agent, by its place in the table. */
export interface Chosen {
  readonly requirement: Requirement;
  readonly agent: number;
}

export interface Failure {
  readonly name: string;
  readonly msg: string;
}

export type Verdict =
  | { readonly chosen: readonly Chosen[]; readonly passed: readonly string[] }
  | { readonly failed: readonly Failure[]; readonly passed: readonly string[] };

/** A candidate with what its kernels need of agents. */
export interface PlannedCandidate extends Candidate {
  readonly requirements: readonly Requirement[];
  /** Places in the table, in order of preference; null: any agent. */
  readonly designated: readonly number[] | null;
  /** Agents that others were made to leave for it, by requirement; -1: not there any more. */
  readonly cleared: readonly number[];
  readonly avoided: ReadonlySet<number>;
}

export const ALL_PASSED: readonly string[] = validators.map(([name]) => name);
const NOBODY: ReadonlySet<number> = new Set();
const PASSED_AND_PLACED: readonly string[] = [...ALL_PASSED, NO_ROOM];

/** For whom agents of a group are kept free, and from when they will be, if that is known. */
export interface Reservation {
  readonly sessionId: string;
  readonly agents: readonly number[];
  readonly startsAt: Date | null;
}

interface PlannerInput {
  readonly now: Date;
  readonly space: SlotSpace;
  readonly accounts: Accounts;
  readonly maxSessionsPerAgent: number | null;
  /** When agents will have room again, as far as it is known; by agent id. */
  readonly releases: Parameters<typeof reserve>[0]['releases'];
  /** Of each group, who might make room; none where nobody may. */
  readonly preemptions: ReadonlyMap<AgentTable, Preemption>;
}

/** Whether nobody has to go, or to be waited for. */
const isFree = ({ victims, leaving }: Claim): boolean =>
  victims.length === 0 && leaving.length === 0;

export class Planner {
  readonly #input: PlannerInput;
  /** By table: shapes of requirements that no agent has room for. Room only shrinks. */
  readonly #hopeless = new Map<AgentTable, Set<string>>();
  /** Words for requirements that failed already; made once, as thousands may fail alike. */
  readonly #words = new Map<string, string>();
  readonly #reservations = new Map<AgentTable, Reservation>();
  /** By session: the room that others make for it. */
  readonly #claims = new Map<string, Claim>();
  readonly #claimedTables = new Set<AgentTable>();

  constructor(input: PlannerInput) {
    this.#input = input;
  }

  reservationOn(table: AgentTable): Reservation | null {
    return this.#reservations.get(table) ?? null;
  }

  /** The room that others make for the session, once it has been decided about. */
  claimOf(sessionId: string): Claim | null {
    return this.#claims.get(sessionId) ?? null;
  }

  /** What others would make of room for the session if they had to. Changes nothing. */
  couldClaim(candidate: PlannedCandidate): Claim | null {
    return this.#input.preemptions.get(candidate.table)?.seek(candidate) ?? null;
  }

  /** What would become of the session now. Changes nothing. */
  judge(candidate: PlannedCandidate): Verdict {
    let failed: Failure[] | undefined;
    for (const [name, check] of validators) {
      const msg = check(candidate, this.#input);
      if (msg === null) continue;
      failed ??= [];
      failed.push({ name, msg });
    }
    if (failed) {
      const failing = new Set(failed.map(({ name }) => name));
      return { failed, passed: ALL_PASSED.filter((name) => !failing.has(name)) };
    }
    const chosen = this.#choose(candidate);
    if (chosen) return { chosen, passed: PASSED_AND_PLACED };
    const msg = this.#describe(candidate);
    return { failed: [{ name: NO_ROOM, msg }], passed: ALL_PASSED };
  }

  /** Whether the session would start now. As `judge`, without the words. */
  wouldStart(candidate: PlannedCandidate): boolean {
    if (validators.some(([, check]) => check(candidate, this.#input) !== null)) return false;
    return this.#choose(candidate) !== null;
  }

  #describe(candidate: PlannedCandidate): string {
    const { session, designated, requirements } = candidate;
    const reservation = this.reservationOn(candidate.table);
    const hopeless = requirements.find((requirement) => this.#isHopeless(candidate, requirement));
    const describe = () => describeObstacles(candidate, hopeless ?? null, this.#input, reservation);
    if (!hopeless || designated) return describe();
    const key = `${session.scalingGroup}/${hopeless.shape}/${reservation?.sessionId}`;
    const words = this.#words.get(key) ?? describe();
    this.#words.set(key, words);
    return words;
  }

  /** Decides about the session and keeps the books. */
  decide(candidate: PlannedCandidate): Verdict {
    const verdict = this.judge(candidate);
    if ('chosen' in verdict) {
      this.#place(candidate, verdict.chosen);
      return verdict;
    }
    if (verdict.failed.length === 1 && verdict.failed[0]?.name === NO_ROOM) {
      if (!this.#claimFor(candidate)) this.#reserveFor(candidate);
    }
    bookWaiting(candidate.accounts, candidate.total);
    return verdict;
  }

  #place(candidate: PlannedCandidate, chosen: readonly Chosen[]): void {
    const { table } = candidate;
    const counted = new Set<number>();
    for (const { requirement, agent } of chosen) {
      table.take(agent, requirement.demand);
      if (!counted.has(agent)) table.sessions[agent] = (table.sessions[agent] ?? 0) + 1;
      counted.add(agent);
      if (table.rules.strategy === 'roundrobin') table.cursor = (agent + 1) % table.size;
    }
    bookPlaced(candidate.accounts, candidate.isSystem, candidate.total);
  }

  /** Agents kept free are for whoever they are kept for, and for those who are gone before. */
  #choose(candidate: PlannedCandidate): Chosen[] | null {
    const { table, session, requirements } = candidate;
    const hopeless = this.#hopelessOn(table);
    const isHopeless = requirements.some(({ shape }) => hopeless.has(shape));
    const chosen = isHopeless
      ? null
      : (this.#chooseCleared(candidate) ?? this.#chooseAgents(candidate));
    if (chosen) return chosen;
    if (session.clearedAgents.length > 0) {
      // Several kernels may have to go exactly where others made room for each.
      const claim = this.couldClaim(candidate);
      if (claim && isFree(claim)) {
        return requirements.flatMap((requirement, at) => {
          const place = claim.places[at];
          return place ? { requirement, agent: place.agent } : [];
        });
      }
    }
    const reservation = this.#reservations.get(table);
    if (!reservation) return null;
    // Who makes room for others has no known end, so nobody is surely gone before.
    if (this.#claimedTables.has(table)) return null;
    if (!shortEnough(session, reservation.startsAt, this.#input.now)) return null;
    return table.withoutHolds(() => this.#chooseAgents(candidate));
  }

  /** The agents that others left for it, before the group's strategy. */
  #chooseCleared(candidate: PlannedCandidate): Chosen[] | null {
    const { cleared, designated } = candidate;
    const mine = [...new Set(cleared)].filter(
      (agent) => agent >= 0 && (designated?.includes(agent) ?? true),
    );
    return mine.length > 0 ? this.#chooseAgents({ ...candidate, designated: mine }) : null;
  }

  #hopelessOn(table: AgentTable): Set<string> {
    const known = this.#hopeless.get(table) ?? new Set<string>();
    this.#hopeless.set(table, known);
    return known;
  }

  /** Whether no agent has room for the requirement, even without the others of the session. */
  #isHopeless({ table, designated }: PlannedCandidate, requirement: Requirement): boolean {
    const hopeless = this.#hopelessOn(table);
    if (hopeless.has(requirement.shape)) return true;
    const maxSessions = this.#input.maxSessionsPerAgent;
    const wish = { requirement, designated, avoided: NOBODY, maxSessions, own: NOBODY };
    if (selectAgent(table, wish) >= 0) return false;
    if (!designated) hopeless.add(requirement.shape);
    return true;
  }

  /** An agent for every requirement, or null when one is without: all or nothing. */
  #chooseAgents({ table, requirements, designated, avoided }: PlannedCandidate): Chosen[] | null {
    const { cursor } = table;
    const chosen: Chosen[] = [];
    const own = new Set<number>();
    const maxSessions = this.#input.maxSessionsPerAgent;
    for (const requirement of requirements) {
      const agent = selectAgent(table, { requirement, designated, avoided, maxSessions, own });
      if (agent < 0) break;
      chosen.push({ requirement, agent });
      if (requirements.length === 1) continue;
      own.add(agent);
      table.take(agent, requirement.demand);
      if (table.rules.strategy === 'roundrobin') table.cursor = (agent + 1) % table.size;
    }
    if (requirements.length > 1) {
      for (const { requirement, agent } of chosen) table.giveBack(agent, requirement.demand);
    }
    table.cursor = cursor;
    return chosen.length === requirements.length ? chosen : null;
  }

  #claimFor(candidate: PlannedCandidate): boolean {
    const { table, session } = candidate;
    const claim = table.rules.preemption.enabled ? this.couldClaim(candidate) : null;
    if (!claim || isFree(claim)) return false;
    this.#input.preemptions.get(table)?.commit(claim);
    this.#claims.set(session.id, claim);
    this.#claimedTables.add(table);
    return true;
  }

  /** Only the first of a group that has waited long enough: more would leave agents idle. */
  #reserveFor(candidate: PlannedCandidate): void {
    const { table, session } = candidate;
    if (this.#reservations.has(table)) return;
    const { now, releases } = this.#input;
    const since = Math.max(session.createdAt.getTime(), session.startsAt?.getTime() ?? 0);
    if (now.getTime() - since < table.rules.reserveAfterMs) return;
    const made = reserve({ candidate, releases });
    if (made) this.#reservations.set(table, { sessionId: session.id, ...made });
  }
}
