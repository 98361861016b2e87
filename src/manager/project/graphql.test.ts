/** Projects through GraphQL: who may see and change them, and what a change does. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as v from 'valibot';
import { type Tenants, testTenants } from '../../testing/tenants.ts';

let tenants: Tenants;
beforeAll(async () => {
  tenants = await testTenants();
});
afterAll(() => tenants.close());

const createGroup = `mutation ($name: String!, $props: GroupInput!) {
  create_group(name: $name, props: $props) {
    ok msg group { id name domain_name type is_active total_resource_slots allowed_vfolder_hosts
      resource_policy container_registry } } }`;
const modifyGroup = `mutation ($gid: UUID!, $props: ModifyGroupInput!) {
  modify_group(gid: $gid, props: $props) {
    ok msg group { name description total_resource_slots container_registry } } }`;

const created = v.object({ create_group: v.object({ group: v.object({ id: v.string() }) }) });

/** A project of the domain `default`, made by its administrator. */
async function make(name: string, more: object = {}): Promise<string> {
  const { data, errors } = await tenants.ask('admin', createGroup, {
    name,
    props: { domain_name: 'default', ...more },
  });
  expect(errors).toBeNull();
  return v.parse(created, data).create_group.group.id;
}

async function modify(who: Parameters<Tenants['ask']>[0], gid: string, props: object) {
  return tenants.ask(who, modifyGroup, { gid, props });
}

test('who reaches what', async () => {
  const everyone = { superadmin: 'data', admin: 'data', user: 'data', monitor: 'data' };
  const others = { otherAdmin: 'data', otherUser: 'data' };
  expect(await tenants.outcomes('{ groups { id } }')).toEqual({ ...everyone, ...others });
  expect(await tenants.outcomes('{ groups(domain_name: "default") { id } }')).toEqual({
    ...everyone,
    otherAdmin: 'error',
    otherUser: 'error',
  });
  expect(await tenants.outcomes(`{ group(id: "${tenants.projects.default}") { id } }`)).toEqual({
    superadmin: 'data',
    admin: 'data',
    user: 'data',
    monitor: 'error',
    otherAdmin: 'error',
    otherUser: 'error',
  });
  const gid = tenants.projects.elsewhere;
  expect(await tenants.outcomes(modifyGroup, { gid, props: { description: 'x' } })).toEqual({
    superadmin: 'data',
    admin: 'error',
    user: 'refused',
    monitor: 'refused',
    otherAdmin: 'data',
    otherUser: 'refused',
  });
  for (const name of ['delete_group', 'purge_group']) {
    const outcomes = await tenants.outcomes(
      `mutation { ${name}(gid: "${crypto.randomUUID()}") { ok } }`,
    );
    expect(outcomes).toEqual({
      superadmin: 'error',
      admin: 'error',
      user: 'refused',
      monitor: 'refused',
      otherAdmin: 'error',
      otherUser: 'refused',
    });
  }
});

test('lists hold what is in sight', async () => {
  const names = async (who: Parameters<Tenants['ask']>[0], field = 'groups') =>
    (await tenants.ask(who, `{ rows: ${field} { name domain_name } }`)).data?.rows;
  const own = { name: 'work', domain_name: 'default' };
  const foreign = { name: 'work', domain_name: 'elsewhere' };
  expect(await names('superadmin')).toEqual([own, foreign]);
  expect(await names('otherUser')).toEqual([foreign]);
  expect(await names('monitor')).toEqual([]);
  expect(await names('admin', 'groups_by_name(name: "work")')).toEqual([own]);
  expect(await names('superadmin', 'groups(type: ["model_store"])')).toEqual([]);
  const wrong = await tenants.ask('user', '{ groups(type: ["NONE"]) { id } }');
  expect(wrong.errors?.[0]?.message).toContain('MODEL_STORE');
});

