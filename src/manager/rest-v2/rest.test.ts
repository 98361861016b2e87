/** The newer HTTP operations as the Python SDK calls them: shapes, filters, pages, and for whom. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { restAccess } from '../../testing/access/rest-table.ts';
import { signingClient } from '../../testing/manager.ts';
import { type TenantSessions, tenantSessions } from '../../testing/tenant-sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';

let tenants: Tenants;
let sessions: TenantSessions;
beforeAll(async () => {
  tenants = await testTenants();
  sessions = await tenantSessions(tenants);
});
afterAll(() => tenants.close());

async function call(who: keyof Tenants['people'], method: string, path: string, body?: unknown) {
  const client = signingClient(tenants.url, tenants.people[who]);
  const response = await client(method, `/v2/${path}`, body);
  return { status: response.status, json: await response.json() };
}
async function answer(path: string, body?: unknown, who: keyof Tenants['people'] = 'superadmin') {
  const { status, json } = await call(who, body === undefined ? 'GET' : 'POST', path, body);
  expect({ status, json }).toMatchObject({ status: 200 });
  return json;
}

const ISO = expect.stringMatching(/^\d{4}-\d\d-\d\dT/);

test('a user is told in the words of the SDK: plain ids, names with underscores, members in lower case', async () => {
  const { userId, email } = tenants.people.user;
  await tenants.db.sql`UPDATE users SET status = 'before-verification' WHERE uuid = ${userId}`;
  const { user } = await answer(`users/${userId.replaceAll('-', '')}`);
  await tenants.db.sql`UPDATE users SET status = 'active' WHERE uuid = ${userId}`;
  expect(user).toMatchObject({
    id: userId,
    basic_info: { username: 'user', email, full_name: null, integration_name: null },
    status: { status: 'before-verification', status_info: null },
    organization: { domain_name: 'default', role: 'user', resource_policy: 'default' },
    security: { allowed_client_ip: null, sudo_session_enabled: false },
    container: { container_uid: null, container_gids: null },
    timestamps: { created_at: ISO },
  });
  // Other rows are not told along with it.
  expect(Object.keys(user)).not.toContain('projects');
});

test('a search is filtered, ordered and counted', async () => {
  const names = async (body: object) => {
    const page = await answer('users/search', body);
    const { items, ...counts } = page;
    type Item = { basic_info: { username: string } };
    return [items.map((item: Item) => item.basic_info.username), counts];
  };
  const order = [{ field: 'username', direction: 'asc' }];
  const filter = {
    username: { starts_with: 'u' },
    status: { in_: ['active'] },
    OR: [{ role: { equals: 'user' } }],
  };
  const [found, counts] = await names({ filter, order, limit: 10 });
  expect(found).toContain('user');
  expect(found).toEqual([...found].sort());
  expect(counts).toEqual({
    ...{ total_count: found.length, has_next_page: false, has_previous_page: false },
    pagination: { total: found.length, offset: 0, limit: 10 },
  });
  const [second, { has_previous_page, has_next_page }] = await names({
    order,
    limit: 1,
    offset: 1,
  });
  expect([second.length, has_previous_page, has_next_page]).toEqual([1, true, true]);
  const byCursor = await answer('users/search', { order, first: 1 });
  expect(byCursor).toMatchObject({ items: [{}], has_next_page: true, pagination: { limit: null } });
  expect((await call('superadmin', 'POST', 'users/search', { limit: 0 })).status).toBe(400);
});

test('what is no filter, no order and no row', async () => {
  const refused = async (body: object) => {
    const { status, json } = await call('superadmin', 'POST', 'users/search', body);
    return [status, json.msg];
  };
  expect(await refused({ filter: { colour: { equals: 'red' } } })).toEqual([
    400,
    "filter: there is no 'colour' here",
  ]);
  expect(await refused({ filter: { username: 'user' } })).toEqual([
    400,
    'filter.username: expected an object',
  ]);
  const [status, message] = await refused({ order: [{ field: 'colour' }] });
  expect([status, message]).toEqual([400, expect.stringContaining('COLOUR')]);
  const deep = `${'{"OR":['.repeat(40)}{}${']}'.repeat(40)}`;
  expect((await refused({ filter: JSON.parse(deep) }))[0]).toBe(400);
  const nobody = crypto.randomUUID();
  expect((await call('superadmin', 'GET', `users/${nobody}`)).status).toBe(404);
  expect((await call('superadmin', 'GET', 'users/nonsense')).status).toBe(400);
  expect((await call('superadmin', 'GET', 'keypairs/AKIANOBODY')).status).toBe(404);
});

test('every search without a place answers', async () => {
  const paths = Object.keys(restAccess).flatMap((operation) => {
    const path = /^POST \/v2\/([^:]+\/search)$/.exec(operation)?.[1];
    return path === undefined ? [] : [path];
  });
  expect(paths.length).toBeGreaterThan(20);
  for (const path of paths) {
    const page = await answer(path, { limit: 1 });
    expect([path, page]).toEqual([path, expect.objectContaining({ items: expect.any(Array) })]);
  }
});

test('who owns a session is told of it and of its kernels, others are not', async () => {
  const { sessionId, kernelId } = await sessions.insert('user', 'mine');
  expect(await answer(`sessions/${sessionId}`, undefined, 'user')).toMatchObject({
    id: sessionId,
    project_id: tenants.projects.default,
    metadata: { name: 'mine', session_type: 'interactive', cluster_size: 1 },
    lifecycle: { status: 'RUNNING' },
  });
  const kernels = await answer(`sessions/${sessionId}/kernels/search`, {}, 'user');
  expect(kernels).toMatchObject({
    items: [{ id: kernelId, lifecycle: { status: 'RUNNING' }, resource: { shares: null } }],
    total_count: 1,
  });
  for (const who of ['otherUser', 'otherAdmin'] as const) {
    expect((await call(who, 'GET', `sessions/${sessionId}`)).status).toBe(404);
    const { json } = await call(who, 'POST', `sessions/${sessionId}/kernels/search`, {});
    expect(JSON.stringify(json)).not.toContain(kernelId);
  }
  const searched = await answer('sessions/search', { filter: { status: { in: ['RUNNING'] } } });
  expect(searched.items.map(({ id }: { id: string }) => id)).toContain(sessionId);
  expect((await call('user', 'POST', 'sessions/search', {})).status).toBe(403);
  const own = await answer('sessions/my/search', {}, 'user');
  expect(own.items.map(({ id }: { id: string }) => id)).toContain(sessionId);
  for (const who of ['superadmin', 'admin', 'otherUser'] as const) {
    const { items } = await answer('sessions/my/search', {}, who);
    expect(items.map(({ id }: { id: string }) => id)).not.toContain(sessionId);
  }
});

test('users, sessions, folders and roles of a place are for those whose place it is', async () => {
  const { sessionId } = await sessions.insert('user', 'of-project');
  const { default: project } = tenants.projects;
  const ids = ({ items }: { items: { id: string }[] }) => items.map(({ id }) => id);
  const users = await answer('users/domains/default/search', {});
  expect(ids(users)).toContain(tenants.people.user.userId);
  expect(ids(users)).not.toContain(tenants.people.otherUser.userId);
  const ofProject = await answer(`sessions/projects/${project}/search`, {});
  expect(ids(ofProject)).toContain(sessionId);
  const kinds = ['users', 'sessions', 'vfolders', 'rbac/roles'];
  const places = kinds.map((kind) => `${kind}/projects/${project}/search`);
  for (const path of ['users/domains/default/search', ...places]) {
    await answer(path, {});
    const { status, json } = await call('otherAdmin', 'POST', path, {});
    expect([path, [403, 404].includes(status) || json.items.length === 0]).toEqual([path, true]);
  }
});

test('everybody sees the keypairs and policies of its own, of a folder also the limits', async () => {
  const { accessKey, userId } = tenants.people.user;
  const keypairs = await answer('keypairs/my/search', {}, 'user');
  expect(keypairs.items).toMatchObject([
    { id: accessKey, access_key: accessKey, is_active: true, user_id: userId },
  ]);
  expect(JSON.stringify(keypairs)).not.toContain(tenants.people.user.secretKey);
  expect(await answer('resource-policies/user/my', undefined, 'user')).toMatchObject({
    name: 'default',
    max_quota_scope_size: { value: -1 },
  });
  const id = crypto.randomUUID();
  await tenants.db.sql`
    INSERT INTO vfolders (id, name, host, quota_scope_id, usage_mode, permission, ownership_type,
                          "user", domain_name, creator, status, cloneable, max_files,
                          max_size)
    VALUES (${id}, 'bounded', 'local:noop', ${`user:${userId}`}, 'general', 'rw', 'user',
            ${userId}, 'default', ${tenants.people.user.email}, 'ready', false, 10, 3)`;
  const told = {
    id,
    status: 'ready',
    metadata: { name: 'bounded', usage_mode: 'general' },
    access_control: { permission: 'rw', ownership_type: 'user' },
    quota: { max_files: 10, max_size: { value: 3 * 2 ** 20 } },
  };
  expect(await answer(`vfolders/${id}`, undefined, 'user')).toMatchObject(told);
  expect((await answer('vfolders/my/search', {}, 'user')).items).toMatchObject([told]);
  expect((await call('otherUser', 'GET', `vfolders/${id}`)).status).toBe(404);
});

/** As `call` of a superadmin, which must succeed. */
async function change(method: string, path: string, body?: unknown) {
  const { status, json } = await call('superadmin', method, path, body);
  expect({ path, status, json }).toMatchObject({ status: 200 });
  return json;
}

