/**
 * The scheduling decision: from a snapshot to placements, and for every session left waiting the
 * reason why. Pure and deterministic; applying the plan is the caller's job.
 */
import { Accounts } from './accounts.ts';
import { AgentTable } from './agent-table.ts';
import type { Limits } from './obstacles.ts';
import { type Chosen, type Failure, type PlannedCandidate, Planner } from './planner.ts';
import { type Claim, Preemption } from './preemption.ts';
import type { Release } from './reservation.ts';
import { type Requirement, weighingRanks } from './selectors.ts';
import { sequence } from './sequencers.ts';
import { type Demand, SlotSpace, sumDemands } from './slot-space.ts';
import {
  defaultGroupRules,
  imageKey,
  type PendingKernel,
  type PendingSession,
  type PlacedSession,
  type Snapshot,
} from './snapshot.ts';

export interface PlannedPlacement {
  readonly sessionId: string;
  readonly kernels: readonly {
    readonly kernelId: string;
    readonly agentId: string;
    readonly agentAddr: string;
  }[];
  readonly passed: readonly string[];
}

export interface Waiting {
  readonly sessionId: string;
  /** At least one rule that the session fails. */
  readonly failed: readonly Failure[];
  readonly passed: readonly string[];
  /** Whether others make room for it. */
  readonly hasClaim: boolean;
}

/** Sessions that must go so that another can start. */
export interface PlannedPreemption {
  readonly session: PendingSession;
  /** Where there will be room for it, in the order of its kernels. */
  readonly agentIds: readonly string[];
  /** None where it only goes elsewhere than others left for it before. */
  readonly victims: readonly PlacedSession[];
  /** Whether they run again when there is room. */
  readonly mode: 'terminate' | 'reschedule';
}

export interface Plan {
  readonly placements: readonly PlannedPlacement[];
  /** In the order in which they were considered. */
  readonly waiting: readonly Waiting[];
  readonly preemptions: readonly PlannedPreemption[];
  /** Earliest time at which a session becomes eligible by the clock alone. */
  readonly nextStartAt: Date | null;
  /** By resource group: the agent that round-robin used last, where it used one. */
  readonly lastAgents: ReadonlyMap<string, string>;
}

const NOBODY: ReadonlySet<number> = new Set();

/** A snapshot made ready for planning. */
export class Planning {
  readonly space: SlotSpace;
  readonly planner: Planner;
  readonly tables = new Map<string, AgentTable>();
  /** What obstacles are measured by. */
  readonly limits: Limits;
  readonly #snapshot: Snapshot;
  readonly #accounts: Accounts;
  readonly #ranks: readonly number[];

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
    this.space = new SlotSpace(snapshot);
    this.#accounts = new Accounts(this.space, snapshot);
    this.#ranks = weighingRanks(this.space.names, snapshot.slotPriority);
    const { now, maxSessionsPerAgent } = snapshot;
    const releases = this.#releases();
    const { space } = this;
    const accounts = this.#accounts;
    this.limits = { space, maxSessionsPerAgent };
    const agents = Map.groupBy(snapshot.agents, ({ scalingGroup }) => scalingGroup);
    for (const name of new Set(snapshot.pending.map(({ scalingGroup }) => scalingGroup))) {
      const rules = snapshot.groups.get(name) ?? defaultGroupRules;
      this.tables.set(name, new AgentTable(this.space, rules, agents.get(name) ?? []));
    }
    const preemptions = this.#preemptions();
    const rules = { now, space, accounts, maxSessionsPerAgent };
    this.planner = new Planner({ ...rules, releases, preemptions });
  }

  /** A session as planning sees it. Its resource group must have pending sessions in the snapshot. */
  candidate(session: PendingSession): PlannedCandidate {
    const table = this.tables.get(session.scalingGroup);
    if (!table) throw new RangeError(`no resource group '${session.scalingGroup}' is planned`);
    const demands = session.kernels.map(({ requested }) => this.space.demand(requested));
    const places = (ids: readonly string[]) =>
      ids.map((id) => table.ids.indexOf(id)).filter((agent) => agent >= 0);
    return {
      session,
      table,
      isSystem: session.sessionType === 'system',
      total: sumDemands(demands),
      accounts: this.#accounts.of(session),
      requirements: this.#requirements(session, table, demands),
      designated: session.designatedAgents.length > 0 ? places(session.designatedAgents) : null,
      cleared: session.clearedAgents.map((id) => table.ids.indexOf(id)),
      avoided: session.failedAgents.length > 0 ? new Set(places(session.failedAgents)) : NOBODY,
    };
  }

  /** All pending sessions in the order in which they are considered. */
  line(): Generator<PlannedCandidate, void> {
    return sequence(this.#snapshot.pending.map((session) => this.candidate(session)));
  }

  /** With the slots that weigh most first. */
  #weighed({ slots, amounts }: Demand): Demand {
    if (slots.length < 2) return { slots, amounts };
    const order = slots.map((_, at) => at);
    const rank = (at: number) => this.#ranks[slots[at] ?? 0] ?? 0;
    order.sort((a, b) => rank(a) - rank(b));
    return {
      slots: order.map((at) => slots[at] ?? 0),
      amounts: order.map((at) => amounts[at] ?? 0),
    };
  }

  /** Kernels of a single-node cluster share an agent; those of a multi-node one go anywhere. */
  #requirements(
    { kernels, clusterMode }: PendingSession,
    table: AgentTable,
    demands: readonly Demand[],
  ): Requirement[] {
    const requirement = (from: number, to: number): Requirement => {
      const members = kernels.slice(from, to);
      const architectures = [...new Set(members.map((kernel) => kernel.architecture))];
      const [only = '', ...others] = architectures;
      const architecture = others.length > 0 ? -1 : table.architectureIndex(only);
      const demand = this.#weighed(sumDemands(demands.slice(from, to)));
      const holders = this.#holders(members, table);
      const where = holders ? [...holders] : 'any';
      const shape = `${architecture}/${demand.slots}/${demand.amounts}/${where}`;
      const kernelIds = members.map((kernel) => kernel.id);
      return { kernelIds, architectures, architecture, holders, demand, shape };
    };
    if (clusterMode === 'single-node' || kernels.length === 1) {
      return [requirement(0, kernels.length)];
    }
    return kernels.map((_, at) => requirement(at, at + 1));
  }

  /** The agents that have all images of the kernels which cannot be pulled; null: any may. */
  #holders(kernels: readonly PendingKernel[], table: AgentTable): ReadonlySet<number> | null {
    let holders: ReadonlySet<number> | null = null;
    for (const { localImage, architecture } of kernels) {
      if (!localImage) continue;
      const known = this.#snapshot.imageAgents.get(imageKey(localImage, architecture)) ?? [];
      if (known.length === 0) continue;
      const here = new Set(known.map((id) => table.ids.indexOf(id)).filter((agent) => agent >= 0));
      holders = holders ? here.intersection(holders) : here;
    }
    return holders;
  }

  #preemptions(): Map<AgentTable, Preemption> {
    const placed = Map.groupBy(this.#snapshot.placed, ({ scalingGroup }) => scalingGroup);
    const out = new Map<AgentTable, Preemption>();
    for (const [name, table] of this.tables) {
      const holders = placed.get(name);
      if (holders) out.set(table, new Preemption(table, this.space, holders, this.#snapshot));
    }
    return out;
  }

  #releases(): Map<string, Release[]> {
    const out = new Map<string, Release[]>();
    for (const { endsAt, kernels } of this.#snapshot.ending) {
      for (const { agentId, slots } of kernels) {
        const release = { atMs: endsAt.getTime(), demand: this.space.demand(slots) };
        const known = out.get(agentId);
        if (known) known.push(release);
        else out.set(agentId, [release]);
      }
    }
    return out;
  }
}