test('an administrator makes projects in its own domain only', async () => {
  const wanted = {
    name: 'lab',
    props: {
      domain_name: 'default',
      total_resource_slots: '{"cpu": 4, "mem": "4g"}',
      allowed_vfolder_hosts: '{"local:volume1": ["create-vfolder"]}',
    },
  };
  const { data } = await tenants.ask('admin', createGroup, wanted);
  expect(data?.create_group).toMatchObject({
    ok: true,
    msg: 'success',
    group: {
      name: 'lab',
      type: 'GENERAL',
      is_active: true,
      total_resource_slots: '{"cpu":"4","mem":"4294967296"}',
      allowed_vfolder_hosts: '{"local:volume1":["create-vfolder"]}',
      resource_policy: 'default',
    },
  });
  expect((await tenants.ask('otherAdmin', createGroup, wanted)).data?.create_group).toMatchObject({
    ok: false,
    group: null,
  });
  const again = await tenants.ask('admin', createGroup, wanted);
  expect(again.errors?.[0]?.message).toContain('already exists');
  for (const props of [
    { domain_name: 'default', total_resource_slots: '{"cpu": "many"}' },
    { domain_name: 'default', allowed_vfolder_hosts: '{"local:volume1": ["everything"]}' },
    { domain_name: 'default', resource_policy: 'none' },
    { domain_name: 'default', type: 'NONE' },
  ]) {
    const { errors } = await tenants.ask('admin', createGroup, { name: 'bad', props });
    expect(errors).toHaveLength(1);
  }
  expect(await tenants.db.sql`SELECT 1 FROM groups WHERE name = 'bad'`).toHaveLength(0);
});

test('changes keep what is left out, and are recorded', async () => {
  const id = await make('changing', { container_registry: '{"registry":"r","project":"p"}' });
  const { data } = await modify('admin', id, {
    description: 'new',
    total_resource_slots: '{"cpu":"1"}',
  });
  expect(data?.modify_group).toEqual({
    ok: true,
    msg: 'success',
    group: {
      name: 'changing',
      description: 'new',
      total_resource_slots: '{"cpu":"1"}',
      container_registry: '{"project":"p","registry":"r"}',
    },
  });
  const [record] = await tenants.db.sql`
    SELECT * FROM audit_logs WHERE entity_id = ${id} AND operation = 'update'`;
  expect(record).toMatchObject({
    entity_type: 'project',
    triggered_by: tenants.people.admin.userId,
    before: { description: '', total_resource_slots: {} },
    after: { description: 'new', total_resource_slots: { cpu: '1' } },
  });
  expect((await modify('admin', id, { domain_name: 'elsewhere' })).errors).toHaveLength(1);
});

test('members are added and removed, those of another tenant by nobody but superadmins', async () => {
  const id = await make('team');
  const { user, otherUser } = tenants.people;
  const members = async () => {
    const rows = await tenants.db.sql`
      SELECT user_id FROM association_groups_users WHERE group_id = ${id}`;
    return rows.map((row) => row.user_id).sort();
  };
  const add = (who: 'admin' | 'superadmin', ids: string[], mode = 'add') =>
    modify(who, id, { user_update_mode: mode, user_uuids: ids });
  expect((await add('admin', [user.userId])).errors).toBeNull();
  expect((await add('admin', [user.userId])).errors).toBeNull();
  expect((await add('admin', [otherUser.userId])).errors?.[0]?.message).toContain('you may add');
  expect((await add('admin', ['nonsense'])).errors?.[0]?.message).toContain('you may add');
  expect((await add('admin', [user.userId], 'swap')).errors).toHaveLength(1);
  expect(await members()).toEqual([user.userId]);
  expect((await add('superadmin', [otherUser.userId])).errors).toBeNull();
  expect(await members()).toEqual([user.userId, otherUser.userId].sort());
  expect((await add('admin', [user.userId, otherUser.userId], 'remove')).errors).toBeNull();
  expect(await members()).toEqual([]);
});

test('a closed project stays for administrators; a purged one is gone when nothing runs', async () => {
  const id = await make('closing');
  const run = (field: string) =>
    tenants.ask('admin', `mutation { ${field}(gid: "${id}") { ok msg } }`);
  expect((await run('delete_group')).data).toEqual({ delete_group: { ok: true, msg: 'success' } });
  const seen = await tenants.ask('admin', `{ group(id: "${id}") { is_active } }`);
  expect(seen.data?.group).toEqual({ is_active: false });
  const { sql } = tenants.db;
  await sql`INSERT INTO sessions (name, access_key, domain_name, group_id, user_uuid, status,
      priority, cluster_size, options, requested_slots, occupying_slots, use_host_network)
    VALUES ('s', 'AKIATESTUSER', 'default', ${id}, ${tenants.people.user.userId}, 'PENDING',
      10, 1, '{}', '{}', '{}', false)`;
  expect((await run('purge_group')).errors?.[0]?.message).toContain('active kernels');
  await sql`UPDATE sessions SET status = 'CANCELLED'`;
  expect((await run('purge_group')).data).toEqual({ purge_group: { ok: true, msg: 'success' } });
  expect(await sql`SELECT 1 FROM sessions`).toHaveLength(0);
  expect((await run('purge_group')).errors?.[0]?.message).toContain('no project');
});
