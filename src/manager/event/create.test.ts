/** Announcements between managers, over a live store that may fail. */
import { expect, test } from 'bun:test';
import { systemClock } from '../../common/clock.ts';
import type { Logger } from '../../common/logger.ts';
import { createMemoryLiveStore } from '../../stores/live/memory.ts';
import { silentLog } from '../../testing/manager.ts';
import { eventually } from '../../testing/services.ts';
import type { ManagerEvent } from './bus.ts';
import { createEventBus } from './create.ts';

const wake: ManagerEvent = { type: 'wake', loop: 'schedule' };

test('reach own listeners at once and siblings once, never twice', async () => {
  const live = createMemoryLiveStore({ clock: systemClock });
  const one = await createEventBus(live, 'i-one', systemClock, silentLog);
  const two = await createEventBus(live, 'i-two', systemClock, silentLog);
  const heard: string[] = [];
  one.subscribe((event) => heard.push(`one ${event.type}`));
  const leave = two.subscribe((event) => heard.push(`two ${event.type}`));
  one.publish(wake);
  expect(heard).toEqual(['one wake']);
  await eventually('the sibling hears it', () => heard.length === 2);
  leave();
  two.publish(wake);
  await eventually('the other way round', () => heard.length === 3);
  expect(heard).toEqual(['one wake', 'two wake', 'one wake']);
  await one.close();
  await two.close();
  await live.close();
});

test('survive a failing listener, a failing store and malformed messages', async () => {
  const live = createMemoryLiveStore({ clock: systemClock });
  const warnings: string[] = [];
  const log: Logger = { ...silentLog, warn: (text) => warnings.push(text) };
  const broken = {
    publish: () => Promise.reject(new Error('no store')),
    streamAdd: () => Promise.reject(new Error('no store')),
    streamRead: live.streamRead.bind(live),
    streamLast: live.streamLast.bind(live),
    subscribe: live.subscribe.bind(live),
  };
  const bus = await createEventBus(broken, 'i-one', systemClock, log);
  const heard: ManagerEvent[] = [];
  bus.subscribe(() => {
    throw new Error('a faulty listener');
  });
  bus.subscribe((event) => heard.push(event));
  bus.publish(wake);
  bus.publish(wake);
  expect(heard).toHaveLength(2);
  await live.publish('manager/events', 'not json');
  await live.publish('manager/events', '{"from":"i-two","event":{"type":"nonsense"}}');
  await eventually('both are noticed', () => warnings.length === 3);
  expect(warnings.filter((text) => text.includes('malformed'))).toHaveLength(2);
  expect(warnings.filter((text) => text.includes('cannot announce'))).toHaveLength(1);
  await bus.close();
  await live.close();
});
