/** Background loops: woken by causes, coalesced, retried, stopped. */
import { expect, test } from 'bun:test';
import { jumpingClock } from '../testing/control-plane.ts';
import { silentLog } from '../testing/manager.ts';
import { eventually } from '../testing/services.ts';
import { startLoop } from './loop.ts';

const HOUR_MS = 3_600_000;

test('wakes during a pass make exactly one more pass', async () => {
  let release = () => {};
  let passes = 0;
  const loop = startLoop({
    ...{ name: 'test', sweepMs: HOUR_MS, log: silentLog },
    run: () => {
      passes += 1;
      return new Promise((resolve) => {
        release = resolve;
      });
    },
  });
  loop.wake();
  loop.wake();
  loop.wake();
  release();
  await eventually('the second pass', () => passes === 2);
  release();
  const stopped = loop.stop();
  await stopped;
  loop.wake();
  expect(passes).toBe(2);
});

test('a pass is made now and then without a cause, and after a failure', async () => {
  const clock = jumpingClock();
  let passes = 0;
  let failing = true;
  const loop = startLoop({
    ...{ name: 'test', sweepMs: HOUR_MS, retryMs: 60_000, clock, log: silentLog },
    async run() {
      passes += 1;
      if (failing) throw new Error('not yet');
    },
  });
  await eventually('the first pass', () => passes === 1);
  await Bun.sleep(0);
  clock.jump(61_000);
  await eventually('the retry', () => passes === 2);
  failing = false;
  await Bun.sleep(0);
  clock.jump(61_000);
  await eventually('the second retry', () => passes === 3);
  await Bun.sleep(0);
  clock.jump(61_000);
  expect(passes).toBe(3);
  clock.jump(HOUR_MS);
  await eventually('the sweep', () => passes === 4);
  await loop.stop();
});

test('stopping waits for the pass in progress', async () => {
  let over = false;
  let release = () => {};
  const loop = startLoop({
    ...{ name: 'test', sweepMs: HOUR_MS, log: silentLog },
    async run() {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      over = true;
    },
  });
  const stopped = loop.stop();
  release();
  await stopped;
  expect(over).toBe(true);
});
