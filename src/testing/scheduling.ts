/** Snapshots for tests and benchmarks of the scheduler: written by hand, or any by fast-check. */
import fc from 'fast-check';
import { parseSlots, type Slots } from '../common/slots.ts';
import {
  type AgentSnapshot,
  defaultGroupRules,
  type GroupRules,
  type KeypairLimits,
  type PendingSession,
  type Snapshot,
} from '../manager/scheduler/snapshot.ts';

export const slots = (cpu: number, mem: number, gpu = 0): Slots =>
  parseSlots({ cpu, mem, ...(gpu ? { 'cuda.device': gpu } : {}) });

export function agent(id: string, free: Slots, more: Partial<AgentSnapshot> = {}): AgentSnapshot {
  return {
    ...{ id, addr: `http://${id}`, scalingGroup: 'g', architecture: 'x86_64' },
    ...{ capacity: free, free, sessions: 0 },
    ...more,
  };
}

/** Asks for `requested` with one kernel; it has waited for four seconds. */
export function session(
  id: string,
  requested: Slots,
  more: Partial<PendingSession> = {},
): PendingSession {
  return {
    ...{ id, accessKey: 'AK', userId: 'u', projectId: 'p', domainName: 'd', scalingGroup: 'g' },
    ...{ sessionType: 'interactive', clusterMode: 'single-node', priority: 10 },
    ...{ createdAt: new Date(1000), startsAt: null, durationSec: null },
    kernels: [{ id: `${id}-k`, architecture: 'x86_64', requested }],
    ...{ designatedAgents: [], failedAgents: [], dependencies: [], clearedAgents: [] },
    fairShare: { domain: 1, project: 1, user: 1 },
    ...more,
  };
}

export function snapshot(
  agents: readonly AgentSnapshot[],
  pending: readonly PendingSession[],
  more: Partial<Snapshot> = {},
): Snapshot {
  const none = new Map();
  return {
    now: new Date(5000),
    ...{ groups: none, slotPriority: ['cuda', 'cpu', 'mem'], maxSessionsPerAgent: null },
    ...{ agents, imageAgents: none, pending, ending: [], placed: [] },
    occupancy: {
      ...{ keypairs: none, users: none, projects: none, domains: none },
      ...{ sessions: none, sftpSessions: none },
    },
    ...{ keypairLimits: none, userLimits: none, projectLimits: none, domainLimits: none },
    ...more,
  };
}

/** Rules of the only resource group that these snapshots name unless told otherwise. */
export const ruled = (rules: Partial<GroupRules>): Pick<Snapshot, 'groups'> => ({
  groups: new Map([['g', { ...defaultGroupRules, ...rules }]]),
});

export const unlimited: KeypairLimits = {
  ...{ maxConcurrentSessions: null, maxConcurrentSftpSessions: 10 },
  ...{ maxPendingSessions: null, pendingSlots: null },
  slots: { slots: new Map(), unnamed: 'unlimited' },
};

const someSlots = fc
  .tuple(fc.nat(8), fc.nat(8), fc.nat(2))
  .map(([cpu, mem, gpu]) => slots(cpu, mem, gpu));

const someAgents = fc
  .array(
    fc.record({
      free: someSlots,
      used: someSlots,
      architecture: fc.constantFrom('x86_64', 'x86_64', 'aarch64'),
      scalingGroup: fc.constantFrom('g', 'g', 'h'),
      sessions: fc.nat(3),
    }),
    { maxLength: 5 },
  )
  .map((list) =>
    list.map(({ free, used, ...more }, index) => {
      const capacity = new Map(free);
      for (const [slot, amount] of used) capacity.set(slot, (capacity.get(slot) ?? 0n) + amount);
      return agent(`i-${index}`, free, { capacity, ...more });
    }),
  );

/** Now is 5000; half of the sessions wait since long ago, so that agents are kept free for them. */
const someSessions = fc
  .array(
    fc.record({
      kernels: fc.array(someSlots, { minLength: 1, maxLength: 3 }),
      clusterMode: fc.constantFrom('single-node' as const, 'multi-node'),
      priority: fc.nat(2),
      accessKey: fc.constantFrom('A', 'B'),
      userId: fc.constantFrom('u', 'w'),
      scalingGroup: fc.constantFrom('g', 'g', 'h'),
      sessionType: fc.constantFrom('interactive' as const, 'system', 'batch'),
      startsAt: fc.constantFrom(null, null, new Date(9000)),
      durationSec: fc.constantFrom(null, 1, 100),
      age: fc.constantFrom(4000, 900_000),
      designatedAgents: fc.constantFrom([], [], [], ['i-1', 'i-0']),
      failedAgents: fc.constantFrom([], ['i-0']),
      fairShare: fc.record({
        domain: fc.constant(1),
        project: fc.constantFrom(0.5, 1),
        user: fc.constantFrom(0, 1),
      }),
      blocked: fc.constantFrom(false, false, false, true),
    }),
    { maxLength: 12 },
  )
  .map((list) =>
    list.map(({ kernels, age, blocked, ...more }, index) =>
      session(`s-${index}`, slots(0, 0), {
        ...more,
        createdAt: new Date(5000 - age + index),
        kernels: kernels.map((requested, k) => ({
          ...{ id: `s-${index}-${k}`, architecture: 'x86_64', requested },
        })),
        dependencies: blocked
          ? [{ id: 'd', name: 'before', status: 'RUNNING', result: 'UNDEFINED' }]
          : [],
      }),
    ),
  );

const someKeypairLimits = fc
  .record({
    maxConcurrentSessions: fc.constantFrom(null, 3),
    maxConcurrentSftpSessions: fc.constantFrom(1, 2),
    maxPendingSessions: fc.constantFrom(null, 2),
    pending: fc.constantFrom(null, slots(9, 9, 2)),
    most: someSlots,
    unnamed: fc.constantFrom('forbidden' as const, 'unlimited'),
  })
  .map(
    ({ pending, most, unnamed, ...more }): KeypairLimits => ({
      ...more,
      pendingSlots: pending && { slots: pending, unnamed: 'unlimited' },
      slots: { slots: most, unnamed },
    }),
  );

/** Small clusters with every rule in play. */
export const anySnapshot: fc.Arbitrary<Snapshot> = fc
  .record({
    agents: someAgents,
    pending: someSessions,
    strategy: fc.constantFrom('dispersed' as const, 'concentrated', 'roundrobin', 'legacy'),
    sequencer: fc.constantFrom('fifo' as const, 'lifo', 'drf', 'fair-share'),
    maxSessionsPerAgent: fc.constantFrom(null, null, 4),
    keypair: someKeypairLimits,
    quota: someSlots,
    endings: fc.array(
      fc.record({ agent: fc.nat(4), at: fc.constantFrom(6000, 8000, 60_000), held: someSlots }),
      { maxLength: 3 },
    ),
  })
  .map(({ agents, pending, strategy, sequencer, maxSessionsPerAgent, keypair, quota, endings }) => {
    return snapshot(agents, pending, {
      ...ruled({ strategy, sequencer }),
      maxSessionsPerAgent,
      keypairLimits: new Map([['A', keypair]]),
      projectLimits: new Map([['p', { slots: quota, unnamed: 'unlimited' }]]),
      ending: endings.map(({ agent: index, at, held }, order) => ({
        ...{ id: `e-${order}`, accessKey: 'A', userId: 'u', projectId: 'p', domainName: 'd' },
        ...{ sessionType: 'batch', endsAt: new Date(at) },
        kernels: [{ agentId: `i-${index}`, slots: held }],
      })),
    });
  });
