/** Keypairs through GraphQL: who may see and change them, and what a change does. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as v from 'valibot';
import { type Tenants, testTenants } from '../../testing/tenants.ts';

let tenants: Tenants;
beforeAll(async () => {
  tenants = await testTenants();
});
afterAll(() => tenants.close());

const created = v.object({
  create_keypair: v.object({
    ok: v.literal(true),
    msg: v.literal('success'),
    keypair: v.object({ id: v.string(), access_key: v.string(), secret_key: v.string() }),
  }),
});

async function create(email: string) {
  const { data, errors } = await tenants.ask(
    'superadmin',
    `mutation ($email: String!) { create_keypair(user_id: $email,
       props: { resource_policy: "default", rate_limit: 10 }) {
         ok msg keypair { id access_key secret_key } } }`,
    { email },
  );
  expect(errors).toBeNull();
  return v.parse(created, data).create_keypair.keypair;
}

test('who reaches what', async () => {
  const everyone = { superadmin: 'data', admin: 'data', user: 'data', monitor: 'data' };
  const others = { otherAdmin: 'data', otherUser: 'data' };
  expect(await tenants.outcomes('{ keypair { access_key } }')).toEqual({ ...everyone, ...others });
  expect(await tenants.outcomes('{ keypair_list(limit: 5, offset: 0) { total_count } }')).toEqual({
    ...everyone,
    ...others,
  });
  expect(
    await tenants.outcomes(
      '{ keypair_list(limit: 5, offset: 0, domain_name: "default") { total_count } }',
    ),
  ).toEqual({ ...everyone, otherAdmin: 'error', otherUser: 'error' });
  const refused = {
    superadmin: 'data',
    admin: 'refused',
    user: 'refused',
    monitor: 'refused',
    otherAdmin: 'refused',
    otherUser: 'refused',
  };
  const before = await tenants.db.sql`SELECT count(*) FROM audit_logs`;
  expect(
    await tenants.outcomes(
      `mutation { create_keypair(user_id: "${tenants.people.user.email}",
         props: { resource_policy: "default", rate_limit: 1 }) { ok msg } }`,
    ),
  ).toEqual(refused);
  expect(
    await tenants.outcomes(
      `mutation { modify_keypair(access_key: "AKIATESTMONITOR", props: { rate_limit: 9999 }) { ok } }`,
    ),
  ).toEqual(refused);
  const after = await tenants.db.sql`SELECT count(*) FROM audit_logs`;
  expect(Number(after[0]?.count) - Number(before[0]?.count)).toBe(2);
});

test('each sees the keypairs of its scope, filtered and ordered', async () => {
  const list = async (who: Parameters<Tenants['ask']>[0], rest = '') => {
    const { data, errors } = await tenants.ask(
      who,
      `{ keypair_list(limit: 100, offset: 0 ${rest}) { items { access_key projects } total_count } }`,
    );
    expect(errors).toBeNull();
    return data?.keypair_list;
  };
  expect(await list('otherUser')).toEqual({
    items: [{ access_key: 'AKIATESTOTHERUSER', projects: ['work'] }],
    total_count: 1,
  });
  expect(await list('otherAdmin', 'order: "-access_key"')).toEqual({
    items: [
      { access_key: 'AKIATESTOTHERUSER', projects: ['work'] },
      { access_key: 'AKIATESTOTHERADMIN', projects: [] },
    ],
    total_count: 2,
  });
  const filter = `filter: "projects == \\"work\\" & email ilike \\"OTHER%\\""`;
  expect(await list('superadmin', filter)).toMatchObject({ total_count: 1 });
});

test('a new keypair signs requests until it is switched off, at once', async () => {
  const keypair = await create(tenants.people.user.email);
  expect(keypair.id).toBe(keypair.access_key);
  expect([keypair.access_key.length, keypair.secret_key.length]).toEqual([20, 40]);
  const account = {
    ...tenants.people.user,
    accessKey: keypair.access_key,
    secretKey: keypair.secret_key,
  };
  const me = await tenants.ask(account, '{ keypair { access_key user_id rate_limit } }');
  expect(me.data?.keypair).toEqual({
    access_key: keypair.access_key,
    user_id: account.email,
    rate_limit: 10,
  });
  const off = `mutation { modify_keypair(access_key: "${keypair.access_key}",
    props: { is_active: false, resource_policy: null }) { ok msg } }`;
  expect((await tenants.ask('superadmin', off)).data?.modify_keypair).toEqual({
    ok: true,
    msg: 'success',
  });
  // Not even for the moment that keypairs are remembered.
  await expect(tenants.ask(account, '{ keypair { access_key } }')).rejects.toThrow();
  const [record] = await tenants.db.sql`SELECT * FROM audit_logs
    WHERE entity_id = ${keypair.access_key} AND operation = 'update'`;
  expect(record).toMatchObject({
    entity_type: 'keypair',
    triggered_by: tenants.people.superadmin.userId,
    status: 'success',
    client_address: '127.0.0.1',
    before: { is_active: true, secret_key: '(hidden)', resource_policy: 'default' },
    after: { is_active: false, secret_key: '(hidden)' },
  });
});

test('a main access key stays; others go', async () => {
  const keypair = await create(tenants.people.otherUser.email);
  const remove = `mutation { delete_keypair(access_key: "${keypair.access_key}") { ok msg } }`;
  const { sql } = tenants.db;
  await sql`UPDATE users SET main_access_key = ${keypair.access_key}
    WHERE email = ${tenants.people.otherUser.email}`;
  expect((await tenants.ask('superadmin', remove)).data?.delete_keypair).toEqual({
    ok: false,
    msg: 'the keypair is used as main access key by any user',
  });
  await sql`UPDATE users SET main_access_key = null`;
  expect((await tenants.ask('superadmin', remove)).data?.delete_keypair).toMatchObject({
    ok: true,
  });
  expect((await tenants.ask('superadmin', remove)).errors?.[0]?.message).toContain('access key');
});

test('what cannot be stored is refused without a trace', async () => {
  const attempt = (owner: string, policy: string) =>
    tenants.ask(
      'superadmin',
      `mutation ($owner: String!, $policy: String!) { create_keypair(user_id: $owner,
         props: { resource_policy: $policy, rate_limit: 1 }) { ok } }`,
      { owner, policy },
    );
  const [counted] = await tenants.db.sql`SELECT count(*) FROM keypairs`;
  const email = tenants.people.user.email;
  expect((await attempt('nobody@test.example', 'default')).errors?.[0]?.message).toContain('user');
  expect((await attempt(email, 'no such policy')).errors?.[0]?.message).toContain(
    'Integrity constraint',
  );
  expect((await attempt(email, 'nul\0')).errors?.[0]?.message).not.toContain('Internal');
  const [now] = await tenants.db.sql`SELECT count(*) FROM keypairs`;
  expect(now).toEqual(counted);
});

test('nothing changes while the cluster is frozen', async () => {
  await tenants.ctx.config.put('manager/status', 'frozen');
  const { errors } = await tenants.ask(
    'superadmin',
    'mutation { delete_keypair(access_key: "AKIATESTUSER") { ok } }',
  );
  await tenants.ctx.config.put('manager/status', 'running');
  expect(errors?.[0]?.extensions).toEqual({ code: 'api_access_unavailable' });
});