test('a user is made, changed and closed', async () => {
  const made = await change('POST', 'users', {
    ...{ email: 'made@test.example', username: 'made', password: 'Long-enough-1!' },
    ...{ domain_name: 'default', status: 'active', role: 'user', resource_policy: 'default' },
  });
  expect(made).toMatchObject({
    user: { basic_info: { username: 'made' }, status: { status: 'active' } },
    keypair: { keypair: { is_active: true }, secret_key: expect.any(String) },
  });
  const { id } = made.user;
  const changed = await change('PATCH', `users/${id}`, {
    full_name: 'Made Up',
    status: 'inactive',
  });
  expect(changed).toMatchObject({
    user: { basic_info: { full_name: 'Made Up' }, status: { status: 'inactive' } },
  });
  expect(await change('POST', 'users/delete', { user_id: id })).toEqual({ success: true });
  const refused = await call('admin', 'POST', 'users/delete', { user_id: id });
  expect(refused.status).toBe(403);
  const wrong = await call('superadmin', 'PATCH', `users/${id}`, { colour: 'red' });
  expect([wrong.status, wrong.json.msg]).toEqual([400, "input: there is no 'colour' here"]);
});

test('domains, projects, keypairs and policies are made, changed and removed', async () => {
  const domain = await change('POST', 'domains', { name: 'v2-domain', description: 'new' });
  expect(domain).toMatchObject({ domain: { id: 'v2-domain', lifecycle: { is_active: true } } });
  await change('PATCH', 'domains/v2-domain', { description: 'changed' });
  const project = await change('POST', 'projects', {
    ...{ name: 'v2-project', domain_name: 'default', resource_policy: 'default' },
  });
  const { id } = project.project;
  expect(await answer(`projects/${id}`)).toMatchObject({ basic_info: { name: 'v2-project' } });
  await change('POST', 'projects/delete', { group_id: id });
  await change('POST', 'projects/purge', { group_id: id });
  await change('POST', 'domains/delete', { name: 'v2-domain' });
  expect(await answer('domains/v2-domain')).toMatchObject({ lifecycle: { is_active: false } });
  const policy = await change('POST', 'resource-policies/user', {
    ...{ name: 'v2-policy', max_vfolder_count: 3, max_quota_scope_size: { expr: '1g' } },
    ...{ max_session_count_per_model_session: 1, max_customized_image_count: 1 },
  });
  expect(policy).toMatchObject({ user_resource_policy: { name: 'v2-policy' } });
  await change('DELETE', 'resource-policies/user/v2-policy');
});

