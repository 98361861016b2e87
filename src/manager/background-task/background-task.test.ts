/** Background tasks: what watchers see, who may watch, and what becomes of a task without its manager. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { systemClock } from '../../common/clock.ts';
import { systemRandom } from '../../common/random.ts';
import { createMemoryLiveStore } from '../../stores/live/memory.ts';
import {
  signingClient,
  silentLog,
  type TestServer,
  testManagerServer,
} from '../../testing/manager.ts';
import { backgroundTaskRoutes } from './rest.ts';
import { BackgroundTasks, type TaskEvent } from './service.ts';

let server: TestServer;
beforeAll(async () => {
  server = await testManagerServer({ routes: async (ctx) => backgroundTaskRoutes(ctx) });
});
afterAll(() => server.close());

const never = new AbortController().signal;

test('a watcher gets each report and the end as server-sent events', async () => {
  const go = Promise.withResolvers<void>();
  const { user } = server.accounts;
  const id = await server.ctx.tasks.start(user, 'copy', async (report) => {
    await go.promise;
    await report({ current: 1, total: 2, message: 'half' });
    return 'all copied';
  });
  const client = signingClient(server.url, user);
  const response = await client('GET', `/events/background-task?task_id=${id}`);
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  go.resolve();
  const text = await response.text();
  const events = [...text.matchAll(/event: (\w+)\ndata: (.*)\n/g)].map(([, name, data]) => [
    name,
    JSON.parse(data ?? ''),
  ]);
  expect(events).toEqual([
    ['bgtask_updated', { task_id: id, message: 'copy', current_progress: 0, total_progress: 0 }],
    ['bgtask_updated', { task_id: id, message: 'half', current_progress: 1, total_progress: 2 }],
    ['bgtask_done', { task_id: id, message: 'all copied' }],
    ['server_close', {}],
  ]);
  expect(text).toContain('retry: 5\n');
});

test('a watcher that was cut off goes on where it stopped, and learns what is lost', async () => {
  const { user } = server.accounts;
  const long = Promise.withResolvers<void>();
  const id = await server.ctx.tasks.start(user, 'copy', async (report) => {
    for (let n = 1; n <= 300; n += 1) await report({ current: n, total: 300, message: `${n}` });
    long.resolve();
    return 'all copied';
  });
  const client = signingClient(server.url, user);
  const target = `/events/background-task?task_id=${id}`;
  await long.promise;
  const ask = async (place?: string) => {
    const headers = place === undefined ? undefined : { 'Last-Event-ID': place };
    const text = await (await client('GET', target, undefined, headers)).text();
    return [...text.matchAll(/(?:id: (.*)\nretry: 5\n)?event: (\w+)\ndata: (.*)\n/g)].map(
      ([, place, name, data]) => ({ place, name, data: JSON.parse(data ?? '') }),
    );
  };
  const names = async (place?: string) => (await ask(place)).map(({ name }) => name);
  // Reports are no more than 256.
  const all = await ask('1-0');
  expect(all[0]).toMatchObject({ name: 'events_missed', data: { last_event_id: '1-0' } });
  expect(all).toHaveLength(1 + 256 + 1);
  const late = all.at(-4);
  expect(await names(late?.place)).toEqual(['bgtask_updated', 'bgtask_done', 'server_close']);
  expect(await names()).toEqual(['bgtask_done', 'server_close']);
  expect(await names('nonsense')).toEqual(['events_missed', 'bgtask_done', 'server_close']);
});

test('a finished task shows its end; a failed one says why', async () => {
  const { user } = server.accounts;
  const id = await server.ctx.tasks.start(user, 'copy', async () => {
    throw new Error('the disk is full');
  });
  const events: TaskEvent[] = [];
  for await (const event of server.ctx.tasks.watch(id, '0', never)) events.push(event);
  expect(events.at(-1)).toMatchObject({ state: 'failed', message: 'the disk is full' });
  const client = signingClient(server.url, user);
  const again = await (await client('GET', `/events/background-task?taskId=${id}`)).text();
  expect(again).toContain('event: bgtask_failed');
});

test('only the owner and superadmins may watch', async () => {
  const { user, admin, superadmin } = server.accounts;
  const id = await server.ctx.tasks.start(user, 'copy', async () => 'done');
  const status = async (account: typeof user, task: string) =>
    (await signingClient(server.url, account)('GET', `/events/background-task?task_id=${task}`))
      .status;
  expect(await status(user, id)).toBe(200);
  expect(await status(superadmin, id)).toBe(200);
  expect(await status(admin, id)).toBe(404);
  expect(await status(user, crypto.randomUUID())).toBe(404);
  expect(await status(user, 'thing')).toBe(400);
});

test('stopping a manager cancels its tasks; a dead one is noticed', async () => {
  const live = createMemoryLiveStore({ clock: systemClock });
  const options = { live, clock: systemClock, random: systemRandom, log: silentLog };
  const tasks = new BackgroundTasks(options);
  const id = await tasks.start({ userId: 'me' }, 'wait', (_report, signal) =>
    systemClock.sleep(1e9, signal).then(() => ''),
  );
  await tasks.stop();
  const sibling = new BackgroundTasks(options);
  const last = async (task: string) => {
    let seen: TaskEvent | undefined;
    for await (const event of sibling.watch(task, null, never)) seen = event;
    return seen?.state;
  };
  expect(await last(id)).toBe('cancelled');
  await expect(tasks.start({ userId: 'me' }, 'more', async () => '')).rejects.toThrow('no more');

  const other = new BackgroundTasks(options);
  const abandoned = await other.start({ userId: 'me' }, 'wait', (_report, signal) =>
    systemClock.sleep(1e9, signal).then(() => ''),
  );
  // As if its manager had been killed: no sign of life, no ending.
  await live.delete(`bgtask/${abandoned}/alive`);
  expect(await last(abandoned)).toBe('failed');
  await other.stop();
  await live.close();
});
