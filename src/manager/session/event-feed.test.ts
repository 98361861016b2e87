/** Events for a client that takes them too slowly: none is left out in the middle. */
import { expect, test } from 'bun:test';
import { systemClock } from '../../common/clock.ts';
import { createMemoryLiveStore } from '../../stores/live/memory.ts';
import { silentLog } from '../../testing/manager.ts';
import { until } from '../../testing/until.ts';
import type { StatusEvent } from '../event/bus.ts';
import { createEventBus } from '../event/create.ts';
import type { LoggedPage } from '../event/log.ts';
import { openFeed } from './event-feed.ts';
import { statusEvents } from './events.ts';

const nameOf = (n: number) => `s${n}`;
const event = (n: number): StatusEvent => ({
  ...{ type: 'session-status', sessionId: nameOf(n), status: 'RUNNING', reason: 'test' },
});
const names = (count: number) => Array.from({ length: count }, (_none, n) => nameOf(n));

async function startBus() {
  const live = createMemoryLiveStore({ clock: systemClock });
  const bus = await createEventBus(live, 'i-one', systemClock, silentLog);
  const close = async () => {
    await bus.close();
    await live.close();
  };
  return { bus, close };
}

test('a feed of which too much waits ends where it was full, although there is room again', async () => {
  const { bus, close } = await startBus();
  let logged = 0;
  await bus.log.follow(({ events }) => {
    logged += events.length;
  });
  const { signal } = new AbortController();
  const pages = await openFeed({ eventLog: bus.log }, () => true, null, signal);
  for (let n = 0; n < 1_500; n += 1) bus.publish(event(n));
  await until(() => logged === 1_500, 'more is logged than may wait');
  const got: string[] = [];
  const take = async () => {
    const page = await pages.next();
    for (const { event: one } of page.value?.events ?? []) got.push(one.sessionId);
    return page.done;
  };
  await take();
  for (let n = 1_500; n < 1_600; n += 1) bus.publish(event(n));
  await until(() => logged === 1_600, 'more is logged');
  while (!(await take()));
  expect(got.length).toBeGreaterThan(900);
  expect(got).toEqual(names(got.length));
  await close();
});

test('so does a subscription', async () => {
  const { bus, close } = await startBus();
  const { signal } = new AbortController();
  const filter = { sessionId: null, sessions: true, kernels: false };
  const events = statusEvents({ events: bus }, filter, signal);
  const first = events.next();
  for (let n = 0; n < 1_500; n += 1) bus.publish(event(n));
  const got = [(await first).value?.sessionId];
  got.push((await events.next()).value?.sessionId);
  bus.publish(event(1_500));
  for await (const { sessionId } of events) got.push(sessionId);
  expect(got.length).toBeGreaterThan(900);
  expect(got).toEqual(names(got.length));
  await close();
});

test('a gap is told where it is', async () => {
  const told = Promise.withResolvers<(page: LoggedPage) => void>();
  const eventLog = {
    follow: async (follower: (page: LoggedPage) => void) => {
      told.resolve(follower);
      return { entry: '0-0', leave: () => undefined };
    },
    replay: async function* (): AsyncGenerator<LoggedPage> {},
  };
  const ended = new AbortController();
  const pages = await openFeed({ eventLog }, () => true, null, ended.signal);
  const tell = await told.promise;
  const page = (...ids: number[]) => ids.map((n) => ({ event: event(n), place: `1-${n}.0` }));
  tell({ events: page(0, 1), isGap: false });
  tell({ events: page(2), isGap: true });
  tell({ events: [], isGap: true });
  const seen: unknown[] = [];
  for (let taken = 0; taken < 3; taken += 1) {
    const next = await pages.next();
    if (next.done) break;
    const { events, isGap } = next.value;
    seen.push([isGap, events.map(({ event: one }) => one.sessionId)]);
  }
  expect(seen).toEqual([
    [false, ['s0', 's1']],
    [true, ['s2']],
    [true, []],
  ]);
  ended.abort();
  expect((await pages.next()).done).toBe(true);
});
