/** Users through GraphQL: who may see and change them, and what a change does. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { type Tenants, testTenants } from '../../testing/tenants.ts';

let tenants: Tenants;
beforeAll(async () => {
  tenants = await testTenants();
});
afterAll(() => tenants.close());

const superadminOnly = {
  superadmin: 'data',
  admin: 'refused',
  user: 'refused',
  monitor: 'refused',
  otherAdmin: 'refused',
  otherUser: 'refused',
};

async function admin(query: string, variables?: unknown) {
  const { data, errors } = await tenants.ask('superadmin', query, variables);
  expect(errors).toBeNull();
  return data ?? {};
}

const createUser = `mutation ($email: String!, $props: UserInput!) {
  create_user(email: $email, props: $props) {
    ok msg
    user { uuid email username role status domain_name main_access_key groups { id name } }
    keypair { access_key is_admin is_active resource_policy }
  } }`;
const modifyUser = `mutation ($email: String!, $props: ModifyUserInput!) {
  modify_user(email: $email, props: $props) {
    ok msg user { username full_name description status domain_name role groups { name }
      container_gids allowed_client_ip } } }`;

/** As the WebUI sends it. */
const props = (name: string, more: object = {}) => ({
  username: name,
  password: 'correct horse',
  need_password_change: false,
  domain_name: 'default',
  ...more,
});

const reads: readonly [query: string, outcomes: readonly string[]][] = [
  ['{ user { email } }', ['data', 'data', 'data', 'data']],
  ['{ user(email: "user@test.example") { email } }', ['data', 'data', 'null', 'error']],
  ['{ user(email: "otherUser@test.example") { email } }', ['null', 'error', 'data', 'data']],
  ['{ user(domain_name: "elsewhere") { email } }', ['error', 'error', 'data', 'data']],
  ['{ user_from_uuid { email } }', ['data', 'data', 'data', 'data']],
  ['{ user_from_uuid(user_id: "nonsense") { email } }', ['null', 'error', 'null', 'error']],
  ['{ users { email } }', ['data', 'error', 'data', 'error']],
  ['{ users(domain_name: "default") { email } }', ['data', 'error', 'error', 'error']],
  ['{ user_list(limit: 9, offset: 0) { total_count } }', ['data', 'error', 'data', 'error']],
];
test.each(reads)(
  '%s reaches admin, user and those of another tenant: %p',
  async (query, expected) => {
    const { admin: own, user, otherAdmin, otherUser } = await tenants.outcomes(query);
    expect([own, user, otherAdmin, otherUser]).toEqual([...expected]);
  },
);

test('only superadmins change users, and a refusal leaves no trace', async () => {
  const [counted] = await tenants.db.sql`SELECT count(*)::int AS n FROM audit_logs`;
  const target = { email: 'otherUser@test.example' };
  expect(await tenants.outcomes(modifyUser, { ...target, props: { description: 'x' } })).toEqual(
    superadminOnly,
  );
  for (const mutation of [
    'delete_user(email: "nobody@test.example")',
    'purge_user(email: "nobody@test.example", props: {})',
  ]) {
    const outcomes = await tenants.outcomes(`mutation { ${mutation} { ok } }`);
    expect(outcomes).toEqual({ ...superadminOnly, superadmin: 'error' });
  }
  const [now] = await tenants.db.sql`SELECT count(*)::int AS n FROM audit_logs`;
  expect(now?.n - counted?.n).toBe(1);
});

test('a page is filtered, ordered and counted', async () => {
  const list = (rest: string) =>
    admin(`{ user_list(limit: 2, offset: 0, ${rest}) { items { email is_active } total_count } }`);
  expect(await list('order: "email", filter: "role == \\"ADMIN\\""')).toEqual({
    user_list: {
      items: [
        { email: 'admin@test.example', is_active: true },
        { email: 'otherAdmin@test.example', is_active: true },
      ],
      total_count: 2,
    },
  });
  expect(await list(`group_id: "${tenants.projects.elsewhere}"`)).toMatchObject({
    user_list: { total_count: 1, items: [{ email: 'otherUser@test.example' }] },
  });
  const wrong = await tenants.ask(
    'superadmin',
    '{ user_list(limit: 2, offset: 0, filter: "password == \\"x\\"") { total_count } }',
  );
  expect(wrong.errors?.[0]?.message).toContain("no field 'password'");
});

