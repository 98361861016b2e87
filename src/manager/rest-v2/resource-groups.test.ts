/** Agents and resource groups over the newer HTTP operations: shapes, changes, who may use a group. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { signingClient } from '../../testing/manager.ts';
import { insertAgent } from '../../testing/sessions.ts';
import { type TenantSessions, tenantSessions } from '../../testing/tenant-sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';

let tenants: Tenants;
let sessions: TenantSessions;
beforeAll(async () => {
  tenants = await testTenants();
  sessions = await tenantSessions(tenants);
});
afterAll(() => tenants.close());

type Who = keyof Tenants['people'];

async function call(who: Who, method: string, path: string, body?: unknown) {
  const client = signingClient(tenants.url, tenants.people[who]);
  const response = await client(method, `/v2/${path}`, body);
  return { status: response.status, json: await response.json() };
}
async function done(method: string, path: string, body?: unknown) {
  const { status, json } = await call('superadmin', method, path, body);
  expect({ path, status, json }).toMatchObject({ status: 200 });
  return json;
}
const ids = ({ items }: { items: { id: string }[] }) => items.map(({ id }) => id);

test('agents are told with what they have, and what runs on them', async () => {
  const { sql } = tenants.db;
  await insertAgent(sql, 'i-told');
  await sql`UPDATE agents SET available_slots = '{"cpu": "4", "mem": "4294967296"}', schedulable = false,
              compute_plugins = '{"cuda": {"version": "1.0"}}' WHERE id = 'i-told'`;
  const { items, total_count } = await done('POST', 'agents/search', {
    filter: { id: { equals: 'i-told' }, schedulable: false, status: { in: ['ALIVE'] } },
    order: [{ field: 'first_contact', direction: 'desc' }],
  });
  expect(total_count).toBe(1);
  expect(items).toMatchObject([
    {
      ...{ id: 'i-told', scaling_group: 'default' },
      resource_info: {
        capacity: { cpu: '4', mem: '4294967296' },
        used: { cpu: '1.5', mem: '1073741824' },
        free: { cpu: '2.5', mem: '3221225472' },
      },
      status_info: { status: 'ALIVE', schedulable: false },
      system_info: {
        compute_plugins: { entries: [{ plugin_name: 'cuda', value: '{"version":"1.0"}' }] },
      },
      network_info: { addr: expect.any(String) },
      permissions: expect.arrayContaining(['read_attribute']),
    },
  ]);
  const here = await sessions.insert('user', 'here');
  await sql`UPDATE kernels SET agent = 'i-told' WHERE id = ${here.kernelId}`;
  const elsewhere = await sessions.insert('user', 'elsewhere');
  const found = await done('POST', 'sessions/agents/i-told/search', {});
  expect(ids(found)).toEqual([here.sessionId]);
  expect(ids(found)).not.toContain(elsewhere.sessionId);
  expect(ids(await done('POST', 'sessions/kernels/agents/i-told/search', {}))).toEqual([
    here.kernelId,
  ]);
  expect((await call('superadmin', 'POST', 'sessions/agents/i-gone/search', {})).status).toBe(404);
  const totals = await done('GET', 'agents/total-resources');
  expect(Object.keys(totals).toSorted()).toEqual([
    ...['total_capacity_slots', 'total_free_slots', 'total_used_slots'],
  ]);
  expect(Number(totals.total_capacity_slots.cpu)).toBeGreaterThanOrEqual(4);
});

test('a resource group is made for a domain, changed, and removed', async () => {
  const body = { name: 'v2-group', domain_name: 'default', description: 'made' };
  const { resource_group: made } = await done('POST', 'resource-groups', body);
  expect(made).toMatchObject({
    ...{ id: 'v2-group', name: 'v2-group', status: { is_active: true, is_public: true } },
    metadata: { description: 'made' },
    network: { wsproxy_addr: null, use_host_network: false },
    scheduler: { type: 'fifo', preemption: { preemptible_priority: 5, order: 'oldest' } },
    default_deployment_options: {
      handler_options: { default: { timeout_sec: null, max_retry_count: null }, by_handler: [] },
    },
    default_session_options: {
      ...{ priority: 10, cluster_mode: 'single-node', default_failure_policy: 'strict' },
      ...{ default_kernel_execution_spec: null, agent_selection_policy: 'preferred' },
      handler_options: { default: { timeout_sec: null, max_retry_count: 5 }, by_handler: [] },
    },
  });
  expect(await done('GET', 'resource-groups/v2-group/allowed-domains')).toEqual({
    items: ['default'],
  });
  expect((await call('superadmin', 'POST', 'resource-groups', body)).status).toBe(409);
  const { resource_group: changed } = await done('PATCH', 'resource-groups/v2-group/config', {
    ...{ resource_group_name: 'v2-group', scheduler_type: 'fair-share', is_public: false },
    preemption: { order: 'newest', mode: 'reschedule', preemptible_priority: 3 },
  });
  expect(changed).toMatchObject({
    status: { is_active: true, is_public: false },
    metadata: { description: 'made' },
    scheduler: {
      type: 'fair-share',
      preemption: { order: 'newest', mode: 'reschedule', preemptible_priority: 3 },
    },
  });
  // What else the scheduler's options say stays.
  const [row] = await tenants.db.sql`SELECT scheduler_opts AS options FROM scaling_groups
                                      WHERE name = 'v2-group'`;
  expect(row?.options).toMatchObject({
    allowed_session_types: ['interactive', 'batch', 'inference'],
    preemption: { order: 'newest', victim_scope: 'user' },
  });
  await done('PATCH', 'resource-groups/v2-group', { description: 'changed', is_active: false });
  expect(await done('GET', 'resource-groups/v2-group')).toMatchObject({
    ...{ status: { is_active: false }, metadata: { description: 'changed' } },
  });
  const spec = { half_life_days: 3, default_weight: '2' };
  await done('PATCH', 'resource-groups/v2-group/fair-share-spec', spec);
  expect(await done('GET', 'resource-groups/v2-group/resource-info')).toMatchObject({
    capacity: { entries: [] },
  });
  expect(await done('DELETE', 'resource-groups/v2-group')).toEqual({ id: 'v2-group' });
  expect((await call('superadmin', 'GET', 'resource-groups/v2-group')).status).toBe(404);
  const unknown = { name: 'v2-group', domain_name: 'nowhere' };
  expect((await call('superadmin', 'POST', 'resource-groups', unknown)).status).toBe(409);
  // Nothing is left of what was refused.
  expect((await call('superadmin', 'GET', 'resource-groups/v2-group')).status).toBe(404);
});

test('domains and projects are let use groups, and no longer', async () => {
  await done('POST', 'resource-groups', { name: 'v2-shared', domain_name: 'default' });
  const group = 'resource-groups/v2-shared';
  const project = tenants.projects.default;
  expect(
    await done('POST', `${group}/allowed-domains`, { add: ['elsewhere'], remove: ['default'] }),
  ).toEqual({ items: ['elsewhere'] });
  expect(await done('POST', `${group}/allowed-projects`, { add: [project] })).toEqual({
    items: [project],
  });
  expect(await done('GET', `${group}/allowed-projects`)).toEqual({ items: [project] });
  const ofProject = `resource-groups/projects/${project}/allowed`;
  expect(await done('GET', ofProject)).toEqual({ items: ['v2-shared'] });
  expect(await done('POST', ofProject, { remove: ['v2-shared'] })).toEqual({ items: [] });
  const ofDomain = 'resource-groups/domains/elsewhere/allowed';
  expect(await done('GET', ofDomain)).toEqual({ items: expect.arrayContaining(['v2-shared']) });
  const before = await done('GET', ofDomain);
  // One that does not exist: nothing of the change happens.
  const refused = await call('superadmin', 'POST', ofDomain, {
    ...{ add: ['v2-nowhere'], remove: ['v2-shared'] },
  });
  expect(refused.status).toBe(409);
  expect(await done('GET', ofDomain)).toEqual(before);
  expect((await call('superadmin', 'GET', 'resource-groups/none/allowed-domains')).status).toBe(
    404,
  );
  for (const who of ['user', 'admin', 'monitor'] as const) {
    expect((await call(who, 'GET', ofDomain)).status).toBe(403);
    expect((await call(who, 'POST', ofDomain, { add: ['v2-shared'] })).status).toBe(403);
  }
  const audited = await tenants.db.sql`
    SELECT operation FROM audit_logs WHERE entity_id = 'v2-shared' ORDER BY created_at`;
  expect(audited.map(({ operation }) => operation)).toContain('disassociate');
});

test('a resource preset is made, found, changed and removed', async () => {
  const resource_slots = [
    { resource_type: 'cpu', quantity: '2' },
    { resource_type: 'mem', quantity: '1g' },
  ];
  const { resource_preset: made } = await done('POST', 'resource-presets', {
    ...{ name: 'v2-preset', resource_slots, shared_memory: { expr: '64m' } },
    resource_group_name: 'default',
  });
  const path = `resource-presets/${made.id}`;
  const told = {
    ...{ id: made.id, name: 'v2-preset', resource_group_name: 'default' },
    ...{ shared_memory: { value: 64 * 2 ** 20 } },
    resource_slots: expect.arrayContaining([
      { resource_type: 'cpu', quantity: '2' },
      { resource_type: 'mem', quantity: String(2 ** 30) },
    ]),
  };
  expect(made).toMatchObject(told);
  expect(await done('GET', path)).toMatchObject(told);
  const filter = { resource_group_name: { equals: 'default' }, name: { starts_with: 'v2-' } };
  const order = [{ field: 'name', direction: 'desc' }];
  const page = await done('POST', 'resource-presets/search', { filter, order });
  expect(page).toMatchObject({ items: [told], total_count: 1 });
  const { resource_preset: changed } = await done('PATCH', path, {
    ...{ id: made.id, name: 'v2-renamed' },
  });
  // What is not said stays.
  expect(changed).toMatchObject({ ...told, name: 'v2-renamed' });
  const wrong = { name: 'v2-wrong', resource_slots: [{ resource_type: 'cpu', quantity: '1' }] };
  const refused = await call('superadmin', 'POST', 'resource-presets', wrong);
  expect([refused.status, refused.json.msg]).toEqual([400, expect.stringContaining('mem')]);
  for (const who of ['user', 'admin', 'otherAdmin'] as const) {
    expect((await call(who, 'DELETE', path)).status).toBe(403);
  }
  expect(await done('DELETE', path)).toEqual({ id: made.id });
  expect((await call('superadmin', 'GET', path)).status).toBe(404);
});
