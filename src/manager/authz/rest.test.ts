/** Roles and scopes over HTTP, as the Python SDK asks for them. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as v from 'valibot';
import { signingClient } from '../../testing/manager.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';

let tenants: Tenants;
beforeAll(async () => {
  tenants = await testTenants();
});
afterAll(() => tenants.close());

async function call(
  who: keyof Tenants['people'],
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; json: unknown }> {
  const client = signingClient(tenants.url, tenants.people[who]);
  const response = await client(method, `/admin/rbac/${path}`, body);
  return { status: response.status, json: await response.json() };
}

const made = v.object({ role: v.looseObject({ id: v.string() }) });

async function makeRole(name: string): Promise<string> {
  const { status, json } = await call('superadmin', 'POST', 'roles', { name });
  expect(status).toBe(201);
  return v.parse(made, json).role.id;
}

test('a role lives from its making to its removal', async () => {
  const id = await makeRole('over-http');
  const role = {
    id,
    name: 'over-http',
    source: 'custom',
    status: 'active',
    description: null,
    deleted_at: null,
    created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    updated_at: expect.any(String),
  };
  expect(await call('superadmin', 'GET', `roles/${id}`)).toEqual({ status: 200, json: { role } });
  const change = { description: 'changed', status: 'inactive' };
  expect(await call('superadmin', 'PATCH', `roles/${id}`, change)).toMatchObject({
    status: 200,
    json: { role: { ...change, name: 'over-http' } },
  });
  const same = await call('superadmin', 'PATCH', `roles/${id}`, { name: null, description: null });
  expect(same.json).toMatchObject({ role: { name: 'over-http', description: null } });
  const removed = { status: 200, json: { deleted: true } };
  expect(await call('superadmin', 'POST', 'roles/delete', { role_id: id })).toEqual(removed);
  const after = await call('superadmin', 'GET', `roles/${id}`);
  expect(after.json).toMatchObject({ role: { status: 'deleted', deleted_at: expect.any(String) } });
  expect(await call('superadmin', 'POST', 'roles/purge', { role_id: id })).toEqual(removed);
  expect(await call('superadmin', 'GET', `roles/${id}`)).toMatchObject({
    status: 404,
    json: { error_code: 'role_read_not-found' },
  });
});

test('a role is given and taken, and its holders are listed', async () => {
  const role_id = await makeRole('held');
  const { user, otherUser, superadmin } = tenants.people;
  const give = (user_id: string) =>
    call('superadmin', 'POST', 'roles/assign', { user_id, role_id, granted_by: user.userId });
  expect(await give(user.userId)).toEqual({
    status: 201,
    json: { user_id: user.userId, role_id, granted_by: superadmin.userId },
  });
  expect(await give(user.userId)).toMatchObject({
    status: 409,
    json: { error_code: 'role_create_already-exists' },
  });
  expect((await give(otherUser.userId)).status).toBe(201);
  const search = `roles/${role_id}/assigned-users/search`;
  const body = {
    filter: { email: { i_starts_with: 'OTHER' }, granted_by: superadmin.userId },
    order: [{ field: 'email' }],
  };
  expect(await call('superadmin', 'POST', search, body)).toMatchObject({
    status: 200,
    json: {
      users: [{ user_id: otherUser.userId, granted_by: superadmin.userId }],
      pagination: { total: 1, offset: 0, limit: 50 },
    },
  });
  const taken = { user_id: user.userId, role_id };
  expect(await call('superadmin', 'POST', 'roles/revoke', taken)).toEqual({
    status: 200,
    json: taken,
  });
  expect(await call('superadmin', 'POST', 'roles/revoke', taken)).toMatchObject({
    status: 400,
    json: { error_code: 'role_purge_not-found' },
  });
});

test('roles are found by name, source and status', async () => {
  await makeRole('found-b');
  await makeRole('found-a');
  const body = {
    filter: {
      name: { starts_with: 'found-', not_equals: 'x' },
      sources: ['custom'],
      statuses: ['active'],
    },
    order: [{ field: 'name', direction: 'desc' }],
    limit: 1,
    offset: 1,
  };
  expect(await call('superadmin', 'POST', 'roles/search', body)).toMatchObject({
    status: 200,
    json: { roles: [{ name: 'found-a' }], pagination: { total: 2, offset: 1, limit: 1 } },
  });
  const all = await call('superadmin', 'POST', 'roles/search', {});
  expect(all.json).toMatchObject({ pagination: { limit: 50, offset: 0 } });
});

test.each<[string, object]>([
  ['roles/search', { limit: 0 }],
  ['roles/search', { filter: { name: { like: 'x' } } }],
  ['roles/search', { filter: { sources: ['else'] } }],
  ['roles', { name: '' }],
  ['roles/assign', { role_id: 'x', user_id: 'y' }],
  ['scopes/session/search', {}],
  ['scopes/domain/default/entities/nothing/search', {}],
])('what makes no sense to %s is refused', async (path, body) => {
  const { status, json } = await call('superadmin', 'POST', path, body);
  expect(status).toBe(400);
  expect(JSON.stringify(json)).toContain('invalid-parameters');
});

test('scopes by name, and what lies in them', async () => {
  const scope = (type: string, body: object) =>
    call('superadmin', 'POST', `scopes/${type}/search`, body);
  expect(await scope('domain', { filter: { name: { contains: 'where' } } })).toMatchObject({
    json: { items: [{ scope_type: 'domain', scope_id: 'elsewhere', name: 'elsewhere' }] },
  });
  const projects = { filter: { name: { equals: 'work' } }, order: [{ field: 'created_at' }] };
  expect((await scope('project', projects)).json).toMatchObject({ pagination: { total: 2 } });
  const { otherUser } = tenants.people;
  expect(await scope('user', { filter: { name: { equals: 'otherUser' } } })).toMatchObject({
    json: { items: [{ scope_type: 'user', scope_id: otherUser.userId, name: 'otherUser' }] },
  });
  const inside = (path: string) =>
    call(
      'superadmin',
      'POST',
      `scopes/${path}/entities/${path.includes('domain') ? 'project' : 'keypair'}/search`,
      {},
    );
  expect((await inside('domain/elsewhere')).json).toEqual({
    items: [{ entity_type: 'project', entity_id: tenants.projects.elsewhere }],
    pagination: { total: 1, offset: 0, limit: 50 },
  });
  expect((await inside(`user/${otherUser.userId}`)).json).toMatchObject({
    items: [{ entity_type: 'keypair', entity_id: otherUser.accessKey }],
  });
  const types = await call('superadmin', 'GET', 'scope-types');
  expect(types.json).toMatchObject({
    items: expect.arrayContaining(['domain', 'role:assignment']),
  });
  const entities = await call('superadmin', 'GET', 'entity-types');
  expect(entities.json).toMatchObject({ items: expect.arrayContaining(['project_admin_page']) });
});