test('a new user has a keypair, its projects, and can be found by id', async () => {
  const answer = await admin(createUser, {
    email: 'new@test.example',
    props: props('new', { role: 'admin', group_ids: [tenants.projects.default] }),
  });
  expect(answer).toMatchObject({
    create_user: {
      ok: true,
      msg: 'success',
      user: {
        email: 'new@test.example',
        role: 'admin',
        status: 'active',
        groups: [{ id: tenants.projects.default, name: 'work' }],
      },
      keypair: { is_admin: true, is_active: true, resource_policy: 'default' },
    },
  });
  const [row] = await tenants.db.sql`
    SELECT u.uuid, u.password, u.main_access_key, k.access_key FROM users u
      JOIN keypairs k ON k."user" = u.uuid WHERE u.email = 'new@test.example'`;
  expect(row?.main_access_key).toBe(row?.access_key);
  expect(row?.password).toStartWith('pbkdf2_sha256$');
  expect(await admin(`{ user_from_uuid(user_id: "${row?.uuid}") { id username } }`)).toEqual({
    user_from_uuid: { id: row?.uuid, username: 'new' },
  });
  const [record] = await tenants.db.sql`
    SELECT after FROM audit_logs WHERE entity_type = 'user' AND entity_id = ${row?.uuid}`;
  expect(record?.after).toMatchObject({ username: 'new', password: '(hidden)' });
  // As upstream's command line asks without --username.
  const nameless = { email: 'nameless@intra', props: props('') };
  expect(await admin(createUser, nameless)).toMatchObject({
    create_user: { user: { email: 'nameless@intra', username: 'nameless@intra' } },
  });
  const inactive = await admin(createUser, {
    email: 'off@test.example',
    props: props('off', { is_active: false }),
  });
  expect(inactive).toMatchObject({
    create_user: { user: { status: 'inactive' }, keypair: { is_active: false } },
  });
});

test.each([
  ['a taken address', 'user@test.example', props('other'), 'already exists'],
  ['a taken name', 'fresh@test.example', props('user'), 'already exists'],
  ['no address', 'nonsense', props('x1'), 'email'],
  ['no name', 'x2@test.example', props(' '), 'username'],
  ['no password', 'x3@test.example', props('x3', { password: '' }), 'password'],
  ['an unknown role', 'x4@test.example', props('x4', { role: 'king' }), 'role'],
  ['an unknown domain', 'x5@test.example', props('x5', { domain_name: 'no' }), 'Integrity'],
  ['an unknown policy', 'x6@test.example', props('x6', { resource_policy: 'no' }), 'Integrity'],
  ['a name of 1 MB', 'x7@test.example', props('x'.repeat(1_000_000)), 'too long'],
  ['no network', 'x8@test.example', props('x8', { allowed_client_ip: ['home'] }), 'invalid input'],
  ['a NUL', 'x9@test.example', props('x9', { full_name: 'a\0b' }), 'invalid'],
])('%s is refused and nothing is stored', async (_name, email, wanted, message) => {
  const [counted] = await tenants.db.sql`SELECT count(*) FROM users`;
  const { data, errors } = await tenants.ask('superadmin', createUser, { email, props: wanted });
  expect(data?.create_user ?? null).toBeNull();
  expect(errors?.[0]?.message).toContain(message);
  const [now] = await tenants.db.sql`SELECT count(*) FROM users`;
  expect(now).toEqual(counted);
});

test("a project of another tenant is not the new user's", async () => {
  const wanted = props('spy', { group_ids: [tenants.projects.elsewhere] });
  const email = 'spy@test.example';
  const { errors } = await tenants.ask('superadmin', createUser, { email, props: wanted });
  expect(errors?.[0]?.message).toContain("in domain 'default'");
  expect(await tenants.db.sql`SELECT 1 FROM users WHERE email = ${email}`).toHaveLength(0);
});

