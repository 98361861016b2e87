/** Comparing what an agent holds with what the database wants of it. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { actualStates } from '../../common/protocol/kernel.ts';
import { isStarting, isTerminal, kernelStatuses } from '../session/status.ts';
import { type KnownKernel, reconcile } from './reconcile.ts';

const NOW_MS = 1_000_000;
const ids = ['k1', 'k2', 'k3', 'k4'];

const someKnown = fc.uniqueArray(
  fc.record({
    id: fc.constantFrom(...ids),
    sessionId: fc.constant('s'),
    status: fc.constantFrom(...kernelStatuses),
    statusInfo: fc.constantFrom(null, 'user-requested', 'idle-timeout'),
    agentId: fc.constantFrom('a', 'b', null),
    host: fc.constantFrom('10.0.0.1', '10.0.0.2', null),
    statusChangedAt: fc.constantFrom(new Date(0), new Date(NOW_MS)),
  }),
  { selector: (row: KnownKernel) => row.id },
);
const someHeld = fc.uniqueArray(
  fc.record({
    kernelId: fc.constantFrom(...ids),
    sessionId: fc.constant('s'),
    state: fc.constantFrom(...actualStates),
    host: fc.constantFrom('10.0.0.1', '10.0.0.2', undefined),
  }),
  { selector: (kernel) => kernel.kernelId },
);

test('every kernel held is either wanted or ended, and every one wanted is held, started or missed', () => {
  fc.assert(
    fc.property(someHeld, someKnown, fc.boolean(), (held, known, again) => {
      const missingBefore = new Map(again ? ids.map((id) => [id, 0] as const) : []);
      const outcome = reconcile({ agentId: 'a', held, known, missingBefore, nowMs: NOW_MS });
      const ended = new Set(outcome.end.map((item) => item.kernelId));
      for (const { kernelId, host } of held) {
        const row = known.find((item) => item.id === kernelId);
        const wanted =
          row?.agentId === 'a' && !isTerminal(row.status) && row.status !== 'TERMINATING';
        expect(ended.has(kernelId)).toBe(!wanted);
        const before = row?.agentId === 'a' && !isTerminal(row.status) ? row.host : null;
        const hasMoved = before !== null && host !== undefined && host !== before;
        const moved = outcome.moved.filter((kernel) => kernel.kernelId === kernelId);
        expect(moved).toEqual(hasMoved ? [{ kernelId, host }] : []);
      }
      const reported = new Set(outcome.reports.map((item) => item.kernelId));
      for (const row of known) {
        const mine = row.agentId === 'a' && !isTerminal(row.status);
        const absent = mine && !held.some((kernel) => kernel.kernelId === row.id);
        const settled = row.statusChangedAt?.getTime() === 0;
        const isUp = held.some(({ kernelId, state }) => kernelId === row.id && state === 'running');
        const mustHear = absent || (mine && isUp);
        expect(outcome.start.includes(row.id)).toBe(mustHear && isStarting(row.status) && settled);
        expect(outcome.missing.has(row.id)).toBe(absent && !isStarting(row.status));
        // One heartbeat proves nothing.
        expect(reported.has(row.id)).toBe(absent && !isStarting(row.status) && again);
      }
    }),
  );
});
