/** Idle sessions on a whole control plane end with their reasons, and what people see before. */
import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test';
import { type ControlPlaneFixture, controlPlaneFixture } from '../../testing/control-plane.ts';
import { SimulatedAgent } from '../../testing/simulated-agent.ts';
import { until } from '../../testing/until.ts';
import { noteStatistics } from '../agent/statistics.ts';
import { getSession, waitForSession } from '../session/service.ts';
import { TunnelTracker } from '../session/tunnel-tracker.ts';
import { noteUse } from './activity.ts';
import { createIdleChecks } from './pass.ts';
import { loadIdleReports } from './report.ts';

let cluster: ControlPlaneFixture;
let agent: SimulatedAgent;

/** Lets time pass in steps after which the agent still counts as alive, then looks for idle sessions. */
async function advance(seconds: number): Promise<void> {
  for (let left = seconds; left > 0; left -= 20) {
    await agent.heartbeat();
    cluster.clock.jump(Math.min(left, 20) * 1000);
  }
  await check();
}

beforeAll(async () => {
  cluster = await controlPlaneFixture();
});
afterEach(async () => {
  await cluster.reset();
  await cluster.ctx.config.deletePrefix('config/idle');
  await cluster.ctx.config.deletePrefix('sgroup');
  await limits({ idle_timeout: -1, max_session_lifetime: 0 });
});
afterAll(() => cluster.close());

const limits = (policy: { idle_timeout: number; max_session_lifetime: number }) =>
  cluster.sql`UPDATE keypair_resource_policies SET ${cluster.sql(policy)}`;

const configure = (entries: Record<string, string>) =>
  cluster.ctx.config.putMany(
    new Map(Object.entries(entries).map(([key, value]) => [`config/idle/${key}`, value])),
  );

async function running(name: string, more = {}): Promise<string> {
  const id = await cluster.enqueue(name, more);
  await waitForSession(cluster.ctx, id, { until: 'running', timeoutMs: 15_000 });
  return id;
}

async function endOf(sessionId: string): Promise<string | null> {
  await waitForSession(cluster.ctx, sessionId, { until: 'ended', timeoutMs: 15_000 });
  return (await getSession(cluster.ctx, sessionId)).statusInfo;
}

const statusOf = async (sessionId: string) => (await getSession(cluster.ctx, sessionId)).status;
const check = () => createIdleChecks(cluster.ctx).pass(new AbortController().signal);
const reportOf = async (id: string) => (await loadIdleReports(cluster.ctx, [id])).get(id) ?? {};

test('the leader ends what nobody uses, with the reason in its history', async () => {
  await limits({ idle_timeout: 12, max_session_lifetime: 0 });
  await configure({ enabled: 'network_timeout' });
  agent = await cluster.join(await cluster.start(), new SimulatedAgent());
  const sessionId = await running('unused');
  await check();
  const { network_timeout } = await reportOf(sessionId);
  expect(network_timeout?.remaining).toBeLessThanOrEqual(12);
  expect(network_timeout?.remaining).toBeGreaterThan(0);
  cluster.clock.jump(16_000);
  expect(await endOf(sessionId)).toBe('idle-timeout');
  const history = await cluster.sql`SELECT message FROM session_scheduling_history
    WHERE session_id = ${sessionId} AND to_status = 'TERMINATING'`;
  expect(history).toHaveLength(1);
  expect((await reportOf(sessionId)).network_timeout?.remaining).toBeNull();
  expect(await cluster.ctx.live.get(`session.${sessionId}.last_access`)).toBeNull();
});

test('use keeps a session, and a manager that forgot everything gives it its whole time again', async () => {
  await limits({ idle_timeout: 200, max_session_lifetime: 0 });
  await configure({ enabled: 'network_timeout' });
  agent = await cluster.join(await cluster.start(), new SimulatedAgent());
  const [used, other] = [await running('used'), await running('other')];
  await check();
  await advance(120);
  await noteUse(cluster.ctx, used);
  await advance(100);
  expect(await endOf(other)).toBe('idle-timeout');
  expect(await statusOf(used)).toBe('RUNNING');
  await cluster.ctx.live.delete(`session.${used}.last_access`);
  await check();
  await advance(120);
  expect(await statusOf(used)).toBe('RUNNING');
  await advance(100);
  expect(await endOf(used)).toBe('idle-timeout');
});

