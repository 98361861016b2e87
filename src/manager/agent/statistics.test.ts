/** Statistics from an agent's report to what clients of each role read, and what stays of them. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import type { Metrics, MetricValue } from '../../common/protocol/statistics.ts';
import { type InsertedSession, insertAgent } from '../../testing/sessions.ts';
import { tenantSessions } from '../../testing/tenant-sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { createAgentGateway } from './gateway.ts';

let tenants: Tenants;
let mine: InsertedSession;
let other: InsertedSession;

const figure = (current: string, pct = '0.00'): MetricValue => ({
  current,
  capacity: '1000',
  pct,
  unit_hint: 'percent',
  'stats.min': '0',
  'stats.max': current,
  'stats.sum': '0',
  'stats.avg': '0',
  'stats.diff': current,
  'stats.rate': '0',
  'stats.version': null,
});
const gateway = () => createAgentGateway(tenants.ctx);
const report = (agentId: string, kernels: Record<string, Metrics>) =>
  gateway().reportStatistics({
    agentId,
    intervalMs: 60_000,
    node: {
      node: { cpu_util: figure('1200', '30.00'), mem: figure('2048', '50.00') },
      devices: { cpu_util: { '0': figure('1200', '60.00') } },
    },
    kernels,
  });

beforeAll(async () => {
  tenants = await testTenants();
  const { sql } = tenants.ctx;
  const sessions = await tenantSessions(tenants);
  for (const id of ['i-two', 'i-silent']) await insertAgent(sql, id);
  mine = await sessions.insert('user', 'mine');
  other = await sessions.insert('user', 'other', { agentId: 'i-two' });
});
afterAll(() => tenants.close());

const statOf = async (who: Parameters<Tenants['ask']>[0], kernelId: string) => {
  const { data } = await tenants.ask(
    who,
    'query($id: UUID!) { compute_container(id: $id) { live_stat last_stat } }',
    { id: kernelId },
  );
  const container: unknown = data?.compute_container;
  return container === null ? null : JSON.parse(JSON.stringify(container));
};

test('the owner and administrators read what a kernel uses; another tenant nothing', async () => {
  await report('i-one', { [mine.kernelId]: { cpu_util: figure('250', '25.00') } });
  for (const who of ['user', 'admin', 'superadmin'] as const) {
    const found = await statOf(who, mine.kernelId);
    expect(JSON.parse(found.live_stat)).toEqual({ cpu_util: figure('250', '25.00') });
    expect(found.last_stat).toBe(found.live_stat);
  }
  expect(await statOf('otherUser', mine.kernelId)).toBeNull();
  expect(await statOf('otherAdmin', mine.kernelId)).toBeNull();
});

test("an agent can't report about another one's kernels", async () => {
  await report('i-one', { [other.kernelId]: { cpu_util: figure('999') } });
  expect(await statOf('user', other.kernelId)).toEqual({ live_stat: null, last_stat: null });
});

test('of a node, figures are read by superadmins; none where the agent is silent', async () => {
  await report('i-one', {});
  const { data, errors } = await tenants.ask(
    'superadmin',
    '{ agents { id live_stat cpu_cur_pct mem_cur_bytes } }',
  );
  expect(errors).toBeNull();
  const agents = JSON.parse(JSON.stringify(data?.agents));
  const one = agents.find((agent: { id: string }) => agent.id === 'i-one');
  expect(one).toMatchObject({ cpu_cur_pct: 30, mem_cur_bytes: 2048 });
  expect(JSON.parse(one.live_stat).devices.cpu_util['0'].pct).toBe('60.00');
  expect(agents.find((agent: { id: string }) => agent.id === 'i-silent')).toEqual({
    ...{ id: 'i-silent', live_stat: null, cpu_cur_pct: 0, mem_cur_bytes: 0 },
  });
});

test('what a kernel used at last stays when it ends and the live store forgets', async () => {
  const { ctx } = tenants;
  await report('i-one', { [mine.kernelId]: { cpu_util: figure('777', '77.70') } });
  await gateway().deliver({
    agentId: 'i-one',
    events: [
      {
        seq: 1,
        at: new Date().toISOString(),
        kernelId: mine.kernelId,
        sessionId: mine.sessionId,
        body: {
          kind: 'kernel-terminated',
          reason: 'self-terminated',
          exitCode: 0,
          message: null,
          logs: null,
        },
      },
    ],
  });
  await ctx.live.delete(`stat.kernel.${mine.kernelId}`);
  const found = await statOf('user', mine.kernelId);
  expect(JSON.parse(found.last_stat)).toEqual({ cpu_util: figure('777', '77.70') });
});