test('a failure has the status that it has elsewhere', async () => {
  const { sql } = tenants.ctx;
  await sql`ALTER TABLE domains ADD CONSTRAINT broken CHECK (name <> 'v2-broken')`;
  const broken = await call('superadmin', 'POST', 'domains', { name: 'v2-broken' });
  await sql`ALTER TABLE domains DROP CONSTRAINT broken`;
  expect([broken.status, broken.json.error_code]).toEqual([
    500,
    'backendai_generic_internal-error',
  ]);
  const { email } = tenants.people.user;
  const taken = await call('superadmin', 'POST', 'users', {
    ...{ email, username: 'taken', password: 'Long-enough-1!', domain_name: 'default' },
    ...{ status: 'active', role: 'user', resource_policy: 'default' },
  });
  expect([taken.status, taken.json.error_code]).toEqual([409, 'user_create_conflict']);
});

test('a keypair is issued without a body', async () => {
  const { status, json } = await call('user', 'POST', 'keypairs/my/issue');
  expect([status, json]).toMatchObject([
    200,
    { keypair: { user_id: tenants.people.user.userId }, secret_key: expect.any(String) },
  ]);
  expect(await change('DELETE', `keypairs/${json.keypair.access_key}`)).toMatchObject({});
});

test('sessions are ended by who may', async () => {
  const { sessionId } = await sessions.insert('user', 'to-end');
  const body = { session_ids: [sessionId], forced: true };
  expect((await call('otherUser', 'POST', 'sessions/terminate', body)).status).not.toBe(200);
  const { status, json } = await call('user', 'POST', 'sessions/terminate', body);
  expect([status, Object.values(json).flat()]).toEqual([200, [sessionId]]);
});
