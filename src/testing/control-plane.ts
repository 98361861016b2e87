/** A cluster's control plane for tests: real PostgreSQL, simulated agents, a clock that can jump. */
import type { Sql } from 'postgres';
import { type Clock, systemClock } from '../common/clock.ts';
import { BackendError } from '../common/errors.ts';
import type { ManagerContext } from '../manager/context.ts';
import { type ControlPlane, startControlPlane } from '../manager/control-plane.ts';
import { createEventBus, type ManagedEventBus } from '../manager/event/create.ts';
import type { Caller } from '../manager/http/route.ts';
import { upsertImages } from '../manager/image/catalog.ts';
import { type EnqueueRequest, enqueueSession } from '../manager/session/service.ts';
import { TransitionQueue } from '../manager/session/transition-queue.ts';
import { testManagerContext } from './manager.ts';
import type { TestDatabase } from './postgres.ts';
import { insertProject } from './sessions.ts';
import type { SimulatedAgent } from './simulated-agent.ts';

export interface JumpingClock extends Clock {
  /** Moves time forward and fires the timers that are due by then. */
  jump(ms: number): void;
}

/** The system's clock, which can be put forward. */
export function jumpingClock(): JumpingClock {
  let offsetMs = 0;
  const timers = new Set<{ dueMs: number; fire: () => void }>();
  const monotonicMs = () => systemClock.monotonicMs() + offsetMs;
  return {
    now: () => new Date(Date.now() + offsetMs),
    monotonicMs,
    sleep: (ms, signal) => systemClock.sleep(ms, signal),
    timer(ms, fn) {
      const entry = { dueMs: monotonicMs() + ms, fire: () => {} };
      const inner = systemClock.timer(ms, () => entry.fire());
      entry.fire = () => {
        timers.delete(entry);
        inner.cancel();
        fn();
      };
      timers.add(entry);
      return {
        cancel() {
          timers.delete(entry);
          inner.cancel();
        },
      };
    },
    jump(ms) {
      offsetMs += ms;
      for (const entry of [...timers]) if (entry.dueMs <= monotonicMs()) entry.fire();
    },
  };
}

/** A request for a small session of the image that the fixture registers. */
export function sessionRequest(name: string, more: Partial<EnqueueRequest> = {}): EnqueueRequest {
  return {
    sessionName: name,
    image: 'local/test:1',
    architecture: null,
    sessionType: 'interactive',
    group: 'default',
    domain: null,
    scalingGroup: null,
    clusterMode: 'single-node',
    clusterSize: 1,
    priority: 10,
    isPreemptible: true,
    tag: null,
    startsAt: null,
    batchTimeoutMs: null,
    startupCommand: null,
    bootstrapScript: null,
    dependencies: [],
    callbackUrl: null,
    resources: { cpu: 1, mem: '256m' },
    resourceOpts: {},
    environ: { GREETING: 'hello' },
    preopenPorts: [],
    mounts: [],
    agentList: [],
    reuse: true,
    ...more,
  };
}

async function seed(sql: Sql, userId: string): Promise<void> {
  await insertProject(sql);
  await sql`INSERT INTO association_groups_users (user_id, group_id)
    SELECT ${userId}, id FROM groups`;
  await sql`INSERT INTO sgroups_for_domains (scaling_group, domain) VALUES ('default', 'default')`;
  await sql`INSERT INTO resource_slot_types (slot_name, slot_type, required, rank)
    VALUES ('cpu', 'count', true, 1), ('mem', 'bytes', true, 2)
    ON CONFLICT DO NOTHING`;
  const [architecture, digest] = ['x86_64', 'sha256:0'];
  await upsertImages(sql, [
    {
      ...{ canonical: 'local/test:1', architecture, digest },
      ...{ sizeBytes: 1, labels: {}, aliases: ['test'] },
    },
  ]);
}

export interface ControlPlaneFixture {
  readonly sql: Sql;
  readonly clock: JumpingClock;
  /** The context of the first manager. */
  readonly ctx: ManagerContext;
  readonly caller: Caller;
  /** The context of one more manager on the same database. */
  sibling(id: string): Promise<ManagerContext>;
  start(ctx?: ManagerContext): Promise<ControlPlane>;
  /** Connects an agent to a control plane and has it register. */
  join(plane: ControlPlane, agent: SimulatedAgent): Promise<SimulatedAgent>;
  enqueue(name: string, more?: Partial<EnqueueRequest>): Promise<string>;
  /** Stops every control plane and waits for the agents' deliveries. */
  quiesce(): Promise<void>;
  /** Forgets sessions and agents. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

/** @param options.db a migrated database to use instead of a fresh one. */
export async function controlPlaneFixture(
  options: { db?: TestDatabase } = {},
): Promise<ControlPlaneFixture> {
  const clock = jumpingClock();
  const base = await testManagerContext({ clock, ...options });
  const { sql } = base.db;
  const { user } = base.accounts;
  await seed(sql, user.userId);
  const caller: Caller = {
    ...{ accessKey: user.accessKey, userId: user.userId, email: user.email, username: 'user' },
    ...{ role: 'user', isAdmin: false, isSuperadmin: false, domainName: 'default' },
    resourcePolicy: 'default',
  };
  const agents = new Map<string, SimulatedAgent>();
  const planes = new Set<ControlPlane>();
  const buses: ManagedEventBus[] = [];
  const sibling = async (id: string): Promise<ManagerContext> => {
    const events = await createEventBus(base.ctx.live, id, clock, base.ctx.log);
    buses.push(events);
    const client = (agentId: string) => {
      const agent = agents.get(agentId);
      if (!agent) throw new BackendError('AgentConnectionUnavailable', `no agent ${agentId}`);
      return agent.client;
    };
    const transitions = new TransitionQueue({ sql: base.ctx.keyed, events, clock });
    return { ...base.ctx, id, events, eventLog: events.log, transitions, agents: { client } };
  };
  const ctx = await sibling('i-first');
  const quiesce = async () => {
    await Promise.all([...planes].map((plane) => plane.stop()));
    planes.clear();
    for (const agent of agents.values()) await agent.settled();
  };
  return {
    ...{ sql, clock, ctx, caller, sibling, quiesce },
    async start(context = ctx) {
      const plane = await startControlPlane(context);
      planes.add(plane);
      return plane;
    },
    async join(plane, agent) {
      agents.set(agent.id, agent);
      agent.connect(plane.gateway);
      await agent.heartbeat();
      return agent;
    },
    enqueue: async (name, more) =>
      (await enqueueSession(ctx, caller, sessionRequest(name, more))).sessionId,
    async reset() {
      await quiesce();
      agents.clear();
      await sql`TRUNCATE sessions, kernels, resource_allocations, agent_resources, agents,
        session_callbacks, session_dependencies, session_scheduling_history, kernel_scheduling_history CASCADE`;
    },
    async close() {
      await quiesce();
      for (const bus of buses) await bus.close();
      await base.close();
    },
  };
}