test('absent stays, null clears, the same name twice at once fits once', async () => {
  const email = 'changing@test.example';
  await admin(createUser, { email, props: props('changing', { description: 'first' }) });
  const change = (wanted: object) => admin(modifyUser, { email, props: wanted });
  expect(
    await change({
      full_name: 'Some One',
      container_gids: [1, 2],
      allowed_client_ip: ['10.0.0.0/8'],
    }),
  ).toMatchObject({
    modify_user: {
      user: {
        full_name: 'Some One',
        description: 'first',
        container_gids: [1, 2],
        allowed_client_ip: ['10.0.0.0/8'],
      },
    },
  });
  expect(
    await change({
      full_name: null,
      container_gids: null,
      allowed_client_ip: null,
      username: null,
    }),
  ).toMatchObject({
    modify_user: {
      user: {
        full_name: null,
        container_gids: null,
        allowed_client_ip: null,
        username: 'changing',
      },
    },
  });
  const twice = await Promise.all(
    ['a', 'b'].map((name) =>
      tenants.ask('superadmin', createUser, {
        email: `${name}-twin@test.example`,
        props: props('twin'),
      }),
    ),
  );
  expect(twice.filter(({ errors }) => errors === null)).toHaveLength(1);
});

test('roles reach the keypairs, and another domain means other projects', async () => {
  const email = 'mover@test.example';
  await admin(createUser, {
    email,
    props: props('mover', { group_ids: [tenants.projects.default] }),
  });
  await admin(modifyUser, { email, props: { role: 'admin' } });
  const [keypair] = await tenants.db.sql`SELECT is_admin FROM keypairs WHERE user_id = ${email}`;
  expect(keypair?.is_admin).toBe(true);
  expect(await admin(modifyUser, { email, props: { domain_name: 'elsewhere' } })).toMatchObject({
    modify_user: { user: { domain_name: 'elsewhere', groups: [] } },
  });
  const foreign = await tenants.ask('superadmin', modifyUser, {
    email,
    props: { main_access_key: 'AKIATESTUSER' },
  });
  expect(foreign.errors?.[0]?.message).toContain("another user's access key");
});

test('closed accounts are locked out at once, purged ones are gone', async () => {
  const { otherUser } = tenants.people;
  const close = `mutation { delete_user(email: "${otherUser.email}") { ok msg } }`;
  expect((await tenants.ask('otherUser', '{ user { email } }')).errors).toBeNull();
  expect(await admin(close)).toEqual({ delete_user: { ok: true, msg: 'success' } });
  await expect(tenants.ask('otherUser', '{ user { email } }')).rejects.toThrow();
  const purge = `mutation { purge_user(email: "${otherUser.email}", props: {}) { ok msg } }`;
  const { sql } = tenants.db;
  await sql`INSERT INTO vfolders (host, domain_name, quota_scope_id, name, usage_mode,
      ownership_type, "user", cloneable)
    VALUES ('local:v', 'elsewhere', 'user:x', 'data', 'general', 'user', ${otherUser.userId}, false)`;
  const blocked = await tenants.ask('superadmin', purge);
  expect(blocked.errors?.[0]?.message).toContain('1 virtual folder');
  await sql`UPDATE vfolders SET status = 'delete-complete'`;
  expect(await admin(purge)).toEqual({ purge_user: { ok: true, msg: 'success' } });
  expect(await sql`SELECT 1 FROM keypairs WHERE user_id = ${otherUser.email}`).toHaveLength(0);
  expect((await tenants.ask('superadmin', purge)).errors?.[0]?.message).toContain('no user');
});

test('nobody locks himself out', async () => {
  const email = tenants.people.superadmin.email;
  for (const [query, variables] of [
    [`mutation { delete_user(email: "${email}") { ok msg } }`, {}],
    [`mutation { purge_user(email: "${email}", props: {}) { ok msg } }`, {}],
    [modifyUser, { email, props: { status: 'inactive' } }],
    [modifyUser, { email, props: { role: 'user' } }],
  ] as const) {
    const { data } = await tenants.ask('superadmin', query, variables);
    expect(Object.values(data ?? {})[0]).toMatchObject({ ok: false });
  }
  expect((await tenants.ask('superadmin', '{ user { role } }')).data).toEqual({
    user: { role: 'superadmin' },
  });
});
