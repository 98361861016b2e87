/** Preemption, by property: who may never be preempted is not, and nobody goes for nothing. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { addSlots, type Slots } from '../../common/slots.ts';
import { agent, ruled, session, slots, snapshot } from '../../testing/scheduling.ts';
import type { PreemptionOptions } from '../resource-group/options.ts';
import { explain } from './explain.ts';
import { plan } from './plan.ts';
import { advance } from './simulate.ts';
import { defaultGroupRules, type PlacedSession, type Snapshot } from './snapshot.ts';

const NOW_MS = 1_000_000;
const TIMEOUT_MS = 60_000;

const options = (more: Partial<PreemptionOptions> = {}): PreemptionOptions => ({
  ...{ ...defaultGroupRules.preemption, enabled: true, victim_scope: 'resource-group' },
  ...more,
});

function placed(
  id: string,
  on: Readonly<Record<string, Slots>>,
  more: Partial<PlacedSession> = {},
): PlacedSession {
  return {
    ...{ id, accessKey: 'X', userId: 'u', projectId: 'p', domainName: 'd', scalingGroup: 'g' },
    ...{ sessionType: 'interactive', priority: 1, startedAt: new Date(0), isPreemptible: true },
    leaving: null,
    kernels: Object.entries(on).map(([agentId, held]) => ({
      ...{ id: `${id}-${agentId}`, agentId, slots: held },
    })),
    ...more,
  };
}

/** Agents of four cores that hold `running` and nothing else. */
function cluster(
  running: readonly PlacedSession[],
  pending: Snapshot['pending'],
  preemption: PreemptionOptions,
  more: Partial<Snapshot> = {},
): Snapshot {
  const agents = ['i-0', 'i-1'].map((id) => {
    const here = running.filter(({ kernels }) => kernels.some(({ agentId }) => agentId === id));
    const held = running
      .flatMap(({ kernels }) => kernels)
      .filter(({ agentId }) => agentId === id)
      .reduce<Slots>((sum, kernel) => addSlots(sum, kernel.slots), new Map());
    const free = new Map(
      [...slots(4, 8)].map(([slot, all]) => [slot, all - (held.get(slot) ?? 0n)]),
    );
    return agent(id, free, { capacity: slots(4, 8), sessions: here.length });
  });
  const now = new Date(NOW_MS);
  return snapshot(agents, pending, { now, placed: running, ...ruled({ preemption }), ...more });
}

const victimsOf = (taken: Snapshot) =>
  plan(taken).preemptions.flatMap(({ victims }) => victims.map(({ id }) => id));

const owners = fc.record({
  userId: fc.constantFrom('u', 'w'),
  projectId: fc.constantFrom('p', 'q'),
  domainName: fc.constantFrom('d', 'd', 'e'),
});

/** Up to four cores on each agent are taken; those who hold them are of any kind. */
const someRunning = fc
  .array(
    fc.record({
      owner: owners,
      cores: fc.tuple(fc.nat(3), fc.nat(3)),
      priority: fc.nat(8),
      startedAt: fc.constantFrom(null, new Date(0), new Date(NOW_MS - 30_000), new Date(NOW_MS)),
      isPreemptible: fc.constantFrom(true, true, true, false),
      leaving: fc.constantFrom(null, null, null, 'ended' as const, 'preempted'),
      sessionType: fc.constantFrom('interactive' as const, 'batch', 'system'),
    }),
    { maxLength: 8 },
  )
  .map((list) => {
    const left = [4, 4];
    return list.flatMap(({ owner, cores, ...more }, index) => {
      const taken = cores.map((wanted, at) => Math.min(wanted, left[at] ?? 0));
      taken.forEach((cpu, at) => {
        left[at] = (left[at] ?? 0) - cpu;
      });
      const on = Object.fromEntries(
        taken.flatMap((cpu, at) => (cpu > 0 ? [[`i-${at}`, slots(cpu, 1)]] : [])),
      );
      return Object.keys(on).length > 0 ? [placed(`v-${index}`, on, { ...owner, ...more })] : [];
    });
  });

const somePending = fc
  .array(
    fc.record({
      owner: owners,
      cores: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 3 }),
      clusterMode: fc.constantFrom('single-node' as const, 'multi-node'),
      priority: fc.integer({ min: 3, max: 12 }),
      clearedAgents: fc.constantFrom([], [], ['i-0']),
    }),
    { minLength: 1, maxLength: 4 },
  )
  .map((list) =>
    list.map(({ owner, cores, ...more }, index) =>
      session(`s-${index}`, slots(0, 0), {
        ...{ ...owner, ...more, createdAt: new Date(NOW_MS - 1000 + index) },
        kernels: cores.map((cpu, k) => ({
          ...{ id: `s-${index}-${k}`, architecture: 'x86_64', requested: slots(cpu, 1) },
        })),
      }),
    ),
  );

