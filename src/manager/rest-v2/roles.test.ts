/** Roles over the newer HTTP operations: made, allowed, given, offered; presets; weights of fair shares. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { signingClient } from '../../testing/manager.ts';
import { insertResourceGroup } from '../../testing/sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';

let tenants: Tenants;
beforeAll(async () => {
  tenants = await testTenants();
});
afterAll(() => tenants.close());

type Who = keyof Tenants['people'];

async function call(who: Who, method: string, path: string, body?: unknown) {
  const client = signingClient(tenants.url, tenants.people[who]);
  const response = await client(method, `/v2/${path}`, body);
  return { status: response.status, json: await response.json() };
}

/** The answer of what must succeed. */
async function done(method: string, path: string, body?: unknown, who: Who = 'superadmin') {
  const { status, json } = await call(who, method, path, body);
  expect({ path, status, json }).toMatchObject({ status: 200 });
  return json;
}

const ids = ({ items }: { items: { id: string }[] }) => items.map(({ id }) => id);

/** A role for those who look at folders of the first project. */
async function makeRole(name: string) {
  const { role } = await done('POST', 'rbac/roles', { name, description: 'for a test' });
  return role;
}

const permission = (role_id: string, operation: string) => ({
  ...{ role_id, scope_type: 'project', scope_id: tenants.projects.default },
  ...{ entity_type: 'vfolder', operation },
});

test('a role is made, changed, marked as deleted and removed', async () => {
  const role = await makeRole('made');
  expect(role).toMatchObject({ name: 'made', source: 'custom', status: 'active' });
  const { role: changed } = await done('PATCH', `rbac/roles/${role.id}`, { name: 'renamed' });
  expect(changed).toMatchObject({ id: role.id, name: 'renamed', description: 'for a test' });
  expect(await done('GET', `rbac/roles/${role.id}`)).toMatchObject({ name: 'renamed' });
  expect(await done('POST', 'rbac/roles/delete', { id: role.id })).toEqual({ id: role.id });
  expect(await done('GET', `rbac/roles/${role.id}`)).toMatchObject({ status: 'deleted' });
  expect(await done('POST', 'rbac/roles/purge', { id: role.id })).toEqual({ id: role.id });
  expect((await call('superadmin', 'GET', `rbac/roles/${role.id}`)).status).toBe(404);
});

test('what a role may do is told in the words of the SDK', async () => {
  const { id } = await makeRole('allowed');
  const made = await done('POST', 'rbac/permissions', permission(id, 'grant:read'));
  expect(made).toMatchObject({
    ...{ role_id: id, scope_type: 'project', scope_id: tenants.projects.default },
    ...{ entity_type: 'vfolder', operation: 'grant:read' },
  });
  const changed = await done('PATCH', 'rbac/permissions', {
    ...{ id: made.id, entity_type: 'session:app_service', operation: 'soft-delete' },
  });
  expect(changed).toMatchObject({ entity_type: 'session:app_service', operation: 'soft-delete' });
  const { items } = await done('POST', 'rbac/permissions/bulk-add', {
    permissions: [permission(id, 'read'), permission(id, 'update')],
  });
  expect(items).toHaveLength(2);
  const found = await done('POST', 'rbac/permissions/search', {
    filter: { role_id: { equals: id } },
  });
  expect(found.total_count).toBe(3);
  await done('POST', 'rbac/permissions/bulk-remove', { permission_ids: ids({ items }) });
  await done('POST', 'rbac/permissions/delete', { id: made.id });
  await done('POST', 'rbac/permissions/replace', {
    role_id: id,
    permissions: [permission(id, 'create')],
  });
  const left = await done('POST', 'rbac/permissions/search', {
    filter: { role_id: { equals: id } },
  });
  expect(left.items).toMatchObject([{ operation: 'create' }]);
});

