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
  const followed = await log.follow((events) => heard.push(...events));
  return { heard, ...followed };
}

async function replayed({ log }: ManagedEventBus, place: string, lastEntry: string) {
  const all: LoggedEvent[] = [];
  for await (const page of log.replay(place, lastEntry)) all.push(...page);
  return all;
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
  expect(await two.log.holds(place)).toBe(true);
  expect(names(await replayed(two, place, later.entry))).toEqual(numbers(42, 100));
  two.publish(event(100));
  await until(() => later.heard.length > 0, 'the new one is heard');
  expect(names(later.heard)).toEqual([100]);
  // What one hears as it comes is not read once more.
  expect(names(await replayed(two, place, later.entry))).toEqual(numbers(42, 100));
});

test('what is too long ago is forgotten, and known to be', async () => {
  const short = await EventLog.open(live, systemClock, silentLog, 4);
  const first = await follow({ log: short });
  for (const n of numbers(0, 100)) {
    short.append(event(n));
    await until(() => first.heard.length === n + 1, 'it is written');
  }
  const [oldest, ...others] = first.heard.slice(-4);
  expect(await short.holds(first.heard[0]?.place ?? '')).toBe(false);
  expect(await short.holds(oldest?.place ?? '')).toBe(true);
  const { entry } = await follow(two);
  expect(await replayed(two, first.heard[0]?.place ?? '', entry)).toEqual(first.heard.slice(-4));
  expect(await replayed(two, oldest?.place ?? '', entry)).toEqual(others);
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
  expect(await bus.log.holds(heard[40]?.place ?? '')).toBe(true);
  await bus.close();
});
