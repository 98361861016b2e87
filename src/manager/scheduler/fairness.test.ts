/** Over time, by property: priority counts, nobody starves, and the books of a simulation balance. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { addSlots, type Slots, slotsFit } from '../../common/slots.ts';
import { agent, anySnapshot, ruled, session, slots, snapshot } from '../../testing/scheduling.ts';
import { NO_ROOM } from './obstacles.ts';
import { plan } from './plan.ts';
import { advance } from './simulate.ts';
import type { PendingSession, Snapshot } from './snapshot.ts';

test('a session never waits for one of lower priority', () => {
  fc.assert(
    fc.property(anySnapshot, (taken) => {
      for (const { sessionId, failed } of plan(taken).waiting) {
        if (failed[0]?.name !== NO_ROOM) continue;
        const own = taken.pending.find(({ id }) => id === sessionId);
        const pending = taken.pending.filter(({ priority }) => priority >= (own?.priority ?? 0));
        const without = plan({ ...taken, pending }).placements;
        expect(without.map((item) => item.sessionId)).not.toContain(sessionId);
      }
    }),
  );
});

test('the snapshot after a plan has as much less free as was given, and its plan places nobody', () => {
  fc.assert(
    fc.property(anySnapshot, (taken) => {
      const decided = plan(taken);
      const after = advance(taken, decided, taken.now);
      const sum = (of: Snapshot) =>
        of.agents.reduce<Slots>((total, { free }) => addSlots(total, free), new Map());
      const placed = new Set(decided.placements.map(({ sessionId }) => sessionId));
      const given = taken.pending
        .filter(({ id }) => placed.has(id))
        .flatMap(({ kernels }) => kernels)
        .reduce<Slots>((total, { requested }) => addSlots(total, requested), new Map());
      const [before, rest] = [sum(taken), addSlots(sum(after), given)];
      expect(slotsFit(before, rest) && slotsFit(rest, before)).toBe(true);
      expect(after.pending.map(({ id }) => id).sort()).toEqual(
        decided.waiting.map(({ sessionId }) => sessionId).sort(),
      );
    }),
  );
});

/** Small jobs that keep arriving, each a while; amounts are cores. */
const stream = fc.array(fc.record({ cpu: fc.integer({ min: 1, max: 3 }), sec: fc.nat(40) }), {
  minLength: 200,
  maxLength: 200,
});

describe('a large session behind a stream of small ones', () => {
  const RESERVE_AFTER_MS = 60_000;
  const STEP_MS = 5_000;
  const STEPS = 60;
  const ARRIVALS = 3;

  /** @returns the step in which the large session starts; -1: never. */
  function stepOfStart(
    jobs: readonly { readonly cpu: number; readonly sec: number }[],
    agents: number,
    large: Partial<PendingSession>,
    reserveAfterMs: number,
  ): number {
    const pending = [session('large', slots(4, 1), { createdAt: new Date(5000), ...large })];
    let current = snapshot(
      Array.from({ length: agents }, (_, index) =>
        agent(`i-${index}`, slots(0, 99), { capacity: slots(4, 99) }),
      ),
      pending,
      {
        ...ruled({ reserveAfterMs, strategy: 'concentrated' }),
        // Every agent is busy at first, and gets one core free after the other.
        ending: Array.from({ length: 4 * agents }, (_, index) => ({
          ...{ id: `e-${index}`, accessKey: 'X', userId: 'x', projectId: 'p', domainName: 'd' },
          ...{ sessionType: 'batch' as const, endsAt: new Date(5000 + 10_000 * (1 + (index % 4))) },
          kernels: [{ agentId: `i-${Math.floor(index / 4)}`, slots: slots(1, 0) }],
        })),
      },
    );
    let next = 0;
    for (let step = 0; step < STEPS; step += 1) {
      const arrivals = Array.from({ length: ARRIVALS }, () => {
        const { cpu = 1, sec = 10 } = jobs[next % jobs.length] ?? {};
        next += 1;
        return session(`small-${next}`, slots(cpu, 0), {
          createdAt: new Date(current.now.getTime() + next),
          ...{ sessionType: 'batch', durationSec: 10 + sec },
        });
      });
      current = { ...current, pending: [...current.pending, ...arrivals] };
      const decided = plan(current);
      if (decided.placements.some(({ sessionId }) => sessionId === 'large')) return step;
      current = advance(current, decided, new Date(current.now.getTime() + STEP_MS));
    }
    return -1;
  }

  test('starts soon after agents are kept free for it', () => {
    fc.assert(
      fc.property(stream, fc.integer({ min: 1, max: 3 }), (jobs, agents) => {
        const step = stepOfStart(jobs, agents, {}, RESERVE_AFTER_MS);
        expect(step).toBeGreaterThanOrEqual(0);
        // The longest job takes 50 seconds, and may have started just before, on each of the agents.
        expect(step * STEP_MS).toBeLessThanOrEqual(RESERVE_AFTER_MS + 50_000 + 2 * STEP_MS);
      }),
      { numRuns: 30 },
    );
  }, 60_000);

  test('a cluster of several nodes too', () => {
    fc.assert(
      fc.property(stream, (jobs) => {
        const kernels = ['a', 'b'].map((id) => ({
          ...{ id, architecture: 'x86_64', requested: slots(4, 1) },
        }));
        const step = stepOfStart(jobs, 3, { kernels, clusterMode: 'multi-node' }, RESERVE_AFTER_MS);
        expect(step).toBeGreaterThanOrEqual(0);
      }),
      { numRuns: 30 },
    );
  });

  test('would wait for ever without', () => {
    const jobs = Array.from({ length: 200 }, () => ({ cpu: 1, sec: 40 }));
    expect(stepOfStart(jobs, 1, {}, Number.POSITIVE_INFINITY)).toBe(-1);
    expect(stepOfStart(jobs, 1, {}, RESERVE_AFTER_MS)).toBeGreaterThan(0);
  });
});
