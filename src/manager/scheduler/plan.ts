/**
 * The scheduling decision: from a snapshot to placements, and for every session left waiting the
 * reason why. Pure and deterministic; applying the plan is the caller's job.
 */
import { Accounts } from './accounts.ts';
import { AgentTable } from './agent-table.ts';
import type { Limits } from './obstacles.ts';
import { type Chosen, type Failure, type PlannedCandidate, Planner } from './planner.ts';
import type { Release } from './reservation.ts';
import { type Requirement, weighingRanks } from './selectors.ts';
import { sequence } from './sequencers.ts';
import { type Demand, SlotSpace, sumDemands } from './slot-space.ts';
import { defaultGroupRules, type PendingSession, type Snapshot } from './snapshot.ts';

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
}

export interface Plan {
  readonly placements: readonly PlannedPlacement[];
  /** In the order in which they were considered. */
  readonly waiting: readonly Waiting[];
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
    this.planner = new Planner({ now, space, accounts, maxSessionsPerAgent, releases });
    const agents = Map.groupBy(snapshot.agents, ({ scalingGroup }) => scalingGroup);
    for (const name of new Set(snapshot.pending.map(({ scalingGroup }) => scalingGroup))) {
      const rules = snapshot.groups.get(name) ?? defaultGroupRules;
      this.tables.set(name, new AgentTable(this.space, rules, agents.get(name) ?? []));
    }
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
      const shape = `${architecture}/${demand.slots}/${demand.amounts}`;
      const kernelIds = members.map((kernel) => kernel.id);
      return { kernelIds, architectures, architecture, demand, shape };
    };
    if (clusterMode === 'single-node' || kernels.length === 1) {
      return [requirement(0, kernels.length)];
    }
    return kernels.map((_, at) => requirement(at, at + 1));
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
      waiting.push({ sessionId: session.id, failed: verdict.failed, passed: verdict.passed });
    }
    const { startsAt } = session;
    if (startsAt && startsAt > snapshot.now && (nextStartAt === null || startsAt < nextStartAt)) {
      nextStartAt = startsAt;
    }
  }
  return { placements, waiting, nextStartAt, lastAgents };
}
