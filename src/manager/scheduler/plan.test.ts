/** Plans, by property: no agent is oversold, nobody waits without a reason, chance plays no part. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { addSlots, parseSlots, type Slots, slotsFit } from '../../common/slots.ts';
import { plan } from './plan.ts';
import { selectAgent } from './selectors.ts';
import type { AgentSnapshot, PendingSession, Snapshot } from './snapshot.ts';

const slots = (cpu: number, mem: number, gpu = 0): Slots =>
  parseSlots({ cpu, mem, ...(gpu ? { 'cuda.device': gpu } : {}) });

function agent(id: string, free: Slots, more: Partial<AgentSnapshot> = {}): AgentSnapshot {
  return { id, addr: `http://${id}`, scalingGroup: 'g', architecture: 'x86_64', free, ...more };
}

function session(id: string, requested: Slots, more: Partial<PendingSession> = {}): PendingSession {
  return {
    ...{ id, accessKey: 'AK', projectId: 'p', domainName: 'd', scalingGroup: 'g' },
    ...{ sessionType: 'interactive', clusterMode: 'single-node', priority: 10 },
    ...{ createdAt: new Date(1000), startsAt: null },
    kernels: [{ id: `${id}-k`, architecture: 'x86_64', requested }],
    ...{ designatedAgents: [], failedAgents: [], dependencies: [] },
    ...more,
  };
}

function snapshot(
  agents: readonly AgentSnapshot[],
  pending: readonly PendingSession[],
  more: Partial<Snapshot> = {},
): Snapshot {
  const none = new Map();
  return {
    now: new Date(5000),
    ...{ strategies: none, slotPriority: ['cuda', 'cpu', 'mem'], agents, pending },
    occupancy: {
      ...{ keypairs: none, projects: none, domains: none, sessions: none, sftpSessions: none },
    },
    ...{ keypairLimits: none, projectLimits: none, domainLimits: none },
    ...more,
  };
}

const someSlots = fc
  .tuple(fc.nat(8), fc.nat(8), fc.nat(2))
  .map(([cpu, mem, gpu]) => slots(cpu, mem, gpu));
const someAgents = fc
  .array(fc.tuple(someSlots, fc.constantFrom('x86_64', 'aarch64'), fc.constantFrom('g', 'h')), {
    maxLength: 5,
  })
  .map((list) =>
    list.map(([free, architecture, scalingGroup], index) =>
      agent(`i-${index}`, free, { architecture, scalingGroup }),
    ),
  );
const someSessions = fc
  .array(
    fc.record({
      kernels: fc.array(someSlots, { minLength: 1, maxLength: 3 }),
      clusterMode: fc.constantFrom('single-node' as const, 'multi-node'),
      priority: fc.nat(20),
      accessKey: fc.constantFrom('A', 'B'),
      sessionType: fc.constantFrom('interactive' as const, 'system', 'batch'),
      startsAt: fc.constantFrom(null, new Date(9000)),
    }),
    { maxLength: 12 },
  )
  .map((list) =>
    list.map(({ kernels, ...more }, index) =>
      session(`s-${index}`, slots(0, 0), {
        ...more,
        createdAt: new Date(1000 + index),
        kernels: kernels.map((requested, k) => ({
          ...{ id: `s-${index}-${k}`, architecture: 'x86_64', requested },
        })),
      }),
    ),
  );
const keypairLimits = new Map([
  [
    'A',
    {
      ...{ maxConcurrentSessions: 3, maxConcurrentSftpSessions: 1 },
      slots: { slots: slots(6, 9), unnamed: 'forbidden' as const },
    },
  ],
]);
const anySnapshot = fc
  .tuple(someAgents, someSessions, fc.constantFrom('dispersed' as const, 'concentrated'))
  .map(([agents, pending, strategy]) =>
    snapshot(agents, pending, { keypairLimits, strategies: new Map([['g', strategy]]) }),
  );

describe('a plan', () => {
  test('never gives more than an agent has, nor another architecture or group', () => {
    fc.assert(
      fc.property(anySnapshot, (taken) => {
        const given = new Map<string, Slots>();
        for (const { sessionId, kernels } of plan(taken).placements) {
          const owner = taken.pending.find((item) => item.id === sessionId);
          expect(kernels.map((item) => item.kernelId).sort()).toEqual(
            owner?.kernels.map((item) => item.id).sort() ?? [],
          );
          for (const { kernelId, agentId } of kernels) {
            const kernel = owner?.kernels.find((item) => item.id === kernelId);
            const target = taken.agents.find((item) => item.id === agentId);
            expect(target?.architecture).toBe(kernel?.architecture ?? '');
            expect(target?.scalingGroup).toBe(owner?.scalingGroup ?? '');
            const sum = addSlots(given.get(agentId) ?? new Map(), kernel?.requested ?? new Map());
            given.set(agentId, sum);
          }
        }
        for (const target of taken.agents) {
          expect(slotsFit(given.get(target.id) ?? new Map(), target.free)).toBe(true);
        }
      }),
    );
  });

  test('decides about every session once, with a reason for each that waits', () => {
    fc.assert(
      fc.property(anySnapshot, (taken) => {
        const { placements, waiting } = plan(taken);
        const decided = [...placements, ...waiting].map((item) => item.sessionId);
        expect(decided.sort()).toEqual(taken.pending.map((item) => item.id).sort());
        for (const { failed } of waiting) {
          expect(failed.length).toBeGreaterThan(0);
          for (const { name, msg } of failed) expect(name && msg).toBeTruthy();
        }
      }),
    );
  });

  test('stays within the limits of the keypair', () => {
    fc.assert(
      fc.property(anySnapshot, (taken) => {
        const placed = new Set(plan(taken).placements.map((item) => item.sessionId));
        const own = taken.pending.filter((item) => placed.has(item.id) && item.accessKey === 'A');
        const counted = own.filter((item) => item.sessionType !== 'system');
        expect(counted.length).toBeLessThanOrEqual(3);
        expect(own.length - counted.length).toBeLessThanOrEqual(1);
        const total = counted
          .flatMap((item) => item.kernels)
          .reduce<Slots>((sum, kernel) => addSlots(sum, kernel.requested), new Map());
        expect(slotsFit(total, slots(6, 9))).toBe(true);
      }),
    );
  });

  test('does not depend on the order in which sessions are read', () => {
    fc.assert(
      fc.property(anySnapshot, (taken) => {
        const reversed = { ...taken, pending: [...taken.pending].reverse() };
        expect(plan(reversed)).toEqual(plan(taken));
      }),
    );
  });

  test('takes higher priorities first, then the oldest', () => {
    const pending = [
      session('young', slots(1, 1), { createdAt: new Date(3) }),
      session('old', slots(1, 1), { createdAt: new Date(2) }),
      session('urgent', slots(1, 1), { createdAt: new Date(9), priority: 20 }),
    ];
    const { placements } = plan(snapshot([agent('i-a', slots(2, 2))], pending));
    expect(placements.map((item) => item.sessionId)).toEqual(['urgent', 'old']);
  });

  test('names what is missing where', () => {
    const { waiting } = plan(
      snapshot(
        [agent('i-a', slots(2, 8)), agent('i-b', slots(9, 9), { architecture: 'aarch64' })],
        [session('big', slots(4, 1))],
      ),
    );
    const message = waiting[0]?.failed[0]?.msg;
    expect(message).toContain('i-a (cpu: requested=4, available=2)');
    expect(message).toContain('i-b (is aarch64, the image needs x86_64)');
  });

  test('prefers other agents than those that failed, unless there are none', () => {
    const failed = session('again', slots(1, 1), { failedAgents: ['i-a'] });
    const big = agent('i-a', slots(9, 9));
    const both = plan(snapshot([big, agent('i-b', slots(1, 1))], [failed]));
    expect(both.placements[0]?.kernels[0]?.agentId).toBe('i-b');
    expect(plan(snapshot([big], [failed])).placements[0]?.kernels[0]?.agentId).toBe('i-a');
  });

  test('uses designated agents only, in their order', () => {
    const chosen = session('chosen', slots(1, 1), { designatedAgents: ['i-c', 'i-b'] });
    const agents = ['i-a', 'i-b', 'i-c'].map((id) => agent(id, slots(4, 4)));
    expect(plan(snapshot(agents, [chosen])).placements[0]?.kernels[0]?.agentId).toBe('i-c');
    const [, second] = agents;
    const left = plan(snapshot(second ? [second] : [], [chosen]));
    expect(left.placements[0]?.kernels[0]?.agentId).toBe('i-b');
  });

  test('tells when the clock alone will let a session start', () => {
    const later = session('later', slots(1, 1), { sessionType: 'batch', startsAt: new Date(7000) });
    const decided = plan(snapshot([agent('i-a', slots(4, 4))], [later]));
    expect(decided.nextStartAt).toEqual(new Date(7000));
    expect(decided.waiting[0]?.failed[0]?.name).toBe('ReservedBatchSessionValidator');
  });
});

describe('selectors', () => {
  const agents = [
    agent('i-small', slots(2, 4)),
    agent('i-large', slots(8, 4)),
    agent('i-gpu', slots(16, 16, 2)),
  ];
  const priority = ['cuda', 'cpu', 'mem'];

  test('dispersed takes the emptiest, concentrated the fullest; both spare unwanted accelerators', () => {
    const wanted = slots(1, 1);
    expect(selectAgent('dispersed', agents, wanted, priority)?.id).toBe('i-large');
    expect(selectAgent('concentrated', agents, wanted, priority)?.id).toBe('i-small');
  });

  test('nobody is nobody', () => {
    expect(selectAgent('dispersed', [], slots(1, 1), priority)).toBeNull();
  });
});
