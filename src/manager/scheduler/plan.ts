/**
 * The scheduling decision: from a snapshot to placements, and for every session left waiting the
 * reason why. Pure and deterministic; applying the plan is apply.ts's job.
 */
import {
  addSlots,
  formatAmount,
  missingSlots,
  type Slots,
  subtractSlots,
} from '../../common/slots.ts';
import { selectAgent } from './selectors.ts';
import type { AgentSnapshot, PendingSession, Snapshot } from './snapshot.ts';
import { type PlanningState, totalRequest, validators } from './validators.ts';

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
  readonly failed: readonly { readonly name: string; readonly msg: string }[];
  readonly passed: readonly string[];
}

export interface Plan {
  readonly placements: readonly PlannedPlacement[];
  readonly waiting: readonly Waiting[];
  /** Earliest time at which a session becomes eligible by the clock alone. */
  readonly nextStartAt: Date | null;
}

const SELECTOR = 'AgentSelector';
/** How many agents an explanation lists. */
const MAX_EXPLAINED = 8;

/** First in, first out within a priority; higher priorities first. */
export function sequence(sessions: readonly PendingSession[]): PendingSession[] {
  return [...sessions].sort(
    (a, b) =>
      b.priority - a.priority ||
      a.createdAt.getTime() - b.createdAt.getTime() ||
      (a.id < b.id ? -1 : a.id > b.id ? 1 : 0),
  );
}

/** Kernels that must share an agent. */
interface Requirement {
  readonly kernelIds: readonly string[];
  readonly architectures: ReadonlySet<string>;
  readonly slots: Slots;
}

function requirementsOf(session: PendingSession): Requirement[] {
  const single = (kernels: PendingSession['kernels']): Requirement => ({
    kernelIds: kernels.map((kernel) => kernel.id),
    architectures: new Set(kernels.map((kernel) => kernel.architecture)),
    slots: kernels.reduce<Slots>((sum, kernel) => addSlots(sum, kernel.requested), new Map()),
  });
  return session.clusterMode === 'single-node'
    ? [single(session.kernels)]
    : session.kernels.map((kernel) => single([kernel]));
}

/** Why `agent` cannot take `requirement`; null when it can. */
function obstacle(agent: AgentSnapshot, requirement: Requirement): string | null {
  for (const architecture of requirement.architectures) {
    if (architecture !== agent.architecture) {
      return `is ${agent.architecture}, the image needs ${architecture}`;
    }
  }
  const missing = missingSlots(requirement.slots, agent.free);
  if (missing.size === 0) return null;
  return [...missing.keys()]
    .map((slot) => {
      const requested = formatAmount(requirement.slots.get(slot) ?? 0n);
      return `${slot}: requested=${requested}, available=${formatAmount(agent.free.get(slot) ?? 0n)}`;
    })
    .join(', ');
}

function explain(
  session: PendingSession,
  agents: readonly AgentSnapshot[],
  requirement: Requirement,
): string {
  if (agents.length === 0) {
    return `No agent of resource group '${session.scalingGroup}' is available. It starts when one joins or comes back.`;
  }
  const lines = agents
    .slice(0, MAX_EXPLAINED)
    .map((agent) => `${agent.id} (${obstacle(agent, requirement) ?? 'fits'})`);
  const more = agents.length > MAX_EXPLAINED ? `, and ${agents.length - MAX_EXPLAINED} more` : '';
  return `No agent of resource group '${session.scalingGroup}' has room: ${lines.join('; ')}${more}.`;
}

/** The list of designated agents is in order of preference. */
function firstDesignated(
  order: readonly string[],
  candidates: readonly AgentSnapshot[],
): AgentSnapshot | null {
  for (const id of order) {
    const agent = candidates.find((candidate) => candidate.id === id);
    if (agent) return agent;
  }
  return null;
}

class Planner {
  readonly snapshot: Snapshot;
  readonly state: PlanningState;
  /** Agents with what is left of them as the plan grows. */
  readonly agents: Map<string, AgentSnapshot>;

  constructor(snapshot: Snapshot) {
    this.snapshot = snapshot;
    const { occupancy } = snapshot;
    this.state = {
      now: snapshot.now,
      keypairs: new Map(occupancy.keypairs),
      projects: new Map(occupancy.projects),
      domains: new Map(occupancy.domains),
      sessions: new Map(occupancy.sessions),
      sftpSessions: new Map(occupancy.sftpSessions),
      keypairLimits: snapshot.keypairLimits,
      projectLimits: snapshot.projectLimits,
      domainLimits: snapshot.domainLimits,
    };
    this.agents = new Map(snapshot.agents.map((agent) => [agent.id, agent]));
  }