test('who is connected is not cut off for being silent, until the connection counts as closed', async () => {
  await limits({ idle_timeout: 60, max_session_lifetime: 0 });
  await configure({ enabled: 'network_timeout', 'app-streaming-packet-timeout': '200s' });
  agent = await cluster.join(await cluster.start(), new SimulatedAgent());
  const sessionId = await running('connected');
  await check();
  const tunnel = new TunnelTracker(cluster.ctx).open(sessionId);
  await until(
    async () =>
      (await cluster.ctx.live.sortedCount(`session.${sessionId}.active_app_connections`, 0, 1e12)) >
      0,
    'the tunnel is noted',
  );
  await advance(120);
  expect(await statusOf(sessionId)).toBe('RUNNING');
  await advance(100);
  expect(await endOf(sessionId)).toBe('idle-timeout');
  await tunnel.close();
});

test('batch jobs have no network timeout, and every session its lifetime', async () => {
  await limits({ idle_timeout: 50, max_session_lifetime: 400 });
  await configure({ enabled: 'network_timeout' });
  agent = await cluster.join(await cluster.start(), new SimulatedAgent());
  const sessionId = await running('job', { sessionType: 'batch', startupCommand: 'true' });
  await check();
  await advance(200);
  expect(await statusOf(sessionId)).toBe('RUNNING');
  expect((await reportOf(sessionId)).network_timeout?.remaining).toBeNull();
  expect((await reportOf(sessionId)).session_lifetime?.remaining).toBeLessThanOrEqual(200);
  await advance(200);
  expect(await endOf(sessionId)).toBe('idle-session-lifetime');
});

test('utilization is what agents report, and a resource group may be exempt', async () => {
  await configure({
    enabled: 'utilization',
    'checkers/utilization/time-window': '30s',
    'checkers/utilization/initial-grace-period': '0s',
    'checkers/utilization/resource-thresholds/cpu_util/average': '10',
  });
  await cluster.ctx.config.put('sgroup/default/config/idle/enabled', 'none');
  agent = agent = await cluster.join(await cluster.start(), new SimulatedAgent());
  const [lazy, busy] = [await running('lazy'), await running('busy')];
  const measure = async (cpu: (sessionId: string) => string) => {
    const rows = await cluster.sql<{ id: string; session_id: string }[]>`
      SELECT id, session_id FROM kernels WHERE status = 'RUNNING'`;
    const metric = (pct: string) => ({
      ...{ current: pct, pct, capacity: '100', unit_hint: 'percent' },
      ...{ 'stats.min': '0', 'stats.max': '0', 'stats.sum': '0', 'stats.avg': '0' },
      ...{ 'stats.diff': '0', 'stats.rate': '0', 'stats.version': null },
    });
    const kernels = Object.fromEntries(
      rows.map(({ id, session_id }) => [id, { cpu_util: metric(cpu(session_id)) }]),
    );
    await noteStatistics(cluster.ctx, { agentId: agent.id, intervalMs: 5000, node: null, kernels });
  };
  await measure((id) => (id === lazy ? '1' : '80'));
  await check();
  expect((await reportOf(lazy)).utilization).toBeUndefined();
  await cluster.ctx.config.deletePrefix('sgroup');
  await check();
  for (let sample = 0; sample < 2; sample += 1) {
    expect((await reportOf(lazy)).utilization).toMatchObject({
      remaining_time_type: 'grace_period',
      extra: { thresholds_check_operator: 'and', resources: { cpu_util: [1, 10] } },
    });
    await advance(15.5);
  }
  expect(await endOf(lazy)).toBe('idle-utilization');
  expect(await statusOf(busy)).toBe('RUNNING');
  expect((await reportOf(busy)).utilization).toMatchObject({
    remaining: -1,
    extra: { resources: { cpu_util: [80, 10] } },
  });
});

test('faults of the configuration are told once, and checks go on without them', async () => {
  const warnings: string[] = [];
  const log = { ...cluster.ctx.log, warn: (message: string) => void warnings.push(message) };
  await configure({ enabled: 'utilization' });
  const checks = createIdleChecks({ ...cluster.ctx, log });
  for (let pass = 0; pass < 2; pass += 1) await checks.pass(new AbortController().signal);
  expect(warnings).toEqual(['the configuration of idle checks has faults']);
});

test('a store that is away costs nobody the session', async () => {
  const warned = Promise.withResolvers<void>();
  const live = { ...cluster.ctx.live, set: () => Promise.reject(new Error('away')) };
  const log = { ...cluster.ctx.log, warn: () => warned.resolve() };
  await noteUse({ ...cluster.ctx, live, log }, 'some');
  await warned.promise;
});
