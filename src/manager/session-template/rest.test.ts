/** Templates over HTTP: what each role sees and changes, across projects and tenants. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as v from 'valibot';
import { signingClient, type TestAccount } from '../../testing/manager.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';

let tenants: Tenants;
let colleague: TestAccount;
beforeAll(async () => {
  tenants = await testTenants();
  const { sql } = tenants.db;
  // The monitor is an ordinary member of the same project here.
  colleague = tenants.people.monitor;
  await sql`INSERT INTO association_groups_users (user_id, group_id)
    VALUES (${colleague.userId}, ${tenants.projects.default})`;
});
afterAll(() => tenants.close());

type Who = keyof Tenants['people'];

async function call(who: Who, method: string, path: string, body?: unknown) {
  const response = await signingClient(tenants.url, tenants.people[who])(method, path, body);
  return { status: response.status, body: (await response.json()) as unknown };
}

const template = (image: string) => ({
  ...{ api_version: '6', kind: 'task_template', metadata: { name: `of-${image}` } },
  spec: {
    kernel: {
      image,
      git: { repository: 'https://git.test/x', credential: { username: 'u', password: 'hush' } },
    },
  },
});
const payload = (image: string, more: object = {}) =>
  JSON.stringify([{ template: template(image), ...more }]);

const created = v.array(
  v.object({ id: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)), user: v.string() }),
);

async function create(who: Who, more: object = {}, image = 'python') {
  const { status, body } = await call(who, 'POST', '/template/session', {
    payload: payload(image),
    group: 'work',
    ...more,
  });
  expect([status, body]).toEqual([200, expect.anything()]);
  const [first] = v.parse(created, body);
  if (first === undefined) throw new Error('no template');
  return first;
}

const listed = async (who: Who, query = '') => {
  const { body } = await call(who, 'GET', `/template/session${query}`);
  const shape = v.array(v.object({ id: v.string(), is_owner: v.boolean() }));
  return new Map(v.parse(shape, body).map(({ id, is_owner }) => [id, is_owner]));
};

test('a template in the shapes of upstream', async () => {
  const { id, user } = await create('user');
  expect(user).toBe(tenants.people.user.userId);
  const list = await call('user', 'GET', '/template/session');
  expect(list.body).toContainEqual({
    name: 'of-python',
    id,
    created_at: expect.stringMatching(/^\d{4}-/),
    is_owner: true,
    user,
    group: tenants.projects.default,
    user_email: tenants.people.user.email,
    group_name: 'work',
    domain_name: 'default',
    type: 'task',
    template: expect.objectContaining({ kind: 'task_template' }),
  });
  const one = await call('user', 'GET', `/template/session/${id}?format=yaml`);
  expect(one).toMatchObject({
    status: 200,
    body: {
      name: 'of-python',
      user_uuid: user,
      group_id: tenants.projects.default,
      domain_name: 'default',
      template: { spec: { session_type: 'interactive', kernel: { architecture: 'x86_64' } } },
    },
  });
  expect((await call('user', 'GET', `/template/session/${id}?format=xml`)).status).toBe(400);
});

test('members of the project use it, its owner and administrators change it, nobody else sees it', async () => {
  const { id } = await create('user');
  const reads: Record<string, number> = {};
  const writes: Record<string, number> = {};
  const people: Who[] = ['monitor', 'otherUser', 'otherAdmin', 'admin', 'superadmin', 'user'];
  for (const who of people) {
    reads[who] = (await call(who, 'GET', `/template/session/${id}`)).status;
    writes[who] = (
      await call(who, 'PUT', `/template/session/${id}`, { payload: payload('r') })
    ).status;
  }
  expect(reads).toEqual({
    monitor: 200,
    otherUser: 404,
    otherAdmin: 404,
    admin: 200,
    superadmin: 200,
    user: 200,
  });
  expect(writes).toEqual({
    monitor: 403,
    otherUser: 404,
    otherAdmin: 404,
    admin: 200,
    superadmin: 200,
    user: 200,
  });
  expect((await listed('monitor')).get(id)).toBe(false);
  expect((await listed('otherUser')).has(id)).toBe(false);
  expect((await listed('superadmin')).has(id)).toBe(false);
  expect((await listed('superadmin', '?all=true')).has(id)).toBe(true);
  // Whoever replaced it, it is still the user's, in the same project.
  expect((await listed('user')).get(id)).toBe(true);
  expect((await call('monitor', 'DELETE', `/template/session/${id}`)).status).toBe(403);
  expect(await call('user', 'DELETE', `/template/session/${id}`)).toEqual({
    status: 200,
    body: { success: true },
  });
  expect((await call('user', 'GET', `/template/session/${id}`)).status).toBe(404);
  expect((await listed('user')).has(id)).toBe(false);
});

test('projects, domains and owners that are not open to the caller', async () => {
  const post = async (who: Who, body: object) =>
    (await call(who, 'POST', '/template/session', { payload: payload('p'), ...body })).status;
  expect(await post('user', { group: 'nowhere' })).toBe(404);
  expect(await post('user', { group: 'work', domain: 'elsewhere' })).toBe(404);
  expect(await post('user', { group: tenants.projects.elsewhere })).toBe(404);
  const forColleague = { payload: payload('p', { user_uuid: colleague.userId }), group: 'work' };
  expect(await post('user', forColleague)).toBe(403);
  expect(await post('otherAdmin', { ...forColleague, domain: 'default' })).toBe(403);
  expect(await post('admin', forColleague)).toBe(200);
  expect(
    await post('user', { payload: payload('p', { group_id: tenants.projects.elsewhere }) }),
  ).toBe(404);
  const asUser = { group: 'work', owner_access_key: tenants.people.user.accessKey };
  expect(await post('monitor', asUser)).toBe(403);
  expect((await create('admin', asUser)).user).toBe(tenants.people.user.userId);
});

test('a list is stored whole or not at all, and the audit log keeps no password', async () => {
  const before = (await listed('user')).size;
  const both = [
    { template: template('a') },
    { template: template('b'), group_id: tenants.projects.elsewhere },
  ];
  const { status } = await call('user', 'POST', '/template/session', {
    payload: JSON.stringify(both),
    group: 'work',
  });
  expect(status).toBe(404);
  expect((await listed('user')).size).toBe(before);
  await create('user');
  const { sql } = tenants.db;
  const records =
    await sql`SELECT to_jsonb(a)::text AS row FROM audit_logs a WHERE entity_type = 'session_template'`;
  expect(records.length).toBeGreaterThan(0);
  expect(records.map(({ row }) => String(row)).join()).not.toContain('hush');
});

test('templates of clusters', async () => {
  const { id: task } = await create('user');
  const cluster = (node: string) => ({
    group: 'work',
    payload: JSON.stringify({
      ...{
        api_version: '6',
        kind: 'cluster_template',
        mode: 'single-node',
        metadata: { name: 'c' },
      },
      spec: { nodes: [{ role: 'main', session_template: node }] },
    }),
  });
  const dashed = task.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  expect((await call('otherUser', 'POST', '/template/cluster', cluster(dashed))).status).toBe(404);
  const made = await call('user', 'POST', '/template/cluster', cluster(dashed));
  expect(made).toEqual({
    status: 200,
    body: {
      id: expect.stringMatching(/^[0-9a-f]{32}$/),
      user: tenants.people.user.userId.replaceAll('-', ''),
    },
  });
  const { id } = v.parse(v.object({ id: v.string() }), made.body);
  expect((await call('monitor', 'GET', `/template/cluster/${id}`)).body).toMatchObject({
    spec: { nodes: [{ session_template: dashed, replicas: 1 }] },
  });
  const list = await call('monitor', 'GET', '/template/cluster');
  expect(list.body).toEqual([expect.objectContaining({ id, is_owner: false, type: 'group' })]);
  expect((await call('monitor', 'PUT', `/template/cluster/${id}`, cluster(dashed))).status).toBe(
    403,
  );
  expect((await call('user', 'PUT', `/template/cluster/${id}`, cluster(dashed))).status).toBe(200);
  expect((await call('otherAdmin', 'DELETE', `/template/cluster/${id}`)).status).toBe(404);
  expect((await call('admin', 'DELETE', `/template/cluster/${id}`)).status).toBe(200);
});
