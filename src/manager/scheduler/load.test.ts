/** The queue as it is read again and again: what is remembered never hides what has changed. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { insertAgent } from '../../testing/sessions.ts';
import { type TenantSessions, tenantSessions } from '../../testing/tenant-sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { upsertImages } from '../image/catalog.ts';
import { noteAgentImages } from '../image/locations.ts';
import { PendingQueue, takeSnapshot } from './load.ts';
import { plan } from './plan.ts';
import { defaultGroupRules } from './snapshot.ts';

let tenants: Tenants;
let sessions: TenantSessions;

beforeAll(async () => {
  tenants = await testTenants();
  sessions = await tenantSessions(tenants);
});
afterAll(() => tenants.close());

async function waiting(name: string) {
  const { sql } = tenants.ctx;
  const inserted = await sessions.insert('user', name, { status: 'PENDING' });
  await sql`insert into resource_allocations (kernel_id, slot_name, requested)
    values (${inserted.kernelId}, 'cpu', 2), (${inserted.kernelId}, 'mem', 1024)`;
  return inserted;
}

test('a remembered queue follows arrivals, departures, priorities and dependencies', async () => {
  const { sql } = tenants.ctx;
  const queue = new PendingQueue();
  const load = async () =>
    new Map((await queue.load(tenants.ctx)).map((session) => [session.id, session]));
  const first = await waiting('first');
  expect((await load()).get(first.sessionId)).toMatchObject({
    ...{ priority: 10, dependencies: [], failedAgents: [], designatedAgents: [] },
    kernels: [{ id: first.kernelId, architecture: 'x86_64' }],
  });
  const second = await waiting('second');
  await sql`update sessions set priority = 40,
      status_data = '{"scheduler": {"failed_agents": ["i-one"]}}' where id = ${first.sessionId}`;
  await sql`insert into session_dependencies values (${first.sessionId}, ${second.sessionId})`;
  const both = await load();
  expect([...both.keys()].sort()).toEqual([first.sessionId, second.sessionId].sort());
  expect(both.get(first.sessionId)).toMatchObject({
    ...{ priority: 40, failedAgents: ['i-one'] },
    dependencies: [{ id: second.sessionId, name: 'second', status: 'PENDING' }],
  });
  await sql`update sessions set status = 'CANCELLED' where id = ${second.sessionId}`;
  const left = await load();
  expect([...left.keys()]).toEqual([first.sessionId]);
  expect(left.get(first.sessionId)?.dependencies).toMatchObject([{ status: 'CANCELLED' }]);
});

test('a session with kernels that do not wait is not considered', async () => {
  const { sql } = tenants.ctx;
  const mixed = await waiting('mixed');
  await sql`update kernels set status = 'TERMINATED' where id = ${mixed.kernelId}`;
  const ids = (await new PendingQueue().load(tenants.ctx)).map(({ id }) => id);
  expect(ids).not.toContain(mixed.sessionId);
});

test('a group follows its options; an unknown order is that of arrival', async () => {
  const { sql } = tenants.ctx;
  await sql`update scaling_groups set scheduler = 'lifo', round_robin_agent = 'i-one',
      scheduler_opts = '{"agent_selection_strategy": "roundrobin", "config": {"reserve_after": 7}}'
    where name = 'default'`;
  await tenants.ctx.config.put('config/agent/max-container-count', '3');
  const pending = await new PendingQueue().load(tenants.ctx);
  const { groups, agents, maxSessionsPerAgent } = await takeSnapshot(tenants.ctx, pending);
  expect(groups.get('default')).toEqual({
    ...{
      sequencer: 'lifo',
      strategy: 'roundrobin',
      lastAgent: 'i-one',
      preemption: defaultGroupRules.preemption,
      reserveAfterMs: 7000,
    },
  });
  expect(maxSessionsPerAgent).toBe(3);
  expect(agents.find(({ id }) => id === 'i-one')?.capacity.get('cpu')).toBe(4_000_000n);
  await sql`update scaling_groups set scheduler = 'something', scheduler_opts = '{}'
    where name = 'default'`;
  const plain = await takeSnapshot(tenants.ctx, pending);
  expect(plain.groups.get('default')).toMatchObject({
    ...{ sequencer: 'fifo', strategy: 'dispersed', reserveAfterMs: 300_000 },
  });
});

test('the known end of a placed session is its timeout or its longest life, whichever is first', async () => {
  const { sql, clock } = tenants.ctx;
  const batch = await sessions.insert('user', 'batch', { type: 'BATCH' });
  await sql`insert into resource_allocations (kernel_id, slot_name, requested, used)
    values (${batch.kernelId}, 'cpu', 1, 1)`;
  await sql`update sessions set batch_timeout = 600, starts_at = now(), created_at = now()
    where id = ${batch.sessionId}`;
  const endOf = async () => {
    const { ending } = await takeSnapshot(tenants.ctx, [], { withEnds: true });
    const found = ending.find(({ id }) => id === batch.sessionId);
    expect(found?.kernels).toMatchObject([{ agentId: 'i-one' }]);
    return Math.round(((found?.endsAt.getTime() ?? 0) - clock.now().getTime()) / 60_000);
  };
  expect(await endOf()).toBe(10);
  await sql`update keypair_resource_policies set max_session_lifetime = 300`;
  expect(await endOf()).toBe(5);
});

test('a session whose image one agent alone has, and no registry, goes there', async () => {
  const { ctx } = tenants;
  const { sql } = ctx;
  await insertAgent(sql, 'i-first');
  await insertAgent(sql, 'i-holder');
  const canonical = 'local/own:1';
  const image = { canonical, architecture: 'x86_64' };
  const about = { digest: 'sha256:0', sizeBytes: 1, labels: {}, aliases: [] };
  await upsertImages(sql, [{ ...image, ...about }]);
  const { sessionId } = await waiting('homely');
  await sql`update kernels set image = ${canonical},
      image_id = (select id from images where name = ${canonical})
    where session_id = ${sessionId}`;
  const agentOf = async () => {
    const pending = await new PendingQueue().load(ctx);
    const own = pending.filter(({ id }) => id === sessionId);
    return plan(await takeSnapshot(ctx, own)).placements[0]?.kernels[0]?.agentId;
  };
  await noteAgentImages(ctx.live, 'i-holder', [image]);
  expect(await agentOf()).toBe('i-holder');
  await noteAgentImages(ctx.live, 'i-holder', []);
  await noteAgentImages(ctx.live, 'i-first', [image]);
  expect(await agentOf()).toBe('i-first');
});
