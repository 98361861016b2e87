/** A manager of the simulation: gateway for agents and, while it leads, scheduling and upkeep. */
import type { DesiredKernel } from '../../common/protocol/kernel.ts';
import type { AgentEvent, Heartbeat } from '../../common/protocol/manager.ts';
import { type Reconciliation, terminationReasonOf } from '../../manager/agent/reconcile.ts';
import { toPreemption } from '../../manager/scheduler/cycle.ts';
import { defaultGroupRules, type PlacedSession } from '../../manager/scheduler/snapshot.ts';
import { reportOf } from '../../manager/session/agent-report.ts';
import type { Preemption } from '../../manager/session/placement.ts';
import type { Report } from '../../manager/session/reports.ts';
import { isStarting, isTerminal } from '../../manager/session/status.ts';
import { agent, ruled, session, snapshot } from '../scheduling.ts';
import type { FakeAgent, Gateway } from './agent.ts';
import type { Parts } from './parts.ts';
import type { KernelRow, SessionRow, Tables } from './tables.ts';
import type { World } from './world.ts';

const PASS_MS = 1000;
/** Between a snapshot and its plan's transaction, on bad days. */
const SLOWEST_APPLY_MS = 4000;
const CALL_TIMEOUT_MS = 5000;
const REPEAT_MS = 15_000;
const HEARTBEAT_TIMEOUT_MS = 20_000;
const LOST_GRACE_MS = 60_000;
const CLEAN_UP_MS = 60_000;

/** Which manager leads; shared by all, as the lock in the database is. */
export interface Lock {
  holder: string | null;
}

/** A list of agents in what the scheduler keeps with a session. */
function agentsIn({ statusData: { scheduler } }: SessionRow, key: string): string[] {
  const list = typeof scheduler === 'object' && scheduler !== null ? Object.entries(scheduler) : [];
  const found = list.find(([name]) => name === key)?.[1];
  return Array.isArray(found) ? found.filter((id) => typeof id === 'string') : [];
}

/** What becomes of sessions of low priority when others wait. */
export type PreemptionMode = 'off' | 'terminate' | 'reschedule';

interface ManagerOptions {
  readonly id: string;
  readonly world: World;
  readonly parts: Parts;
  readonly tables: Tables;
  readonly agents: ReadonlyMap<string, FakeAgent>;
  readonly lock: Lock;
  readonly preemption: PreemptionMode;
}

export class FakeManager implements Gateway {
  readonly id: string;
  readonly world: World;
  readonly parts: Parts;
  readonly tables: Tables;
  readonly agents: ReadonlyMap<string, FakeAgent>;
  readonly lock: Lock;
  readonly preemption: PreemptionMode;
  isUp = true;
  #life = 0;
  #leadsSinceMs: number | null = null;
  #isPlanning = false;
  // In memory: lost in a crash.
  #missing = new Map<string, Reconciliation['missing']>();
  #accepted = new Map<string, number>();
  readonly #calling = new Set<string>();

  constructor({ id, world, parts, tables, agents, lock, preemption }: ManagerOptions) {
    this.id = id;
    this.world = world;
    this.parts = parts;
    this.tables = tables;
    this.agents = agents;
    this.lock = lock;
    this.preemption = preemption;
  }

  start(): void {
    this.isUp = true;
    this.#tick();
  }

  crash(): void {
    this.world.note(`${this.id} dies`);
    this.isUp = false;
    this.#life += 1;
    this.#leadsSinceMs = null;
    this.#missing = new Map();
    this.#accepted = new Map();
    this.#calling.clear();
    this.#isPlanning = false;
    if (this.lock.holder === this.id) this.lock.holder = null;
    this.world.after(this.world.between(2000, 20_000), () => this.start());
  }

  /** The connection that held the lock breaks; what is under way is still applied. */
  loseLead(): void {
    if (this.lock.holder === this.id) this.lock.holder = null;
    this.#leadsSinceMs = null;
  }

