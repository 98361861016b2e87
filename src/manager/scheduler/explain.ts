/**
 * Why a session waits, and what would start it: the rules it fails, the agent that comes closest, its
 * place in the queue, when it may start, and the smallest change that would start it now. Pure.
 */
import type { Slots } from '../../common/slots.ts';
import { NO_ROOM, type Obstacles, obstaclesOn } from './obstacles.ts';
import { type Plan, Planning, planWith } from './plan.ts';
import type { Failure, PlannedCandidate, Verdict } from './planner.ts';
import { deficit } from './reservation.ts';
import { canRun } from './selectors.ts';
import { estimateStarts } from './simulate.ts';
import type { PendingSession, Snapshot } from './snapshot.ts';
import { type Suggestion, suggest } from './suggestion.ts';

/** The agent that comes closest to taking some kernels that no agent has room for. */
export interface ClosestAgent extends Obstacles {
  readonly kernelIds: readonly string[];
  readonly agentId: string;
}

/**
 * Sessions that leave for another. `waiting`: they do already; `next`: the next pass of the scheduler
 * makes them; `disabled`: they could be made to if the resource group let them.
 */
export interface PreemptionOutlook {
  readonly state: 'waiting' | 'next' | 'disabled';
  readonly sessions: number;
}

export interface Explanation {
  readonly sessionId: string;
  /** Where its kernels go in the next pass; empty when it goes on waiting. */
  readonly agents: readonly string[];
  /** Rules that it fails; none when it starts in the next pass. */
  readonly failed: readonly Failure[];
  readonly passed: readonly string[];
  /** From 1, among the waiting sessions of its resource group. */
  readonly position: number;
  readonly queueLength: number;
  readonly closest: readonly ClosestAgent[];
  /** Whether agents are kept free for another session, which has waited longer. */
  readonly isBehindReservation: boolean;
  /** Whether agents are kept free for this session. */
  readonly hasReservation: boolean;
  /** Who makes room for it, or could; null: nobody, or it needs none. */
  readonly preemption: PreemptionOutlook | null;
  /** By the known ends of others; null: cannot be known. */
  readonly estimatedStart: Date | null;
  /** null: no change to the request alone would help, or none is needed. */
  readonly suggestion: Suggestion | null;
}

/** For each requirement without an agent, the agent that lacks least; the right architecture first. */
function closestAgents(planning: Planning, candidate: PlannedCandidate): ClosestAgent[] {
  const { table, requirements, designated } = candidate;
  const agents = designated ?? table.ids.map((_, agent) => agent);
  return requirements.flatMap((requirement): ClosestAgent[] => {
    let best = -1;
    let least = Number.POSITIVE_INFINITY;
    for (const agent of agents) {
      const wrong = canRun(table, agent, requirement) ? 0 : 1_000;
      const lacking = wrong + deficit(table, agent, requirement.demand);
      if (lacking < least) [best, least] = [agent, lacking];
    }
    if (best < 0) return [];
    const { kernelIds } = requirement;
    const obstacles = obstaclesOn(table, best, requirement, planning.limits);
    const fits =
      obstacles.architecture === null &&
      !obstacles.lacksImage &&
      obstacles.shortages.length === 0 &&
      !obstacles.isFull;
    return fits ? [] : [{ kernelIds, agentId: table.ids[best] ?? '', ...obstacles }];
  });
}

type Turn = Omit<Explanation, 'queueLength' | 'estimatedStart' | 'agents' | 'failed' | 'passed'>;

/** In the session's turn, before anything is kept for it. */
function preemptionOutlook(
  { planner }: Planning,
  candidate: PlannedCandidate,
): PreemptionOutlook | null {
  const claim = planner.couldClaim(candidate);
  if (!claim) return null;
  const sessions = claim.victims.length + claim.leaving.length;
  if (sessions === 0) return null;
  if (!candidate.table.rules.preemption.enabled) {
    return claim.victims.length > 0 ? { state: 'disabled', sessions } : null;
  }
  return { state: claim.victims.length > 0 ? 'next' : 'waiting', sessions };
}

/** What is true only in the session's turn, before those behind it are considered. */
function explainTurn(
  planning: Planning,
  candidate: PlannedCandidate,
  verdict: Verdict,
  position: number,
  minimum: Slots,
): Turn {
  const { session, table } = candidate;
  const failed = 'failed' in verdict ? verdict.failed.map(({ name }) => name) : [];
  const reservation = planning.planner.reservationOn(table);
  return {
    sessionId: session.id,
    position,
    closest: failed.includes(NO_ROOM) ? closestAgents(planning, candidate) : [],
    isBehindReservation: failed.includes(NO_ROOM) && reservation !== null,
    hasReservation: false,
    preemption:
      failed.length === 1 && failed[0] === NO_ROOM ? preemptionOutlook(planning, candidate) : null,
    suggestion: failed.length > 0 ? suggest(planning, session, failed, minimum) : null,
  };
}

/**
 * Explains the given sessions of the snapshot.
 * @param minimums by session id: what a kernel needs of each slot at least.
 */
export function explain(
  snapshot: Snapshot,
  ids: ReadonlySet<string>,
  minimums: ReadonlyMap<string, Slots>,
): Map<string, Explanation> {
  const planning = new Planning(snapshot);
  const lengths = new Map<string, number>();
  const turns = new Map<string, Turn>();
  const groupOf = new Map<string, PendingSession['scalingGroup']>();
  const decided: Plan = planWith(planning, snapshot, (candidate) => {
    const { id, scalingGroup } = candidate.session;
    const position = (lengths.get(scalingGroup) ?? 0) + 1;
    lengths.set(scalingGroup, position);
    if (!ids.has(id)) return;
    groupOf.set(id, scalingGroup);
    const verdict = planning.planner.judge(candidate);
    const minimum = minimums.get(id) ?? new Map();
    turns.set(id, explainTurn(planning, candidate, verdict, position, minimum));
  });
  const starts = estimateStarts(snapshot, decided, new Set(turns.keys()));
  const placements = new Map(decided.placements.map((item) => [item.sessionId, item]));
  const waiting = new Map(decided.waiting.map((item) => [item.sessionId, item]));
  const out = new Map<string, Explanation>();
  for (const [id, turn] of turns) {
    const placement = placements.get(id);
    const table = planning.tables.get(groupOf.get(id) ?? '');
    out.set(id, {
      ...turn,
      agents: [...new Set(placement?.kernels.map(({ agentId }) => agentId))],
      failed: waiting.get(id)?.failed ?? [],
      passed: (placement ?? waiting.get(id))?.passed ?? [],
      queueLength: lengths.get(groupOf.get(id) ?? '') ?? 0,
      hasReservation:
        table !== undefined && planning.planner.reservationOn(table)?.sessionId === id,
      estimatedStart: starts.get(id) ?? null,
    });
  }
  return out;
}