const someOptions = fc.record({
  enabled: fc.constantFrom(true, true, true, false),
  preemptible_priority: fc.nat(8),
  order: fc.constantFrom('oldest' as const, 'newest', 'fewest-sessions', 'smallest-resources'),
  mode: fc.constantFrom('terminate' as const, 'reschedule'),
  preemption_min_runtime: fc.constantFrom(0, 60),
  victim_scope: fc.constantFrom('user' as const, 'project', 'domain', 'resource-group'),
});

const anyCluster = fc
  .tuple(someRunning, somePending, someOptions, fc.constantFrom(null, null, 2, 3))
  .map(([running, pending, rules, maxSessionsPerAgent]) => ({
    rules,
    taken: cluster(running, pending, rules, { maxSessionsPerAgent }),
  }));

describe('by property', () => {
  test(
    'only those are preempted that may be, by priority, scope, runtime, kind and wish',
    () => {
      let seen = 0;
      fc.assert(
        fc.property(anyCluster, ({ taken, rules }) => {
          const gone = new Set<string>();
          for (const { session: waiting, victims, mode } of plan(taken).preemptions) {
            expect(rules.enabled).toBe(true);
            expect(mode).toBe(rules.mode);
            expect(victims.length + waiting.clearedAgents.length).toBeGreaterThan(0);
            for (const victim of victims) {
              seen += 1;
              expect(gone.has(victim.id)).toBe(false);
              gone.add(victim.id);
              expect(victim.priority).toBeLessThan(waiting.priority);
              expect(victim.priority).toBeLessThanOrEqual(rules.preemptible_priority);
              expect(victim).toMatchObject({ isPreemptible: true, leaving: null });
              expect(victim.sessionType).not.toBe('system');
              if (rules.victim_scope === 'user') expect(victim.userId).toBe(waiting.userId);
              if (rules.victim_scope === 'project')
                expect(victim.projectId).toBe(waiting.projectId);
              if (rules.victim_scope === 'domain')
                expect(victim.domainName).toBe(waiting.domainName);
              if (rules.preemption_min_runtime > 0) {
                const runtimeMs = NOW_MS - (victim.startedAt?.getTime() ?? NOW_MS);
                expect(runtimeMs).toBeGreaterThanOrEqual(rules.preemption_min_runtime * 1000);
              }
            }
          }
        }),
        { numRuns: 1000, seed: 7 },
      );
      expect(seen).toBeGreaterThan(20);
    },
    TIMEOUT_MS,
  );

  test(
    'whoever others leave for starts once they have left, and nobody leaves for nothing',
    () => {
      fc.assert(
        fc.property(anyCluster, ({ taken: { pending, ...others } }) => {
          const taken = {
            ...others,
            pending: pending.map((item) => ({ ...item, clearedAgents: [] })),
          };
          const decided = plan(taken);
          const after = plan(advance(taken, decided, taken.now));
          const started = new Set(
            [...decided.placements, ...after.placements].map(({ sessionId }) => sessionId),
          );
          for (const { session: waiting, victims } of decided.preemptions) {
            expect(started).toContain(waiting.id);
            // With any one of them kept it would still wait. (Several kernels may find other agents then,
            // and whoever others leave for may take the room that somebody else waits for.)
            const isAlone = decided.waiting.length === 1;
            for (const spared of isAlone && waiting.clusterMode === 'single-node' ? victims : []) {
              const without = decided.preemptions.map((item) => ({
                ...item,
                victims: item.victims.filter((victim) => victim !== spared),
              }));
              const kept = plan(advance(taken, { ...decided, preemptions: without }, taken.now));
              expect(
                without
                  .map((item) => item.session.id)
                  .every((id) => kept.placements.some(({ sessionId }) => sessionId === id)),
              ).toBe(false);
            }
          }
        }),
        { numRuns: 500, seed: 7 },
      );
    },
    TIMEOUT_MS,
  );

  test(
    'no more is asked for while those who leave have not left',
    () => {
      fc.assert(
        fc.property(anyCluster, ({ taken }) => {
          const decided = plan(taken);
          const going = new Set(
            decided.preemptions.flatMap(({ victims }) => victims.map(({ id }) => id)),
          );
          const first = new Map(
            decided.preemptions.map(({ session: { id }, agentIds }) => [id, agentIds]),
          );
          const started = new Set(decided.placements.map(({ sessionId }) => sessionId));
          // Somebody else's placements change what is free; what matters is that nothing else happened.
          fc.pre(started.size === 0);
          const meanwhile = {
            ...taken,
            placed: taken.placed.map((item) =>
              going.has(item.id) ? { ...item, leaving: 'preempted' as const } : item,
            ),
            pending: taken.pending.map((item) => ({
              ...item,
              clearedAgents: first.get(item.id) ?? item.clearedAgents,
            })),
          };
          const again = plan(meanwhile)
            .preemptions.filter(({ victims }) => victims.length > 0)
            .map((item) => item.session.id);
          for (const id of again) expect(first.has(id)).toBe(false);
        }),
        { numRuns: 500, seed: 7 },
      );
    },
    TIMEOUT_MS,
  );
});

