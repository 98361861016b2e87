/**
 * A plan as it grows: what is left of agents and quotas after each session. Pure, and in memory only.
 */
import { type Accounts, bookPlaced, bookWaiting } from './accounts.ts';
import type { AgentTable } from './agent-table.ts';
import { describeObstacles, NO_ROOM } from './obstacles.ts';
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

/** Where the kernels go, or the first requirement that has no agent. */
type Choice = { readonly chosen: readonly Chosen[] } | { readonly failing: Requirement };

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
  readonly avoided: ReadonlySet<number>;
}

export const ALL_PASSED: readonly string[] = validators.map(([name]) => name);
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
}

export class Planner {
  readonly #input: PlannerInput;
  /** By table: shapes of requirements that no agent has room for. Room only shrinks. */
  readonly #hopeless = new Map<AgentTable, Set<string>>();
  /** Words for requirements that failed already; made once, as thousands may fail alike. */
  readonly #words = new Map<string, string>();
  readonly #reservations = new Map<AgentTable, Reservation>();

  constructor(input: PlannerInput) {
    this.#input = input;
  }

  reservationOn(table: AgentTable): Reservation | null {
    return this.#reservations.get(table) ?? null;
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
    const choice = this.#choose(candidate);
    if ('chosen' in choice) return { chosen: choice.chosen, passed: PASSED_AND_PLACED };
    const msg = this.#describe(candidate, choice.failing);
    return { failed: [{ name: NO_ROOM, msg }], passed: ALL_PASSED };
  }

  #describe(candidate: PlannedCandidate, failing: Requirement): string {
    const { session, designated } = candidate;
    const reservation = this.reservationOn(candidate.table);
    const ofAlone = failing === candidate.requirements[0];
    const key = `${session.scalingGroup}/${failing.shape}/${reservation?.sessionId}`;
    const known = ofAlone && !designated ? this.#words.get(key) : undefined;
    if (known !== undefined) return known;
    const words = describeObstacles(candidate, failing, this.#input, reservation);
    if (ofAlone && !designated) this.#words.set(key, words);
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
      this.#reserveFor(candidate);
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
  #choose(candidate: PlannedCandidate): Choice {
    const { table, session, requirements } = candidate;
    const hopeless = this.#hopeless.get(table);
    const failing = hopeless && requirements.find(({ shape }) => hopeless.has(shape));
    const choice = failing ? { failing } : this.#chooseAgents(candidate);
    const reservation = this.#reservations.get(table);
    if ('chosen' in choice) return choice;
    if (reservation && shortEnough(session, reservation.startsAt, this.#input.now)) {
      return table.withoutHolds(() => this.#chooseAgents(candidate));
    }
    const isFirst = choice.failing === requirements[0];
    if (!isFirst || candidate.designated) return choice;
    if (hopeless) hopeless.add(choice.failing.shape);
    else this.#hopeless.set(table, new Set([choice.failing.shape]));
    return choice;
  }

  /** An agent for every requirement, or one that is without: all or nothing. */
  #chooseAgents({ table, requirements, designated, avoided }: PlannedCandidate): Choice {
    const { cursor } = table;
    const chosen: Chosen[] = [];
    const own = new Set<number>();
    const maxSessions = this.#input.maxSessionsPerAgent;
    let failing: Requirement | undefined;
    for (const requirement of requirements) {
      const agent = selectAgent(table, { requirement, designated, avoided, maxSessions, own });
      if (agent < 0) {
        failing = requirement;
        break;
      }
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
    return failing ? { failing } : { chosen };
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
