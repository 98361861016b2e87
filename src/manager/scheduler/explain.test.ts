/** Explanations, by property: everybody waiting has one, and what is suggested works. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { parseSlots, type Slots } from '../../common/slots.ts';
import {
  agent,
  anySnapshot,
  ruled,
  session,
  slots,
  snapshot,
  unlimited,
} from '../../testing/scheduling.ts';
import { type Explanation, explain } from './explain.ts';
import { plan } from './plan.ts';
import type { PendingSession, Snapshot } from './snapshot.ts';
import { applySuggestion } from './suggestion.ts';

const explainAll = (taken: Snapshot, minimum: Slots = new Map()) =>
  explain(
    taken,
    new Set(taken.pending.map(({ id }) => id)),
    new Map(taken.pending.map(({ id }) => [id, minimum])),
  );

function explainOne(taken: Snapshot, id: string, minimum?: Slots): Explanation {
  const found = explainAll(taken, minimum).get(id);
  if (!found) throw new Error(`no explanation of ${id}`);
  return found;
}

describe('an explanation', () => {
  test('is there for every pending session, says what the plan says, and counts the queue', () => {
    fc.assert(
      fc.property(anySnapshot, (taken) => {
        const all = explainAll(taken);
        expect([...all.keys()].sort()).toEqual(taken.pending.map(({ id }) => id).sort());
        const { placements, waiting } = plan(taken);
        for (const { sessionId, kernels } of placements) {
          const { agents, failed, estimatedStart } = all.get(sessionId) ?? {};
          expect({ agents, failed, estimatedStart }).toEqual({
            agents: [...new Set(kernels.map(({ agentId }) => agentId))],
            ...{ failed: [], estimatedStart: taken.now },
          });
        }
        for (const { sessionId, failed } of waiting) {
          expect(all.get(sessionId)?.failed).toEqual(failed);
        }
        for (const group of ['g', 'h']) {
          const places = taken.pending
            .filter(({ scalingGroup }) => scalingGroup === group)
            .map(({ id }) => all.get(id)?.position ?? 0);
          expect(places.sort((a, b) => a - b)).toEqual(places.map((_, index) => index + 1));
        }
      }),
    );
  });

  test('suggests only what the scheduler then starts', () => {
    let suggestions = 0;
    fc.assert(
      fc.property(anySnapshot, (taken) => {
        for (const [id, { suggestion }] of explainAll(taken, slots(1, 1))) {
          if (!suggestion) continue;
          suggestions += 1;
          const changed = taken.pending.map((item) =>
            item.id === id ? applySuggestion(item, suggestion) : item,
          );
          const { placements } = plan({ ...taken, pending: changed });
          expect(placements.map(({ sessionId }) => sessionId)).toContain(id);
        }
      }),
    );
    expect(suggestions).toBeGreaterThan(20);
  });

  test('suggests nothing below what the image needs, and nothing larger than was asked', () => {
    fc.assert(
      fc.property(anySnapshot, (taken) => {
        for (const [id, { suggestion }] of explainAll(taken, slots(2, 3))) {
          const asked = taken.pending.find((item) => item.id === id)?.kernels ?? [];
          for (const [slot, cap] of suggestion?.resources ?? []) {
            const most = asked.reduce((top, { requested }) => {
              const amount = requested.get(slot) ?? 0n;
              return amount > top ? amount : top;
            }, 0n);
            expect(cap < most).toBe(true);
            expect(cap >= (slots(2, 3).get(slot) ?? 0n)).toBe(true);
          }
        }
      }),
    );
  });

  const big = agent('i-big', slots(4, 8), { capacity: slots(8, 8) });
  const near = agent('i-near', slots(5, 2));

  test('names the closest agent and exactly what it lacks', () => {
    const { closest } = explainOne(snapshot([big, near], [session('s', slots(6, 2))]), 's');
    expect(closest).toEqual([
      {
        ...{ kernelIds: ['s-k'], agentId: 'i-near', architecture: null, isFull: false },
        lacksImage: false,
        shortages: [{ slot: 'cpu', requested: 6_000_000n, available: 5_000_000n }],
      },
    ]);
  });

  test('tells that an agent lacks an image which cannot be pulled, and waits for one that has it', () => {
    const wish = session('s', slots(6, 2));
    const kernels = wish.kernels.map((kernel) => ({ ...kernel, localImage: 'local/own:1' }));
    const large = agent('i-large', slots(8, 8));
    const imageAgents = new Map([['local/own:1 x86_64', ['i-near']]]);
    const taken = snapshot([large, near], [{ ...wish, kernels }], { imageAgents });
    expect(explainOne(taken, 's')).toMatchObject({
      agents: [],
      closest: [{ agentId: 'i-near', lacksImage: false, shortages: [{ slot: 'cpu' }] }],
    });
    expect(explainOne(taken, 's').failed[0]?.msg).toContain(
      'i-large (does not have the image, which no registry has either)',
    );
    const known = { ...taken, imageAgents: new Map([['local/own:1 x86_64', ['i-large']]]) };
    expect(explainOne(known, 's').agents).toEqual(['i-large']);
    // Who has it is not known, so that anybody may.
    expect(explainOne({ ...taken, imageAgents: new Map() }, 's').agents).toEqual(['i-large']);
  });

  test('takes off as little as it can', () => {
    const taken = snapshot([big, near], [session('s', slots(6, 2))]);
    expect(explainOne(taken, 's').suggestion?.resources).toEqual(parseSlots({ cpu: 5 }));
    const both = snapshot([big, near], [session('s', slots(6, 9))]);
    expect(explainOne(both, 's').suggestion?.resources).toEqual(slots(4, 8));
  });

  test('counts memory in mebibytes and shares in hundredths', () => {
    const free = parseSlots({ cpu: 8, mem: 1_500_000_000, 'cuda.shares': '1.237' });
    const wanted = (more: Record<string, string | number>) =>
      snapshot([agent('i-a', free)], [session('s', parseSlots({ cpu: 1, ...more }))]);
    const memory = explainOne(wanted({ mem: '4g' }), 's').suggestion?.resources;
    expect(memory).toEqual(parseSlots({ mem: '1430m' }));
    const shares = explainOne(wanted({ 'cuda.shares': '2.5' }), 's').suggestion?.resources;
    expect(shares).toEqual(parseSlots({ 'cuda.shares': '1.23' }));
  });

  test('prefers any agent, or several, to less', () => {
    const designated = session('s', slots(4, 4), { designatedAgents: ['i-near'] });
    const anywhere = explainOne(snapshot([big, near], [designated]), 's').suggestion;
    expect(anywhere).toMatchObject({ anyAgent: true, resources: null });
    const kernels = ['a', 'b'].map((id) => ({
      ...{ id, architecture: 'x86_64', requested: slots(4, 2) },
    }));
    const cluster = session('s', slots(0, 0), { kernels });
    const apart = explainOne(snapshot([big, near], [cluster]), 's').suggestion;
    expect(apart).toMatchObject({ clusterMode: 'multi-node', resources: null, clusterSize: null });
  });

  test('suggests fewer kernels where that gives up less', () => {
    const kernels = ['a', 'b', 'c'].map((id) => ({
      ...{ id, architecture: 'x86_64', requested: slots(4, 2) },
    }));
    const cluster = session('s', slots(0, 0), { kernels, clusterMode: 'multi-node' });
    const { suggestion } = explainOne(snapshot([big, near], [cluster]), 's', slots(4, 2));
    expect(suggestion).toMatchObject({ clusterSize: 2, resources: null });
  });

  test('knows that no change helps where the number of sessions is the limit', () => {
    const keypairLimits = new Map([['AK', { ...unlimited, maxConcurrentSessions: 0 }]]);
    const taken = snapshot([big], [session('s', slots(1, 1))], { keypairLimits });
    const { failed, suggestion } = explainOne(taken, 's');
    expect(failed.map(({ name }) => name)).toEqual(['ConcurrencyLimitValidator']);
    expect(suggestion).toBeNull();
  });

  describe('estimates the start', () => {
    const ending = [
      {
        ...{ id: 'e', accessKey: 'X', userId: 'x', projectId: 'p', domainName: 'd' },
        ...{ sessionType: 'batch' as const, endsAt: new Date(65_000) },
        kernels: [{ agentId: 'i-big', slots: slots(4, 0) }],
      },
    ];
    const large = (id: string, more: Partial<PendingSession> = {}) =>
      session(id, slots(8, 1), { sessionType: 'batch', durationSec: 100, ...more });

    test('by the end of what runs, and of those ahead in the queue', () => {
      const pending = [large('first'), large('second', { createdAt: new Date(2000) })];
      const all = explainAll(snapshot([big], pending, { ending }));
      expect(all.get('first')?.estimatedStart).toEqual(new Date(65_000));
      expect(all.get('second')?.estimatedStart).toEqual(new Date(165_000));
    });

    test('not when nobody knows', () => {
      expect(explainOne(snapshot([big], [large('s')]), 's').estimatedStart).toBeNull();
    });

    test('by the time before which it must not start', () => {
      const later = session('s', slots(1, 1), { sessionType: 'batch', startsAt: new Date(9000) });
      const { estimatedStart, suggestion } = explainOne(snapshot([big], [later]), 's');
      expect(estimatedStart).toEqual(new Date(9000));
      expect(suggestion?.startNow).toBe(true);
    });
  });

  test('tells who is kept waiting by a reservation, and who has it', () => {
    const pending = [
      session('large', slots(8, 1), { createdAt: new Date(0) }),
      session('small', slots(1, 1), { createdAt: new Date(2000) }),
    ];
    const all = explainAll(snapshot([big], pending, ruled({ reserveAfterMs: 0 })));
    expect(all.get('large')).toMatchObject({ hasReservation: true, isBehindReservation: false });
    expect(all.get('small')).toMatchObject({ hasReservation: false, isBehindReservation: true });
  });
});