test('a role is given to people and taken from them', async () => {
  const { id: role_id } = await makeRole('given');
  const { userId: user_id } = tenants.people.user;
  const { userId: other } = tenants.people.otherUser;
  expect(await done('POST', 'rbac/assignments', { user_id, role_id })).toMatchObject({
    ...{ user_id, role_id, granted_by: tenants.people.superadmin.userId },
  });
  const mine = await done('POST', 'rbac/assignments/my/search', {}, 'user');
  expect(mine.items).toContainEqual(expect.objectContaining({ role_id }));
  const several = await done('POST', 'rbac/assignments/bulk-assign', {
    role_id,
    user_ids: [other],
  });
  expect(several).toMatchObject({ assigned: [{ user_id: other }], failed: [] });
  await done('POST', 'rbac/assignments/revoke', { user_id, role_id });
  const taken = await done('POST', 'rbac/assignments/bulk-revoke', { role_id, user_ids: [other] });
  expect(taken).toMatchObject({ revoked: [{ user_id: other }], failed: [] });
  const after = await done('POST', 'rbac/assignments/my/search', {}, 'user');
  expect(after.items).not.toContainEqual(expect.objectContaining({ role_id }));
});

test('a role is offered; who it is offered to answers, nobody else', async () => {
  const { id: role_id } = await makeRole('offered');
  const offer = async () => {
    const { email } = tenants.people.user;
    const { items } = await done('POST', 'role-invitations', { role_id, emails: [email] });
    return items[0];
  };
  const first = await offer();
  expect(first).toMatchObject({ role_id, state: 'pending' });
  const mine = await done('POST', 'role-invitations/my/search', {}, 'user');
  expect(ids(mine)).toContain(first.id);
  const notMine = await done('POST', 'role-invitations/my/search', {}, 'otherUser');
  expect(ids(notMine)).not.toContain(first.id);
  expect(ids(await done('POST', 'role-invitations/my/sent-search', {}))).toContain(first.id);
  expect(ids(await done('POST', `role-invitations/roles/${role_id}/search`, {}))).toEqual([
    first.id,
  ]);
  const ofRole = await call('otherAdmin', 'POST', `role-invitations/roles/${role_id}/search`, {});
  expect(ofRole.status).toBe(403);
  for (const who of ['otherUser', 'otherAdmin', 'admin'] as const) {
    expect((await call(who, 'POST', `role-invitations/${first.id}/accept`)).status).not.toBe(200);
  }
  const answer = `role-invitations/${first.id}/reject`;
  expect(await done('POST', answer, undefined, 'user')).toMatchObject({ state: 'rejected' });
  const second = await offer();
  expect((await call('admin', 'DELETE', `role-invitations/${second.id}`)).status).toBe(403);
  expect(await done('DELETE', `role-invitations/${second.id}`)).toMatchObject({
    state: 'canceled',
  });
  const third = await offer();
  await done('POST', `role-invitations/${third.id}/accept`, undefined, 'user');
  const roles = await done('POST', 'rbac/assignments/my/search', {}, 'user');
  expect(roles.items).toContainEqual(expect.objectContaining({ role_id }));
});

