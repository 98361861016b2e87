/** The live store in memory: the contract, and its bounds. */
import { expect, test } from 'bun:test';
import { type Clock, systemClock } from '../../common/clock.ts';
import { liveStoreContract } from './contract.ts';
import { createMemoryLiveStore } from './memory.ts';

function manualClock(): Clock & { advance(ms: number): void } {
  let nowMs = 1_700_000_000_000;
  return {
    ...systemClock,
    now: () => new Date(nowMs),
    monotonicMs: () => nowMs,
    advance: (ms) => {
      nowMs += ms;
    },
  };
}

liveStoreContract('memory live store', async () => {
  const clock = manualClock();
  const store = createMemoryLiveStore({ clock });
  return { store, advance: clock.advance, dispose: () => store.close() };
});

test('beyond the bound the least recently written key is forgotten', async () => {
  const store = createMemoryLiveStore({ clock: manualClock(), maxKeys: 3 });
  for (const key of ['a', 'b', 'c']) await store.set(key, key);
  await store.increment('n');
  expect(await store.get('a')).toBeNull();
  await store.set('b', 'again');
  await store.set('d', 'd');
  expect(await store.get('c')).toBeNull();
  expect(await store.get('b')).toBe('again');
});

test('expired keys make room before living ones are forgotten', async () => {
  const clock = manualClock();
  const store = createMemoryLiveStore({ clock, maxKeys: 2 });
  await store.set('old', '1');
  await store.set('dead', '1', { ttlMs: 10 });
  clock.advance(20);
  await store.set('new', '1');
  expect(await store.get('old')).toBe('1');
  expect(await store.get('new')).toBe('1');
});

test('a collection is bounded too', async () => {
  const store = createMemoryLiveStore({ clock: manualClock(), maxMembers: 2 });
  await store.hashSet('h', { a: '1', b: '2', c: '3' });
  expect(await store.hashGetAll('h')).toEqual({ b: '2', c: '3' });
  for (const [member, score] of [
    ['x', 3],
    ['y', 1],
    ['z', 2],
  ] as const) {
    await store.sortedAdd('s', member, score);
  }
  expect(await store.sortedRange('s', 0, 9)).toEqual(['z', 'x']);
  for (const n of ['1', '2', '3']) await store.streamAdd('t', { n }, 100);
  expect((await store.streamRead('t', '0', 9)).map((entry) => entry.fields.n)).toEqual(['2', '3']);
});

test("a subscriber's error is reported and reaches nobody else", async () => {
  const errors: unknown[] = [];
  const heard: string[] = [];
  const store = createMemoryLiveStore({
    clock: manualClock(),
    onListenerError: (error) => errors.push(error),
  });
  await store.subscribe('c', () => {
    throw new Error('broken listener');
  });
  await store.subscribe('c', (message) => heard.push(message));
  await store.publish('c', 'hello');
  await Promise.resolve();
  expect(heard).toEqual(['hello']);
  expect(errors).toHaveLength(1);
});