  place(session: PendingSession): PlannedPlacement | Waiting {
    const checked = Object.entries(validators).map(([name, check]) => ({
      name,
      msg: check(session, this.state),
    }));
    const passed = checked.filter(({ msg }) => msg === null).map(({ name }) => name);
    const failed = checked.flatMap(({ name, msg }) => (msg === null ? [] : [{ name, msg }]));
    const sessionId = session.id;
    if (failed.length > 0) return { sessionId, failed, passed };
    const chosen = this.chooseAgents(session);
    if (typeof chosen === 'string') {
      return { sessionId, failed: [{ name: SELECTOR, msg: chosen }], passed };
    }
    this.account(session, chosen);
    const kernels = chosen.flatMap(({ requirement, agent }) =>
      requirement.kernelIds.map((kernelId) => ({
        kernelId,
        agentId: agent.id,
        agentAddr: agent.addr,
      })),
    );
    return { sessionId, kernels, passed: [...passed, SELECTOR] };
  }

  /** An agent for every requirement, or why there is none. Changes nothing. */
  private chooseAgents(
    session: PendingSession,
  ): { requirement: Requirement; agent: AgentSnapshot }[] | string {
    const strategy = this.snapshot.strategies.get(session.scalingGroup) ?? 'dispersed';
    const designated = new Set(session.designatedAgents);
    const left = new Map<string, AgentSnapshot>();
    for (const [id, agent] of this.agents) {
      if (agent.scalingGroup !== session.scalingGroup) continue;
      if (designated.size === 0 || designated.has(id)) left.set(id, agent);
    }
    const chosen: { requirement: Requirement; agent: AgentSnapshot }[] = [];
    for (const requirement of requirementsOf(session)) {
      const fitting = [...left.values()].filter((agent) => obstacle(agent, requirement) === null);
      const fresh = fitting.filter((agent) => !session.failedAgents.includes(agent.id));
      const candidates = fresh.length > 0 ? fresh : fitting;
      const agent = session.designatedAgents.length
        ? firstDesignated(session.designatedAgents, candidates)
        : selectAgent(strategy, candidates, requirement.slots, this.snapshot.slotPriority);
      if (agent === null) return explain(session, [...left.values()], requirement);
      chosen.push({ requirement, agent });
      left.set(agent.id, { ...agent, free: subtractSlots(agent.free, requirement.slots) });
    }
    return chosen;
  }

  private account(
    session: PendingSession,
    chosen: readonly { requirement: Requirement; agent: AgentSnapshot }[],
  ): void {
    for (const { requirement, agent } of chosen) {
      const current = this.agents.get(agent.id) ?? agent;
      const free = subtractSlots(current.free, requirement.slots);
      this.agents.set(agent.id, { ...current, free });
    }
    const isSftp = session.sessionType === 'system';
    const counts = isSftp ? this.state.sftpSessions : this.state.sessions;
    counts.set(session.accessKey, (counts.get(session.accessKey) ?? 0) + 1);
    if (isSftp) return;
    const request = totalRequest(session);
    const add = (map: Map<string, Slots>, key: string) =>
      map.set(key, addSlots(map.get(key) ?? new Map(), request));
    add(this.state.keypairs, session.accessKey);
    add(this.state.projects, session.projectId);
    add(this.state.domains, session.domainName);
  }
}

/** Decides for every pending session: a place, or a reason to wait. */
export function plan(snapshot: Snapshot): Plan {
  const planner = new Planner(snapshot);
  const placements: PlannedPlacement[] = [];
  const waiting: Waiting[] = [];
  let nextStartAt: Date | null = null;
  for (const session of sequence(snapshot.pending)) {
    const outcome = planner.place(session);
    if ('kernels' in outcome) placements.push(outcome);
    else waiting.push(outcome);
    const { startsAt } = session;
    if (startsAt && startsAt > snapshot.now && (nextStartAt === null || startsAt < nextStartAt)) {
      nextStartAt = startsAt;
    }
  }
  return { placements, waiting, nextStartAt };
}