  /** A person's wish, or what a sweep found. */
  report(reports: readonly Report[]): boolean {
    const states = this.tables.read(reports.map(({ kernelId }) => kernelId));
    return this.#commit(() => {
      const { nowMs } = this.world;
      this.tables.write(this.parts.foldReports(states, reports, new Date(nowMs)), reports, nowMs);
    });
  }

  heartbeat(
    agentId: string,
    held: Heartbeat['kernels'],
    reply: (desired: DesiredKernel[]) => void,
  ): void {
    if (!this.isUp) return;
    const row = this.tables.agents.get(agentId);
    if (!row) return;
    Object.assign(row, { status: 'ALIVE', lostMs: null, heartbeatMs: this.world.nowMs });
    const heldIds = new Set(held.map(({ kernelId }) => kernelId));
    const known = [...this.tables.kernels.values()]
      .filter(
        (kernel) =>
          (kernel.agentId === agentId && kernel.terminatedMs === null) || heldIds.has(kernel.id),
      )
      .map((kernel) => ({
        ...kernel,
        // No address changes here.
        host: null,
        statusChangedAt: new Date(kernel.statusChangedMs),
      }));
    const missingBefore = this.#missing.get(agentId) ?? new Map();
    const outcome = this.parts.reconcile({
      agentId,
      held,
      known,
      missingBefore,
      nowMs: this.world.nowMs,
    });
    this.#missing.set(agentId, outcome.missing);
    // Others may change the tables between the reading and the writing.
    this.#soon(() => {
      if (outcome.reports.length > 0 && !this.report(outcome.reports)) return;
      reply([
        ...outcome.end.map((end): DesiredKernel => ({ desired: 'terminated', ...end })),
        ...this.#specs(outcome.start),
      ]);
    });
  }

  deliver(agentId: string, events: readonly AgentEvent[], reply: (ackedSeq: number) => void): void {
    const row = this.tables.agents.get(agentId);
    if (!this.isUp || !row) return;
    const fresh = events.filter(({ seq }) => seq > row.lastSeq);
    const reports = fresh.map((event) => reportOf(agentId, event));
    const states = this.tables.read(reports.map(({ kernelId }) => kernelId));
    const { nowMs } = this.world;
    const committed = this.#commit(() => {
      this.tables.write(this.parts.foldReports(states, reports, new Date(nowMs)), reports, nowMs);
      row.lastSeq = fresh.at(-1)?.seq ?? row.lastSeq;
    });
    if (committed) reply(row.lastSeq);
  }

  /** A transaction: whole or not at all. @returns false when the manager died of it, before or after. */
  #commit(write: () => void): boolean {
    const dies = this.world.mishap(0.01);
    if (!dies || this.world.next() < 0.5) write();
    if (dies) this.crash();
    return !dies;
  }

  #soon(run: () => void, slowestMs = 400): void {
    const life = this.#life;
    this.world.after(this.world.between(1, this.world.faulty ? slowestMs : 20), () => {
      if (this.isUp && this.#life === life) run();
    });
  }

  #tick(): void {
    const life = this.#life;
    this.world.after(PASS_MS, () => {
      if (!this.isUp || this.#life !== life) return;
      this.#tick();
      if (this.lock.holder === null) {
        this.lock.holder = this.id;
        this.#leadsSinceMs = this.world.nowMs;
        this.world.note(`${this.id} leads`);
      }
      if (this.lock.holder !== this.id) return;
      this.#schedule();
      this.#dispatch();
      this.#settle();
    });
  }

  #schedule(): void {
    const { nowMs } = this.world;
    const waiting = [...this.tables.sessions.values()].filter(({ status }) => status === 'PENDING');
    const live = [...this.tables.agents.values()].filter(({ status }) => status === 'ALIVE');
    if (this.#isPlanning || waiting.length === 0 || live.length === 0) return;
    const free = this.tables.free(live.map(({ id }) => id));
    const pending = waiting.map((item) => {
      return session(item.id, new Map(), {
        createdAt: new Date(item.createdMs),
        clusterMode: item.kernels[0]?.spec.cluster.mode ?? 'single-node',
        priority: item.priority,
        failedAgents: agentsIn(item, 'failed_agents'),
        clearedAgents: agentsIn(item, 'cleared_agents'),
        kernels: item.kernels.map(({ id, allocations }) => ({
          ...{ id, architecture: 'x86_64' },
          requested: new Map(allocations.map(({ slot, requested }) => [slot, requested])),
        })),
      });
    });
    const agents = live.map(({ id, books }) =>
      agent(id, free.get(id) ?? new Map(), {
        capacity: new Map([...books].map(([slot, { capacity }]) => [slot, capacity])),
      }),
    );
    const enabled = this.preemption !== 'off';
    const mode = this.preemption === 'reschedule' ? 'reschedule' : 'terminate';
    const decided = this.parts.plan(
      snapshot(agents, pending, {
        now: new Date(nowMs),
        placed: this.#placed(),
        ...ruled({
          preemption: { ...defaultGroupRules.preemption, enabled, mode },
        }),
      }),
    );
    const { placements, preemptions } = decided;
    if (placements.length === 0 && preemptions.length === 0) return;
    // Applied later: by then the tables may say something else, and another may lead.
    this.#isPlanning = true;
    this.#soon(() => {
      this.#isPlanning = false;
      const kernels = placements.flatMap((placement) => placement.kernels);
      const states = this.tables.read(kernels.map(({ kernelId }) => kernelId));
      const room = this.tables.free(kernels.map(({ agentId }) => agentId));
      const wanted = placements.map((placement) => ({ ...placement, scheduler: {} }));
      const reports = this.parts.grantPlacements(states, wanted, room).flatMap((placement) =>
        placement.kernels.map(
          (kernel): Report => ({
            ...{ kind: 'scheduled', ...kernel, scheduler: { cleared_agents: [] } },
          }),
        ),
      );
      if (preemptions.length > 0) this.#preempt(preemptions.map(toPreemption));
      this.world.note(`${this.id} places ${reports.map(({ kernelId }) => kernelId).join(' ')}`);
      if (this.report(reports)) this.#dispatch();
    }, SLOWEST_APPLY_MS);
  }

  #placed(): PlacedSession[] {
    return [...this.tables.sessions.values()].flatMap((item): PlacedSession[] => {
      if (isTerminal(item.status) || item.status === 'PENDING') return [];
      const kernels = item.kernels.flatMap(({ id, agentId, allocations }) => {
        const slots = new Map(allocations.map(({ slot, requested }) => [slot, requested]));
        return agentId === null ? [] : { id, agentId, slots };
      });
      const { id, priority, status } = item;
      const leaving = status === 'TERMINATING' ? 'ended' : null;
      return [
        {
          ...{ id, priority, kernels, leaving, accessKey: 'AK', userId: 'u', projectId: 'p' },
          ...{ domainName: 'd', sessionType: 'interactive', scalingGroup: 'g' },
          ...{ startedAt: new Date(item.createdMs), isPreemptible: true },
        },
      ];
    });
  }

  #preempt(wanted: readonly Preemption[]): void {
    const states = this.tables.read(
      wanted.flatMap((item) => [
        ...item.kernelIds,
        ...item.victims.flatMap(({ kernels }) => kernels.map(({ id }) => id)),
      ]),
    );
    const granted = this.parts.grantPreemptions(states, wanted);
    const reports = granted.flatMap((item) => this.parts.preemptionReports(item));
    this.world.note(`${this.id} preempts ${reports.map(({ kernelId }) => kernelId).join(' ')}`);
    if (!this.report(reports)) return;
    for (const { sessionId, agentIds } of granted) {
      const row = this.tables.sessions.get(sessionId);
      const before = row?.statusData.scheduler;
      const scheduler = { ...(typeof before === 'object' ? before : {}), cleared_agents: agentIds };
      if (row) row.statusData = { ...row.statusData, scheduler };
    }
  }

  #isDue(kernel: KernelRow): boolean {
    if (this.tables.agents.get(kernel.agentId ?? '')?.status !== 'ALIVE') return false;
    if (kernel.status === 'SCHEDULED' || kernel.status === 'TERMINATING') return true;
    if (kernel.status === 'RUNNING') {
      const siblings = this.tables.sessions.get(kernel.sessionId)?.kernels ?? [];
      return kernel.mustJoin && siblings.every(({ status }) => status === 'RUNNING');
    }
    const endedMs = kernel.terminatedMs ?? 0;
    return (
      kernel.status === 'TERMINATED' &&
      !kernel.agentSaidEnd &&
      this.world.nowMs - endedMs < CLEAN_UP_MS
    );
  }

  #specs(ids: readonly string[]): DesiredKernel[] {
    return ids.flatMap((id): DesiredKernel[] => {
      const kernel = this.tables.kernels.get(id);
      return kernel && isStarting(kernel.status) ? [{ desired: 'running', spec: kernel.spec }] : [];
    });
  }

  #dispatch(): void {
    const keyOf = ({ id, status }: KernelRow) => `${id} ${status}`;
    const due = [...this.tables.kernels.values()].filter((kernel) => this.#isDue(kernel));
    const keys = new Set(due.map(keyOf));
    this.#accepted = new Map([...this.#accepted].filter(([key]) => keys.has(key)));
    const unsent = due.filter((kernel) => {
      const sentMs = this.#accepted.get(keyOf(kernel));
      return sentMs === undefined || this.world.nowMs - sentMs >= REPEAT_MS;
    });
    for (const [agentId, kernels] of Map.groupBy(unsent, (kernel) => kernel.agentId ?? '')) {
      const fake = this.agents.get(agentId);
      if (fake && !this.#calling.has(agentId)) this.#send(fake, kernels, kernels.map(keyOf));
    }
  }

  #send(fake: FakeAgent, kernels: readonly KernelRow[], keys: readonly string[]): void {
    const joining = kernels.filter(({ status }) => status === 'RUNNING').map(({ id }) => id);
    const ending = kernels.filter(({ status }) => status === 'TERMINATING' || isTerminal(status));
    const wishes: DesiredKernel[] = [
      ...this.#specs(kernels.map(({ id }) => id)),
      ...ending.map(({ id, sessionId, statusInfo }): DesiredKernel => {
        const reason = terminationReasonOf(statusInfo);
        return { desired: 'terminated', kernelId: id, sessionId, reason };
      }),
    ];
    const sent = kernels.map(({ id, status, statusChangedMs }) => ({
      ...{ id, status, status_changed: new Date(statusChangedMs) },
    }));
    const life = this.#life;
    this.#calling.add(fake.id);
    this.world.call<true>(
      CALL_TIMEOUT_MS,
      (reply) => fake.sync(wishes, () => fake.join(joining, reply)),
      (answer) => {
        if (!this.isUp || this.#life !== life) return;
        this.#calling.delete(fake.id);
        const { nowMs } = this.world;
        if (answer) {
          for (const key of keys) this.#accepted.set(key, nowMs);
          this.report(
            joining.map((kernelId) => ({
              kind: 'joined',
              kernelId,
              reporter: fake.id,
              onlyIn: ['RUNNING'],
            })),
          );
        } else {
          this.report(this.parts.undeliveredReports(fake.id, sent, 'no answer', nowMs));
        }
      },
    );
  }

  /** Agents that fell silent, and kernels that stay for too long as they are. */
  #settle(): void {
    const { nowMs } = this.world;
    if (this.#leadsSinceMs === null) return;
    const now = new Date(nowMs);
    for (const row of this.tables.agents.values()) {
      const heardMs = Math.max(row.heartbeatMs, this.#leadsSinceMs);
      if (row.status !== 'ALIVE' || nowMs - heardMs < HEARTBEAT_TIMEOUT_MS) continue;
      Object.assign(row, { status: 'LOST', lostMs: nowMs });
      this.world.note(`${row.id} is lost`);
    }
    const reports = [...this.tables.kernels.values()].flatMap((kernel): Report[] => {
      const { id, status, agentId } = kernel;
      if (isTerminal(status)) return [];
      const holder = this.tables.agents.get(agentId ?? '');
      const orphan =
        holder?.status === 'LOST'
          ? this.parts.orphanReport(
              { id, status, agent: holder.id, lost_at: new Date(holder.lostMs ?? nowMs) },
              now,
              LOST_GRACE_MS,
            )
          : null;
      return [
        orphan ?? [],
        this.parts.overdueReport(id, status, nowMs - kernel.statusChangedMs),
      ].flat();
    });
    if (reports.length > 0) this.#soon(() => this.report(reports));
  }
}
