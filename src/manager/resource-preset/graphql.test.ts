/** Resource presets through GraphQL: open to read, changed by superadmins. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as v from 'valibot';
import { type Tenants, testTenants } from '../../testing/tenants.ts';

let tenants: Tenants;
beforeAll(async () => {
  tenants = await testTenants();
});
afterAll(() => tenants.close());

async function admin(query: string, variables?: unknown) {
  const { data, errors } = await tenants.ask('superadmin', query, variables);
  expect(errors).toBeNull();
  return data ?? {};
}

const create = `mutation ($name: String!, $props: CreateResourcePresetInput!) {
  create_resource_preset(name: $name, props: $props) {
    ok msg resource_preset { id name resource_slots shared_memory scaling_group_name } } }`;
const slots = '{"cpu":"1","mem":"1g"}';
const created = v.object({
  create_resource_preset: v.object({ resource_preset: v.object({ id: v.string() }) }),
});
const make = async (name: string, more: object = {}) =>
  v.parse(created, await admin(create, { name, props: { resource_slots: slots, ...more } }))
    .create_resource_preset.resource_preset.id;

const roles = (superadmin: string, others: string) => ({
  superadmin,
  admin: others,
  user: others,
  monitor: others,
  otherAdmin: others,
  otherUser: others,
});

test('who reaches what', async () => {
  const id = await make('table');
  for (const query of [
    'resource_presets { name }',
    'resource_preset(name: "table") { name }',
    `resource_preset_by_id(id: "${id}") { name }`,
  ]) {
    expect(await tenants.outcomes(`{ ${query} }`)).toEqual(roles('data', 'data'));
  }
  const mine = { name: 'mine', props: { resource_slots: slots } };
  expect(await tenants.outcomes(create, mine)).toEqual(roles('data', 'refused'));
  expect(
    await tenants.outcomes(
      `mutation { modify_resource_preset(id: "${id}", props: { shared_memory: "1m" }) { ok } }`,
    ),
  ).toEqual(roles('data', 'refused'));
  expect(
    await tenants.outcomes('mutation { delete_resource_preset(name: "none") { ok } }'),
  ).toEqual(roles('error', 'refused'));
});

test('made, changed and removed', async () => {
  const { sql } = tenants.db;
  await sql`INSERT INTO scaling_groups (name, driver, driver_opts, scheduler, use_host_network,
      scheduler_opts, default_deployment_options, default_session_options)
    VALUES ('gpu', 'static', '{}', 'fifo', false, '{}', '{}', '{}')`;
  const id = await make('small', { shared_memory: '64m', scaling_group_name: 'gpu' });
  expect(
    await admin(`{ preset: resource_preset_by_id(id: "${id}") {
    name resource_slots shared_memory scaling_group_name } }`),
  ).toEqual({
    preset: {
      name: 'small',
      resource_slots: '{"cpu":"1","mem":"1073741824"}',
      shared_memory: 64 * 1024 * 1024,
      scaling_group_name: 'gpu',
    },
  });
  // The same name is free for all groups together, and taken within the one.
  const common = await make('small');
  const again = await tenants.ask('superadmin', create, {
    name: 'small',
    props: { resource_slots: slots, scaling_group_name: 'gpu' },
  });
  expect(again.errors?.[0]?.message).toContain('Duplicate Resource Preset');
  expect(await admin('{ resource_preset(name: "small") { id } }')).toEqual({
    resource_preset: { id: common },
  });
  expect(
    await admin('{ resource_presets(filter: "scaling_group_name == \\"gpu\\"") { id } }'),
  ).toEqual({ resource_presets: [{ id }] });
  await admin(`mutation { modify_resource_preset(id: "${id}", props: { name: "tiny",
    shared_memory: null }) { ok } }`);
  expect(await admin('{ resource_presets(order: "-name") { name shared_memory } }')).toMatchObject({
    resource_presets: [{ name: 'tiny', shared_memory: null }, {}, {}, {}],
  });
  await admin(`mutation { delete_resource_preset(id: "${id}") { ok msg } }`);
  const operations = await sql`
    SELECT operation FROM audit_logs WHERE entity_id = ${id} ORDER BY created_at`;
  expect(operations.map((row) => row.operation)).toEqual(['create', 'update', 'delete']);
});

test.each([
  ['a slot missing', { resource_slots: '{"cpu":"1"}' }],
  ['an amount that is none', { resource_slots: '{"cpu":"x","mem":"1g"}' }],
  ['a size that is none', { resource_slots: slots, shared_memory: 'lots' }],
  ['more bytes than there are', { resource_slots: slots, shared_memory: '9000e' }],
  ['an unknown group', { resource_slots: slots, scaling_group_name: 'none' }],
])('%s is refused', async (_name, props) => {
  const { errors } = await tenants.ask('superadmin', create, { name: 'bad', props });
  expect(errors).toHaveLength(1);
  expect(errors?.[0]?.message).not.toContain('Internal');
  expect(await tenants.db.sql`SELECT 1 FROM resource_presets WHERE name = 'bad'`).toHaveLength(0);
});

test('a preset has to be named', async () => {
  for (const query of [
    '{ resource_preset { id } }',
    'mutation { delete_resource_preset { ok } }',
  ]) {
    const { errors } = await tenants.ask('superadmin', query);
    expect(errors?.[0]?.message).toContain('by id or by name');
  }
});
