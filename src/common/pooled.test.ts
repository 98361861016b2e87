/** A pool of work: how many at a time, and what a failure ends. */
import { expect, test } from 'bun:test';
import { pooled } from './pooled.ts';

test('all items are worked on, in order and never more than the limit at once', async () => {
  const begun: number[] = [];
  const running: PromiseWithResolvers<void>[] = [];
  const items = Array.from({ length: 10 }, (_, index) => index);
  const all = pooled(items, 3, async (item) => {
    begun.push(item);
    const turn = Promise.withResolvers<void>();
    running.push(turn);
    await turn.promise;
  });
  for (let ended = 0; ended < items.length; ended += 1) {
    expect(begun).toHaveLength(Math.min(items.length, ended + 3));
    running[ended]?.resolve();
    await Bun.sleep(0);
  }
  await all;
  expect(begun).toEqual(items);
});

test('after a failure nothing more is begun', async () => {
  const begun: string[] = [];
  const work = pooled(['a', 'b', 'c', 'd'], 2, async (item) => {
    begun.push(item);
    if (item === 'b') throw new Error('b is broken');
    await Bun.sleep(0);
  });
  await expect(work).rejects.toThrow('b is broken');
  await Bun.sleep(0);
  expect(begun).toEqual(['a', 'b']);
});

test('nothing to do is done', async () => {
  await pooled([], 4, () => Promise.reject(new Error('called')));
});
