/** When a request waits to be counted, and what clients are told of their limit. */
import { expect, test } from 'bun:test';
import { type Clock, systemClock } from '../../common/clock.ts';
import { createMemoryLiveStore } from '../../stores/live/memory.ts';
import { until } from '../../testing/until.ts';
import type { Principal } from '../auth/service.ts';
import { RateLimiter } from './rate-limit.ts';

let nowMs = 1_000_000;
const clock: Clock = { ...systemClock, now: () => new Date(nowMs), monotonicMs: () => nowMs };
const live = createMemoryLiveStore({ clock });

const principal = (accessKey: string, rateLimit: number | null): Principal => ({
  rateLimit,
  allowedClientIp: null,
  caller: {
    ...{ accessKey, userId: 'u', email: 'u@test', username: 'u', role: 'user' },
    ...{ isAdmin: false, isSuperadmin: false, domainName: 'default', resourcePolicy: 'default' },
  },
});

/** A limiter whose store answers when `release` is called; `waiting` are what it was asked. */
function held() {
  const waiting: PromiseWithResolvers<void>[] = [];
  const store: typeof live = Object.create(live, {
    slideWindow: {
      value: async (...args: Parameters<typeof live.slideWindow>) => {
        const turn = Promise.withResolvers<void>();
        waiting.push(turn);
        await turn.promise;
        return live.slideWindow(...args);
      },
    },
  });
  return {
    limiter: new RateLimiter({ live: store, clock, id: 'i-test' }),
    waiting,
    release() {
      for (const { resolve } of waiting.splice(0)) resolve();
    },
    fail() {
      for (const { reject } of waiting.splice(0)) reject(new Error('the store is away'));
    },
  };
}

const remaining = ({ headers }: { headers: Readonly<Record<string, string>> }) =>
  Number(headers['X-RateLimit-Remaining']);

test('far from the limit only the first request waits, and each is counted', async () => {
  const { limiter, waiting, release } = held();
  const first = limiter.record(principal('FAR', 1000));
  release();
  expect(remaining(await first)).toBe(999);
  // The store answers nobody, yet they are let in, and told as exactly.
  expect(remaining(await limiter.record(principal('FAR', 1000)))).toBe(998);
  expect(remaining(await limiter.record(principal('FAR', 1000)))).toBe(997);
  expect(waiting).toHaveLength(2);
  release();
  await until(
    async () => (await live.sortedCount('ratelimit:FAR', 0, nowMs)) === 3,
    'all are counted',
  );
});

test('near the limit every request waits, and those beyond it are refused', async () => {
  const limiter = new RateLimiter({ live, clock, id: 'i-test' });
  const other = new RateLimiter({ live, clock, id: 'i-other' });
  const allowed: boolean[] = [];
  for (let asked = 0; asked < 205; asked += 1) {
    // Two managers see one account; after the first half each knows only the store's count.
    const by = asked < 100 || asked % 2 === 0 ? limiter : other;
    allowed.push((await by.record(principal('NEAR', 200))).allowed);
  }
  expect(allowed.filter((yes) => yes)).toHaveLength(200);
  expect(allowed.slice(200)).toEqual([false, false, false, false, false]);
});

test('after a second without requests the store is asked again', async () => {
  const { limiter, release } = held();
  const first = limiter.record(principal('LATER', 1000));
  release();
  await first;
  nowMs += 1_000;
  let answered = false;
  const second = limiter.record(principal('LATER', 1000)).then(() => {
    answered = true;
  });
  await Promise.resolve();
  expect(answered).toBe(false);
  release();
  await second;
});

test('a failure of the store is told to the next request', async () => {
  const { limiter, release, fail } = held();
  const first = limiter.record(principal('AWAY', null));
  release();
  await first;
  expect((await limiter.record(principal('AWAY', null))).allowed).toBe(true);
  fail();
  // Once the failure has been noted, nobody is let in on an old count.
  await Bun.sleep(0);
  const told = limiter.record(principal('AWAY', null));
  fail();
  await expect(told).rejects.toThrow('the store is away');
});
