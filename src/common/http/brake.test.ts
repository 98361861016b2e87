/** Slowing a peer down: once, until it is let go, and never so long that it is taken for lost. */
import { expect, test } from 'bun:test';
import { type Clock, systemClock } from '../clock.ts';
import { Brake } from './brake.ts';

function start() {
  const acts: boolean[] = [];
  let due: (() => void) | null = null;
  const clock: Clock = {
    ...systemClock,
    timer(ms, run) {
      // Servers wait 120 seconds for the answer to a ping.
      expect(ms).toBeLessThan(120_000);
      due = run;
      return {
        cancel: () => {
          due = null;
        },
      };
    },
  };
  return { acts, brake: new Brake((isHeld) => acts.push(isHeld), clock), isDue: () => due };
}

test('a peer is held once and let go once', () => {
  const { acts, brake, isDue } = start();
  brake.letGo();
  brake.hold();
  brake.hold();
  expect(acts).toEqual([true]);
  brake.letGo();
  brake.letGo();
  expect(acts).toEqual([true, false]);
  expect(isDue()).toBeNull();
});

test('a peer that is held for long may send a little, and is held again', () => {
  const { acts, brake, isDue } = start();
  brake.hold();
  isDue()?.();
  expect(acts).toEqual([true, false]);
  brake.hold();
  expect(acts).toEqual([true, false, true]);
});
