/** Calls of `callback_url` on a whole control plane, with receivers of every kind. */
import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test';
import * as v from 'valibot';
import { type ControlPlaneFixture, controlPlaneFixture } from '../../testing/control-plane.ts';
import { eventually } from '../../testing/services.ts';
import { SimulatedAgent } from '../../testing/simulated-agent.ts';
import { getSession, terminateSession, waitForSession } from './service.ts';

let cluster: ControlPlaneFixture;
const closing: (() => Promise<void>)[] = [];

beforeAll(async () => {
  cluster = await controlPlaneFixture();
});
afterEach(async () => {
  await cluster.reset();
  for (const close of closing.splice(0)) await close();
});
afterAll(() => cluster.close());

const call = v.object({
  type: v.literal('session_lifecycle'),
  event: v.string(),
  session_id: v.string(),
  when: v.pipe(v.string(), v.isoTimestamp()),
  status_history: v.record(v.string(), v.string()),
  result: v.string(),
  status_data: v.record(v.string(), v.unknown()),
});

/** A server of somebody's own. @param answer what it says to a call; by default that all is well. */
function receiver(answer: (count: number) => Response | Promise<Response> = () => new Response()) {
  const calls: v.InferOutput<typeof call>[] = [];
  let count = 0;
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      const body = v.parse(call, await request.json());
      count += 1;
      const response = await answer(count);
      if (response.ok) calls.push(body);
      return response;
    },
  });
  closing.push(() => server.stop(true));
  return { url: `http://127.0.0.1:${server.port}/hook`, calls, count: () => count };
}

const events = (calls: readonly { event: string }[]) => calls.map(({ event }) => event);
const queued = async () => (await cluster.sql`SELECT id FROM session_callbacks`).length;
const drained = () => eventually('nothing is left to tell', async () => (await queued()) === 0);

async function runThrough(name: string, callbackUrl: string): Promise<string> {
  const sessionId = await cluster.enqueue(name, { callbackUrl });
  await waitForSession(cluster.ctx, sessionId, { until: 'running', timeoutMs: 15_000 });
  await terminateSession(cluster.ctx, { sessionId });
  await waitForSession(cluster.ctx, sessionId, { until: 'ended', timeoutMs: 15_000 });
  return sessionId;
}

const LIFE = [
  'enqueued',
  'scheduled',
  'preparing',
  'creating',
  'started',
  'terminating',
  'terminated',
];

test('each change is told once, in order, with what clients read of it', async () => {
  await cluster.join(await cluster.start(), new SimulatedAgent());
  const hook = receiver();
  const sessionId = await runThrough('told', hook.url);
  await drained();
  expect(events(hook.calls)).toEqual(LIFE);
  const last = hook.calls.at(-1);
  expect(last).toMatchObject({ session_id: sessionId, result: 'UNDEFINED' });
  expect(last?.status_history).toEqual((await getSession(cluster.ctx, sessionId)).statusHistory);
  expect(last?.status_data).toMatchObject({ kernel: { exit_code: 0 } });
});

test("a batch job's result goes before the end that follows from it", async () => {
  const agent = await cluster.join(await cluster.start(), new SimulatedAgent());
  const hook = receiver();
  const job = { sessionType: 'batch', startupCommand: 'false', callbackUrl: hook.url } as const;
  const sessionId = await cluster.enqueue('job', job);
  const up = await waitForSession(cluster.ctx, sessionId, { until: 'running', timeoutMs: 15_000 });
  agent.emit(up?.mainKernel.id ?? '', sessionId, {
    ...{ kind: 'batch-finished', result: 'failure', reason: 'task-failed', exitCode: 3 },
  });
  await waitForSession(cluster.ctx, sessionId, { until: 'ended', timeoutMs: 15_000 });
  await drained();
  expect(events(hook.calls).slice(-3)).toEqual(['failure', 'terminating', 'terminated']);
  expect(hook.calls.at(-1)).toMatchObject({
    result: 'FAILURE',
    status_data: { session: { exit_code: 3 } },
  });
});

test('a server that fails is called again later, in order; one that sends elsewhere counts as failing', async () => {
  await cluster.join(await cluster.start(), new SimulatedAgent());
  const elsewhere = receiver();
  const hook = receiver((count) => {
    if (count === 1) return new Response('busy', { status: 503 });
    if (count === 2) return Response.redirect(elsewhere.url, 307);
    return new Response();
  });
  await runThrough('patient', hook.url);
  await eventually('the first call failed', () => hook.count() >= 1);
  await eventually('all is told', async () => {
    cluster.clock.jump(1_000);
    return (await queued()) === 0;
  });
  expect(events(hook.calls)).toEqual(LIFE);
  expect(elsewhere.count()).toBe(0);
});

test('managers that come and go lose nothing', async () => {
  const plane = await cluster.start();
  await cluster.join(plane, new SimulatedAgent());
  let up = false;
  const hook = receiver(() => new Response(null, { status: up ? 200 : 500 }));
  await runThrough('kept', hook.url);
  await plane.stop();
  expect(await queued()).toBe(LIFE.length);
  up = true;
  await cluster.start(await cluster.sibling('i-next'));
  await eventually('the next manager tells it', async () => {
    cluster.clock.jump(5_000);
    return (await queued()) === 0;
  });
  expect(events(hook.calls)).toEqual(LIFE);
});

test('a server that hangs, with many sessions, keeps no other waiting', async () => {
  await cluster.join(
    await cluster.start(),
    new SimulatedAgent({ slots: { cpu: '400', mem: '999999999999' } }),
  );
  const hung = Promise.withResolvers<Response>();
  const bad = receiver(() => hung.promise);
  const good = receiver();
  for (let index = 0; index < 20; index += 1)
    await cluster.enqueue(`bad-${index}`, { callbackUrl: bad.url });
  await runThrough('good', good.url);
  await eventually('the good one is told all', () => good.calls.length === LIFE.length);
  expect(bad.count()).toBeLessThanOrEqual(4);
  hung.resolve(new Response(null, { status: 500 }));
});

test('a server that never takes a call is given up, and so is what is a day old', async () => {
  await cluster.join(await cluster.start(), new SimulatedAgent());
  const hook = receiver(() => new Response(null, { status: 404 }));
  const sessionId = await cluster.enqueue('refused', { callbackUrl: hook.url });
  await waitForSession(cluster.ctx, sessionId, { until: 'running', timeoutMs: 15_000 });
  const first = async () =>
    (await cluster.sql`SELECT 1 FROM session_callbacks WHERE body->>'event' = 'enqueued'`).length;
  await eventually('the first call is given up', async () => {
    cluster.clock.jump(600_000);
    return (await first()) === 0;
  });
  cluster.clock.jump(25 * 60 * 60 * 1000);
  await drained();
  expect(hook.calls).toEqual([]);
});