test('a preset of roles has permissions of its own, which are searched', async () => {
  const { role_preset: preset } = await done('POST', 'role-presets', {
    ...{ name: 'preset', scope_type: 'project' },
    permissions: [{ entity_type: 'session', operation: 'read' }],
  });
  expect(preset).toMatchObject({ name: 'preset', scope_type: 'project', deleted: false });
  const path = `role-presets/${preset.id}`;
  await done('PATCH', path, { name: 'preset 2' });
  expect(await done('GET', path)).toMatchObject({ name: 'preset 2' });
  const { items } = await done('POST', `${path}/permissions/add`, {
    permissions: [{ entity_type: 'model_card', operation: 'hard-delete' }],
  });
  const page = await done('POST', `${path}/permissions/search`, {
    ...{ order: [{ field: 'entity_type', direction: 'ASC' }], limit: 1 },
  });
  expect(page).toMatchObject({
    ...{ items: [{ entity_type: 'model_card' }], total_count: 2, has_next_page: true },
  });
  await done('POST', 'role-presets/permissions/remove', { permission_preset_ids: ids({ items }) });
  const left = await done('POST', `${path}/permissions/search`, {});
  expect(left.items).toMatchObject([{ entity_type: 'session', operation: 'read' }]);
  const chosen = { role_preset_ids: [preset.id] };
  expect(await done('POST', 'role-presets/bulk-delete', chosen)).toMatchObject({
    items: [{ id: preset.id, deleted: true }],
  });
  await done('POST', 'role-presets/bulk-restore', chosen);
  await done('POST', 'role-presets/bulk-delete', chosen);
  await done('POST', 'role-presets/bulk-purge', chosen);
  const nothing = await call('superadmin', 'POST', `${path}/permissions/search`, {});
  expect(nothing.status).toBe(404);
});

test('weights of fair shares are set, alone and several at once, and asked for', async () => {
  await insertResourceGroup(tenants.db.sql, 'weighed');
  const { userId: user_uuid } = tenants.people.user;
  const project_id = tenants.projects.default;
  const domain_name = 'default';
  const group = { resource_group_name: 'weighed' };
  const given = {
    domain: { domain_name },
    project: { domain_name, project_id },
    user: { domain_name, project_id, user_uuid },
  };
  for (const kind of ['domain', 'project', 'user'] as const) {
    const path = `fair-share/${kind}s`;
    const whose = given[kind];
    const set = await done('POST', `${path}/upsert`, { ...group, ...whose, weight: '2.5' });
    expect(set[`${kind}_fair_share`].spec).toMatchObject({ weight: '2.5', uses_default: false });
    const inputs = [{ ...whose, weight: '3' }];
    const several = await done('POST', `${path}/bulk-upsert`, { ...group, inputs });
    expect(several).toEqual({ upserted_count: 1 });
    const { item } = await done('POST', `${path}/get`, { resource_group: 'weighed', ...whose });
    expect(Number(item.spec.weight)).toBe(3);
    // Without a weight the default holds again.
    await done('POST', `${path}/upsert`, { ...group, ...whose });
    const again = await done('POST', `${path}/get`, { resource_group: 'weighed', ...whose });
    expect(again.item.spec.uses_default).toBe(true);
  }
  expect((await call('admin', 'POST', 'fair-share/domains/upsert', group)).status).toBe(403);
});

test('everybody manages the keypairs of its own', async () => {
  const { keypair } = await done('POST', 'keypairs/my/issue', undefined, 'user');
  const { access_key } = keypair;
  const off = await done('PATCH', 'keypairs/my', { access_key, is_active: false }, 'user');
  expect(off.keypair).toMatchObject({ access_key, is_active: false });
  await done('PATCH', 'keypairs/my', { access_key, is_active: true }, 'user');
  for (const path of ['keypairs/my/revoke', 'keypairs/my/switch-main']) {
    expect((await call('otherUser', 'POST', path, { access_key })).status).not.toBe(200);
  }
  await done('POST', 'keypairs/my/switch-main', { access_key }, 'user');
  const { accessKey } = tenants.people.user;
  await done('POST', 'keypairs/my/switch-main', { access_key: accessKey }, 'user');
  const gone = await done('POST', 'keypairs/my/revoke', { access_key }, 'user');
  expect(gone).toEqual({ success: true });
});

test('who is taken out of a project is told', async () => {
  const { userId } = tenants.people.user;
  const path = `projects/${tenants.projects.default}/users/unassign`;
  const body = { user_ids: [userId] };
  expect((await call('otherAdmin', 'POST', path, body)).status).not.toBe(200);
  expect(await done('POST', path, body)).toMatchObject({
    ...{ unassigned_users: [{ id: userId, basic_info: { username: 'user' } }], failed: [] },
  });
});
