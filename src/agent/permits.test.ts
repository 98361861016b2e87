/** Permits: never more than allowed, in order, and none lost when a waiter gives up. */
import { expect, test } from 'bun:test';
import { Permits } from './permits.ts';

const forever = new AbortController().signal;

test('waiters get their turn in order, and giving back twice counts once', async () => {
  const permits = new Permits(1);
  const release = await permits.acquire(forever);
  const order: string[] = [];
  const second = permits.acquire(forever).then((give) => {
    order.push('second');
    return give;
  });
  const third = permits.acquire(forever).then((give) => {
    order.push('third');
    return give;
  });
  expect(order).toEqual([]);
  release();
  release();
  const giveSecond = await second;
  expect(order).toEqual(['second']);
  giveSecond();
  await third;
  expect(order).toEqual(['second', 'third']);
});

test('a waiter that gives up does not take a permit with it', async () => {
  const permits = new Permits(1);
  const release = await permits.acquire(forever);
  const abort = new AbortController();
  const given = permits.acquire(abort.signal);
  abort.abort(new Error('enough'));
  await expect(given).rejects.toThrow('enough');
  release();
  await permits.acquire(forever);
});
