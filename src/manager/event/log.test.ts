/** The log of events: shared by managers, bounded, and of no harm when its store fails. */
import { afterEach, beforeEach, expect, test } from 'bun:test';
import { systemClock } from '../../common/clock.ts';
import { createMemoryLiveStore } from '../../stores/live/memory.ts';
import type { LiveStore } from '../../stores/live/port.ts';
import { silentLog } from '../../testing/manager.ts';
import { until } from '../../testing/until.ts';
import type { StatusEvent } from './bus.ts';
import { createEventBus, type ManagedEventBus } from './create.ts';
import { EventLog, type LoggedEvent } from './log.ts';

let live: LiveStore;
let one: ManagedEventBus;
let two: ManagedEventBus;
beforeEach(async () => {
  live = createMemoryLiveStore({ clock: systemClock });
  one = await createEventBus(live, 'i-one', systemClock, silentLog);
  two = await createEventBus(live, 'i-two', systemClock, silentLog);
});
afterEach(async () => {
  await one.close();
  await two.close();
  await live.close();
});

const event = (n: number): StatusEvent => ({
  ...{ type: 'session-status', sessionId: `s${n}`, status: 'RUNNING', reason: 'test' },
});
const names = (events: readonly LoggedEvent[]) =>
  events.map((one) => one.event.sessionId.slice(1)).map(Number);
const numbers = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, index) => from + index);

async function follow({ log }: Pick<ManagedEventBus, 'log'>) {
  const heard: LoggedEvent[] = [];
  /** How much was heard when a gap was told. */
  const gaps: number[] = [];
  const followed = await log.follow(({ events, isGap }) => {
    if (isGap) gaps.push(heard.length);
    heard.push(...events);
  });
  return { heard, gaps, ...followed };
}

async function replayed({ log }: Pick<ManagedEventBus, 'log'>, place: string, lastEntry: string) {
  const all: LoggedEvent[] = [];
  const gaps: number[] = [];
  for await (const { events, isGap } of log.replay(place, lastEntry)) {
    if (isGap) gaps.push(all.length);
    all.push(...events);
  }
  return { events: all, gaps };
}

test('followers of all managers hear the same, in the same order, with the same places', async () => {
  const [here, there] = [await follow(one), await follow(two)];
  for (const n of numbers(0, 100)) (n % 3 === 0 ? two : one).publish(event(n));
  await until(() => here.heard.length === 100 && there.heard.length === 100, 'all is heard');
  expect(there.heard).toEqual(here.heard);
  expect(new Set(here.heard.map(({ place }) => place)).size).toBe(100);
  expect(names(here.heard).toSorted((a, b) => a - b)).toEqual(numbers(0, 100));
});

test('who follows later hears nothing from before, and may read it anywhere', async () => {
  const first = await follow(one);
  for (const n of numbers(0, 100)) one.publish(event(n));
  await until(() => first.heard.length === 100, 'all is written');
  first.leave();
  const later = await follow(two);
  const place = first.heard[41]?.place ?? '';
  const missed = await replayed(two, place, later.entry);
  expect([names(missed.events), missed.gaps]).toEqual([numbers(42, 100), []]);
  two.publish(event(100));
  await until(() => later.heard.length > 0, 'the new one is heard');
  expect(names(later.heard)).toEqual([100]);
  // What one hears as it comes is not read once more.
  expect((await replayed(two, place, later.entry)).events).toEqual(missed.events);
});

test('what is too long ago is forgotten, and known to be', async () => {
  const short = await EventLog.open(live, systemClock, silentLog, 4);
  const first = await follow({ log: short });
  for (const n of numbers(0, 100)) {
    short.append(event(n));
    await until(() => first.heard.length === n + 1, 'it is written');
  }
  const [oldest, ...others] = first.heard.slice(-4);
  const { entry } = await follow(two);
  expect(await replayed(two, first.heard[0]?.place ?? '', entry)).toEqual({
    ...{ events: first.heard.slice(-4), gaps: [0] },
  });
  expect(await replayed(two, oldest?.place ?? '', entry)).toEqual({ events: others, gaps: [] });
  expect(await replayed(two, 'nonsense', entry)).toEqual({ events: [], gaps: [0] });
  await short.close();
});

test('what is written but cannot be announced is heard once', async () => {
  const mute = {
    publish: () => Promise.reject(new Error('no announcements')),
    subscribe: live.subscribe.bind(live),
    streamRead: live.streamRead.bind(live),
    streamLast: live.streamLast.bind(live),
    streamAdd: live.streamAdd.bind(live),
  };
  const bus = await createEventBus(mute, 'i-mute', systemClock, silentLog);
  const { heard } = await follow(bus);
  for (const n of numbers(0, 40)) bus.publish(event(n));
  await until(() => heard.some(({ event: { sessionId } }) => sessionId === 's39'), 'all is heard');
  // Nothing more is on the way then.
  await bus.close();
  expect(names(heard)).toEqual(numbers(0, 40));
  expect(heard.every(({ place }) => place !== null)).toBe(true);
});

