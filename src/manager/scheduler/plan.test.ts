/** Plans, by property: no agent is oversold, nobody waits without a reason, chance plays no part. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { addSlots, type Slots, slotsFit } from '../../common/slots.ts';
import {
  agent,
  anySnapshot,
  ruled,
  session,
  slots,
  snapshot,
  unlimited,
} from '../../testing/scheduling.ts';
import { plan } from './plan.ts';
import type { PendingSession, Snapshot } from './snapshot.ts';

const requestOf = (sessions: readonly PendingSession[]): Slots =>
  sessions
    .flatMap((item) => item.kernels)
    .reduce<Slots>((sum, kernel) => addSlots(sum, kernel.requested), new Map());

/** Ids of the sessions that are placed, in order. */
const placedIn = (taken: Snapshot): string[] =>
  plan(taken).placements.map((item) => item.sessionId);

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

  test('stays within every quota and count', () => {
    fc.assert(
      fc.property(anySnapshot, (taken) => {
        const placed = new Set(plan(taken).placements.map((item) => item.sessionId));
        const placedOf = (which: (item: PendingSession) => boolean) =>
          taken.pending.filter((item) => placed.has(item.id) && which(item));
        const isSystem = (item: PendingSession) => item.sessionType === 'system';
        const keypair = taken.keypairLimits.get('A');
        const own = placedOf((item) => item.accessKey === 'A' && !isSystem(item));
        expect(own.length).toBeLessThanOrEqual(keypair?.maxConcurrentSessions ?? own.length);
        const system = placedOf((item) => item.accessKey === 'A' && isSystem(item));
        expect(system.length).toBeLessThanOrEqual(keypair?.maxConcurrentSftpSessions ?? 0);
        for (const [slot, amount] of requestOf(own)) {
          const most = keypair?.slots.slots.get(slot);
          if (most !== undefined) expect(amount <= most).toBe(true);
          else if (keypair?.slots.unnamed === 'forbidden') expect(amount).toBe(0n);
        }
        const project = taken.projectLimits.get('p')?.slots ?? new Map();
        for (const [slot, amount] of requestOf(placedOf((item) => !isSystem(item)))) {
          if (project.has(slot)) expect(amount <= (project.get(slot) ?? 0n)).toBe(true);
        }
      }),
    );
  });

  test('puts no more sessions on an agent than it may have', () => {
    fc.assert(
      fc.property(anySnapshot, (taken) => {
        const { placements } = plan(taken);
        for (const { id, sessions } of taken.agents) {
          const here = placements.filter(({ kernels }) => kernels.some((k) => k.agentId === id));
          const most = taken.maxSessionsPerAgent;
          if (most !== null && here.length > 0) {
            expect(sessions + here.length).toBeLessThanOrEqual(most);
          }
        }
      }),
    );
  });

  test('keeps a single-node cluster on one agent', () => {
    fc.assert(
      fc.property(anySnapshot, (taken) => {
        for (const { sessionId, kernels } of plan(taken).placements) {
          const owner = taken.pending.find((item) => item.id === sessionId);
          if (owner?.clusterMode !== 'single-node') continue;
          expect(new Set(kernels.map((item) => item.agentId)).size).toBe(1);
        }
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

describe('sequencers', () => {
  const one = agent('i-a', slots(2, 2));
  const [old, young] = [new Date(1000), new Date(2000)];
  const three = [
    session('a', slots(1, 1), { createdAt: old, userId: 'u' }),
    session('b', slots(1, 1), { createdAt: young, userId: 'u' }),
    session('c', slots(1, 1), { createdAt: new Date(3000), userId: 'w' }),
  ];

  test('fifo takes the oldest, lifo the youngest', () => {
    expect(placedIn(snapshot([one], three, ruled({ sequencer: 'fifo' })))).toEqual(['a', 'b']);
    expect(placedIn(snapshot([one], three, ruled({ sequencer: 'lifo' })))).toEqual(['c', 'b']);
  });

  test('drf takes whoever holds the smallest share, counting what it has just given', () => {
    const drf = ruled({ sequencer: 'drf' });
    expect(placedIn(snapshot([one], three, drf))).toEqual(['a', 'c']);
    const users = new Map([['w', slots(1, 0)]]);
    const { occupancy } = snapshot([], []);
    const held = snapshot([one], three, { ...drf, occupancy: { ...occupancy, users } });
    expect(placedIn(held)).toEqual(['a', 'b']);
  });

  test('fair-share takes those who have used less of what is due: domain, project, user', () => {
    const factors = (domain: number, project: number, user: number) => ({
      fairShare: { domain, project, user },
    });
    const pending = [
      session('a', slots(1, 1), factors(0.2, 1, 1)),
      session('b', slots(1, 1), factors(0.9, 0.3, 0.1)),
      session('c', slots(1, 1), factors(0.9, 0.3, 0.7)),
    ];
    const taken = snapshot([one], pending, ruled({ sequencer: 'fair-share' }));
    expect(placedIn(taken)).toEqual(['c', 'b']);
  });

  test('priority goes before every order', () => {
    for (const sequencer of ['fifo', 'lifo', 'drf', 'fair-share'] as const) {
      const urgent = session('urgent', slots(2, 2), { priority: 11, createdAt: young });
      expect(placedIn(snapshot([one], [...three, urgent], ruled({ sequencer })))).toEqual([
        'urgent',
      ]);
    }
  });
});

describe('selectors', () => {
  const agents = [
    agent('i-small', slots(2, 4)),
    agent('i-large', slots(8, 4)),
    agent('i-gpu', slots(16, 16, 2)),
  ];
  const usedFor = (taken: Snapshot) =>
    plan(taken).placements.map((item) => item.kernels[0]?.agentId);

  test('dispersed takes the emptiest, concentrated the fullest; both spare unwanted accelerators', () => {
    const wanted = [session('s', slots(1, 1))];
    const chosen = (strategy: 'dispersed' | 'concentrated' | 'legacy') =>
      usedFor(snapshot(agents, wanted, ruled({ strategy })))[0];
    expect(chosen('dispersed')).toBe('i-large');
    expect(chosen('legacy')).toBe('i-large');
    expect(chosen('concentrated')).toBe('i-small');
  });

  test('round-robin goes round by id, from where it was, and tells where it stopped', () => {
    const four = ['1', '2', '3', '4'].map((id) => session(id, slots(1, 1)));
    const three = ['i-a', 'i-b', 'i-c'].map((id) => agent(id, slots(9, 9)));
    const taken = snapshot(three, four, ruled({ strategy: 'roundrobin', lastAgent: 'i-b' }));
    expect(usedFor(taken)).toEqual(['i-c', 'i-a', 'i-b', 'i-c']);
    expect(plan(taken).lastAgents.get('g')).toBe('i-c');
  });

  test('an agent with as many sessions as it may have gets no more', () => {
    const full = agent('i-full', slots(9, 9), { sessions: 2 });
    const taken = snapshot([full], [session('s', slots(1, 1))], { maxSessionsPerAgent: 2 });
    expect(plan(taken).waiting[0]?.failed[0]?.msg).toContain('i-full (has 2 sessions');
  });
});

describe('pending limits', () => {
  const two = [
    session('first', slots(9, 1)),
    session('second', slots(1, 1), { createdAt: new Date(2000) }),
  ];
  const waits = (limits: Partial<typeof unlimited>) =>
    plan(
      snapshot([agent('i-a', slots(4, 4))], two, {
        keypairLimits: new Map([['AK', { ...unlimited, ...limits }]]),
      }),
    ).waiting.map((item) => item.failed[0]?.name);

  test('count the sessions that wait ahead', () => {
    expect(waits({ maxPendingSessions: 2 })).toEqual(['AgentSelector']);
    expect(waits({ maxPendingSessions: 1 })).toEqual([
      'AgentSelector',
      'PendingSessionCountLimitValidator',
    ]);
  });

  test('add up what they ask for', () => {
    const pendingSlots = (cpu: number) => ({
      pendingSlots: { slots: slots(cpu, 9), unnamed: 'unlimited' as const },
    });
    expect(waits(pendingSlots(9))).toEqual(['AgentSelector']);
    expect(waits(pendingSlots(8))[1]).toBe('PendingSessionResourceLimitValidator');
  });
});

describe('backfill', () => {
  /** Eight cores, two of them free; the large session wants four. */
  const busy = agent('i-a', slots(2, 8), { capacity: slots(8, 8) });
  const large = (more: Partial<PendingSession> = {}) =>
    session('large', slots(4, 1), { createdAt: new Date(0), ...more });
  const small = session('small', slots(1, 1), { createdAt: new Date(2000) });
  const after = (ms: number) => ruled({ reserveAfterMs: ms });

  test('smaller sessions pass a large one that has not waited long', () => {
    expect(placedIn(snapshot([busy], [large(), small], after(6000)))).toEqual(['small']);
  });

  test('after a while the agent is kept free, and the others are told so', () => {
    const taken = snapshot([busy], [large(), small], after(5000));
    expect(placedIn(taken)).toEqual([]);
    expect(plan(taken).waiting[1]?.failed[0]?.msg).toContain(
      'What is free on i-a is kept for a session that has waited longer',
    );
  });

  test('other agents, and what the large session does not need, stay open', () => {
    const other = agent('i-b', slots(1, 1));
    expect(placedIn(snapshot([busy, other], [large(), small], after(0)))).toEqual(['small']);
    const memory = session('memory', slots(0, 3), { createdAt: new Date(2000) });
    expect(placedIn(snapshot([busy], [large(), memory], after(0)))).toEqual(['memory']);
  });

  test('who is surely gone before the agent is needed may use it', () => {
    const ending = [
      {
        ...{ id: 'e', accessKey: 'X', userId: 'x', projectId: 'p', domainName: 'd' },
        ...{ sessionType: 'batch' as const, endsAt: new Date(65_000) },
        kernels: [{ agentId: 'i-a', slots: slots(6, 0) }],
      },
    ];
    const short = { ...small, id: 'short', durationSec: 60 };
    const long = { ...small, id: 'long', durationSec: 61 };
    const taken = snapshot([busy], [large(), long, short], { ...after(0), ending });
    expect(placedIn(taken)).toEqual(['short']);
  });

  test('nothing is kept for a session that no agent could ever take', () => {
    const giant = session('giant', slots(99, 1), { createdAt: new Date(0) });
    expect(placedIn(snapshot([busy], [giant, small], after(0)))).toEqual(['small']);
  });
});