describe('a session of high priority', () => {
  const high = session('high', slots(4, 4), { priority: 20 });
  const full = [
    placed('old', { 'i-0': slots(2, 1) }, { startedAt: new Date(1000) }),
    placed('new', { 'i-0': slots(2, 1) }, { startedAt: new Date(2000) }),
    placed('one', { 'i-1': slots(1, 1) }, { startedAt: new Date(500) }),
    placed('three', { 'i-1': slots(3, 1) }, { startedAt: new Date(3000) }),
  ];

  test('takes the agent where the fewest have to go', () => {
    const three = [...full.slice(0, 2), placed('big', { 'i-1': slots(4, 1) })];
    expect(victimsOf(cluster(three, [high], options()))).toEqual(['big']);
  });

  test('takes the oldest, the newest, the largest or the smallest, as the group says', () => {
    const two = session('high', slots(1, 1), { priority: 20 });
    const order = (name: PreemptionOptions['order']) =>
      victimsOf(cluster(full, [two], options({ order: name })));
    const alone = (name: PreemptionOptions['order']) =>
      victimsOf(cluster(full, [{ ...two, designatedAgents: ['i-0'] }], options({ order: name })));
    expect(alone('oldest')).toEqual(['old']);
    expect(alone('newest')).toEqual(['new']);
    expect(order('smallest-resources')).toEqual(['one']);
    const both = session('high', slots(3, 1), { priority: 20, designatedAgents: ['i-1'] });
    const fewest = cluster(full, [both], options({ order: 'fewest-sessions' }));
    expect(victimsOf(fewest)).toEqual(['three']);
  });

  test('takes those of the lowest priority first, whatever the order', () => {
    const lower = full.map((item) => ({ ...item, priority: item.id === 'new' ? 0 : 3 }));
    const one = session('high', slots(1, 1), { priority: 20, designatedAgents: ['i-0'] });
    expect(victimsOf(cluster(lower, [one], options()))).toEqual(['new']);
  });

  test('waits for those who leave anyway instead of making others go', () => {
    const leaving = full.map((item) =>
      item.id === 'three' || item.id === 'one' ? { ...item, leaving: 'ended' as const } : item,
    );
    const taken = cluster(leaving, [high], options());
    const { preemptions, waiting } = plan(taken);
    expect(preemptions).toEqual([]);
    expect(waiting[0]?.failed[0]?.msg).toEndWith('It waits for 2 sessions that end.');
    expect(explain(taken, new Set(['high']), new Map()).get('high')).toMatchObject({
      ...{ preemption: { state: 'waiting', sessions: 2 }, estimatedStart: taken.now },
    });
  });

  test('keeps the room that others make for it', () => {
    const low = session('low', slots(1, 1), { priority: 10, createdAt: new Date(1) });
    const leaving = full.slice(0, 2).map((item) => ({ ...item, leaving: 'preempted' as const }));
    const half = [...leaving.slice(0, 1), ...full.slice(2)];
    const preempting = { ...high, priority: 9, clearedAgents: ['i-0'] };
    expect(plan(cluster(half, [preempting, low], options())).placements).toEqual([]);
    const free = plan(cluster(full.slice(2), [preempting, low], options()));
    expect(free.placements.map(({ sessionId }) => sessionId)).toEqual(['high']);
  });

  test('is told how many have to go, also where the group does not let it', () => {
    const explained = (preemption: PreemptionOptions) => {
      const taken = cluster(full, [high], preemption);
      return explain(taken, new Set(['high']), new Map()).get('high');
    };
    const next = explained(options());
    expect(next?.preemption).toEqual({ state: 'next', sessions: 2 });
    expect(next?.failed[0]?.msg).toEndWith('It waits for 2 sessions being preempted.');
    const disabled = explained(options({ enabled: false }));
    expect(disabled?.preemption).toEqual({ state: 'disabled', sessions: 2 });
    expect(explained(options({ preemptible_priority: 0 }))?.preemption).toBeNull();
  });

  test('makes nobody go when that would not be enough, or its quota is used up', () => {
    const fixed = full.map((item) =>
      item.id === 'old' || item.id === 'one' ? { ...item, isPreemptible: false } : item,
    );
    expect(victimsOf(cluster(fixed, [high], options()))).toEqual([]);
    const limited = cluster(full, [high], options(), {
      projectLimits: new Map([['p', { slots: slots(3, 9), unnamed: 'unlimited' }]]),
    });
    expect(victimsOf(limited)).toEqual([]);
  });
});