test('a store that fails costs the places, not the events; afterwards all is well', async () => {
  let fails = false;
  const flaky = {
    publish: live.publish.bind(live),
    subscribe: live.subscribe.bind(live),
    streamRead: live.streamRead.bind(live),
    streamLast: live.streamLast.bind(live),
    streamAdd: (...args: Parameters<LiveStore['streamAdd']>) =>
      fails ? Promise.reject(new Error('no store')) : live.streamAdd(...args),
  };
  const warnings: string[] = [];
  const log = { ...silentLog, warn: (text: string) => warnings.push(text) };
  const bus = await createEventBus(flaky, 'i-three', systemClock, log);
  const { heard } = await follow(bus);
  fails = true;
  for (const n of numbers(0, 40)) bus.publish(event(n));
  await until(() => heard.length === 40, 'they are heard all the same');
  expect(heard.every(({ place }) => place === null)).toBe(true);
  expect(warnings).toHaveLength(1);
  fails = false;
  bus.publish(event(40));
  await until(() => heard.length === 41, 'the next one is heard');
  expect(names(heard)).toEqual(numbers(0, 41));
  const last = heard[40]?.place ?? '';
  expect(await replayed(bus, last, last.split('.')[0] ?? '')).toEqual({ events: [], gaps: [] });
  await bus.close();
});

const partsOf = (store: LiveStore) => ({
  publish: store.publish.bind(store),
  subscribe: store.subscribe.bind(store),
  streamRead: store.streamRead.bind(store),
  streamLast: store.streamLast.bind(store),
  streamAdd: store.streamAdd.bind(store),
});

test('more than may wait is dropped, which followers everywhere and those who read later are told', async () => {
  const held = Promise.withResolvers<void>();
  const slow = {
    ...partsOf(live),
    streamAdd: async (...args: Parameters<LiveStore['streamAdd']>) => {
      await held.promise;
      return await live.streamAdd(...args);
    },
  };
  const bus = await createEventBus(slow, 'i-slow', systemClock, silentLog);
  const [here, there] = [await follow(bus), await follow(two)];
  for (const n of numbers(1, 17_000)) bus.publish(event(n));
  held.resolve();
  await until(() => here.gaps.length > 0 && there.gaps.length > 0, 'both are told of the gap');
  bus.publish(event(17_000));
  const isTold = ({ heard }: { heard: LoggedEvent[] }) =>
    heard.some(({ event: { sessionId } }) => sessionId === 's17000');
  await until(() => isTold(here) && isTold(there), 'both hear of what comes then');
  expect(there.heard).toEqual(here.heard);
  const kept = names(here.heard);
  const place = kept.indexOf(17_000);
  // Once, before what comes after it; those of one page are told together.
  for (const { gaps } of [here, there]) expect(Math.max(...gaps)).toBeLessThanOrEqual(place);
  expect(kept.slice(0, place)).toEqual(numbers(kept[0] ?? 0, (kept[0] ?? 0) + place));
  // Who reads it later gets the mark as well.
  const before = here.heard[place - 2]?.place ?? '';
  const { entry } = await follow(two);
  const later = await replayed(two, before, entry);
  expect([names(later.events), later.gaps]).toEqual([kept.slice(place - 1), [0]]);
  await bus.close();
});

test('what the store did not take is a gap for those elsewhere', async () => {
  let fails = true;
  const flaky = {
    ...partsOf(live),
    streamAdd: (...args: Parameters<LiveStore['streamAdd']>) =>
      fails ? Promise.reject(new Error('no store')) : live.streamAdd(...args),
  };
  const bus = await createEventBus(flaky, 'i-flaky', systemClock, silentLog);
  const [here, there] = [await follow(bus), await follow(two)];
  bus.publish(event(0));
  await until(() => here.heard.length === 1, 'it is heard here');
  fails = false;
  bus.publish(event(1));
  await until(() => here.heard.length === 2 && there.heard.length === 1, 'the next is heard');
  expect([names(there.heard), there.gaps]).toEqual([[1], [0]]);
  await bus.close();
});

test('what is trimmed while it is read, by a follower or later, is a gap', async () => {
  const short = await EventLog.open(live, systemClock, silentLog, 4);
  const first = await follow({ log: short });
  for (const n of numbers(0, 4)) {
    short.append(event(n));
    await until(() => first.heard.length === n + 1, 'it is written');
  }
  let isHeld = false;
  const held = Promise.withResolvers<void>();
  const waits = {
    ...partsOf(live),
    streamRead: async (...args: Parameters<LiveStore['streamRead']>) => {
      if (isHeld) await held.promise;
      return await live.streamRead(...args);
    },
  };
  const bus = await createEventBus(waits, 'i-waits', systemClock, silentLog);
  const follower = await follow(bus);
  isHeld = true;
  const replay = replayed(bus, first.heard[0]?.place ?? '', follower.entry);
  for (const n of numbers(4, 20)) {
    short.append(event(n));
    await until(() => first.heard.length === n + 1, 'it is written');
  }
  held.resolve();
  expect((await replay).gaps).toEqual([0]);
  await until(() => follower.heard.length === 4, 'what is left is heard');
  expect([names(follower.heard), follower.gaps]).toEqual([numbers(16, 20), [0]]);
  await short.close();
  await bus.close();
});