function toPlacement(
  { session, table }: PlannedCandidate,
  chosen: readonly Chosen[],
  passed: readonly string[],
): PlannedPlacement {
  const kernels = chosen.flatMap(({ requirement, agent }) =>
    requirement.kernelIds.map((kernelId) => ({
      kernelId,
      agentId: table.ids[agent] ?? '',
      agentAddr: table.addrs[agent] ?? '',
    })),
  );
  return { sessionId: session.id, kernels, passed };
}

const counted = (count: number, what: string): string =>
  `${count} ${what}${count === 1 ? '' : 's'}`;

/** Says of a session without room who makes some. */
function withClaim(failed: readonly Failure[], { victims, leaving }: Claim): Failure[] {
  // Those that do not leave yet will be preempted by this plan.
  const preempted = leaving.filter((session) => session.leaving !== 'ended').length;
  const others = leaving.length - preempted;
  const parts = [
    ...(victims.length + preempted > 0
      ? [`${counted(victims.length + preempted, 'session')} being preempted`]
      : []),
    ...(others > 0 ? [`${counted(others, 'session')} that ${others === 1 ? 'ends' : 'end'}`] : []),
  ];
  return failed.map(({ name, msg }) => ({
    ...{ name, msg: `${msg} It waits for ${parts.join(' and ')}.` },
  }));
}

/** Decides for every pending session: a place, or a reason to wait. */
export const plan = (snapshot: Snapshot): Plan => planWith(new Planning(snapshot), snapshot);

/** @param inTurn called before each session is decided about; it must change nothing. */
export function planWith(
  planning: Planning,
  snapshot: Snapshot,
  inTurn?: (candidate: PlannedCandidate) => void,
): Plan {
  const placements: PlannedPlacement[] = [];
  const waiting: Waiting[] = [];
  const preemptions: PlannedPreemption[] = [];
  const lastAgents = new Map<string, string>();
  let nextStartAt: Date | null = null;
  for (const candidate of planning.line()) {
    const { session, table } = candidate;
    inTurn?.(candidate);
    const verdict = planning.planner.decide(candidate);
    if ('chosen' in verdict) {
      const placement = toPlacement(candidate, verdict.chosen, verdict.passed);
      placements.push(placement);
      const last = placement.kernels.at(-1);
      if (last && table.rules.strategy === 'roundrobin') {
        lastAgents.set(session.scalingGroup, last.agentId);
      }
    } else {
      const claim = planning.planner.claimOf(session.id);
      const failed = claim ? withClaim(verdict.failed, claim) : verdict.failed;
      const hasClaim = claim !== null;
      waiting.push({ sessionId: session.id, failed, passed: verdict.passed, hasClaim });
      const before = session.clearedAgents;
      const isElsewhere = claim?.places.some(({ agent }, at) => table.ids[agent] !== before[at]);
      if (claim && (claim.victims.length > 0 || (before.length > 0 && isElsewhere))) {
        const { mode } = table.rules.preemption;
        const agentIds = claim.places.map(({ agent }) => table.ids[agent] ?? '');
        preemptions.push({ session, agentIds, victims: claim.victims, mode });
      }
    }
    const { startsAt } = session;
    if (startsAt && startsAt > snapshot.now && (nextStartAt === null || startsAt < nextStartAt)) {
      nextStartAt = startsAt;
    }
  }
  return { placements, waiting, preemptions, nextStartAt, lastAgents };
}
