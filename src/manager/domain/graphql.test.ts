/** Domains through GraphQL: who may see and change them, and what a change does. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
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

const modify = `mutation ($name: String!, $props: ModifyDomainInput!) {
  modify_domain(name: $name, props: $props) {
    ok msg domain { name description is_active allowed_docker_registries total_resource_slots
      scaling_groups } } }`;

test('who reaches what', async () => {
  const own = { superadmin: 'data', admin: 'data', user: 'data', monitor: 'data' };
  expect(await tenants.outcomes('{ domain { name } }')).toEqual({
    ...own,
    otherAdmin: 'data',
    otherUser: 'data',
  });
  expect(await tenants.outcomes('{ domain(name: "default") { name } }')).toEqual({
    ...own,
    otherAdmin: 'error',
    otherUser: 'error',
  });
  const nobody = (outcome: string) => ({
    superadmin: 'data',
    admin: outcome,
    user: outcome,
    monitor: outcome,
    otherAdmin: outcome,
    otherUser: outcome,
  });
  expect(await tenants.outcomes('{ domains { name } }')).toEqual(nobody('error'));
  const props = { description: 'x' };
  expect(await tenants.outcomes(modify, { name: 'default', props })).toEqual(nobody('refused'));
  expect(
    await tenants.outcomes('mutation { create_domain(name: "new", props: {}) { ok } }'),
  ).toEqual(nobody('refused'));
  for (const field of ['delete_domain', 'purge_domain']) {
    expect(await tenants.outcomes(`mutation { ${field}(name: "no") { ok } }`)).toEqual({
      ...nobody('refused'),
      superadmin: 'error',
    });
  }
  expect(await admin('{ domain(name: "no") { name } }')).toEqual({ domain: null });
});

test('a new domain has a project for models, and is changed, closed and purged', async () => {
  expect(
    await admin(`mutation { create_domain(name: "lab.example", props: { description: "first" }) {
      ok msg domain { name is_active total_resource_slots allowed_docker_registries } } }`),
  ).toEqual({
    create_domain: {
      ok: true,
      msg: 'success',
      domain: {
        name: 'lab.example',
        is_active: true,
        total_resource_slots: '{}',
        allowed_docker_registries: [],
      },
    },
  });
  const store = '{ groups(domain_name: "lab.example", type: ["MODEL_STORE"]) { id name } }';
  const { groups } = await admin(store);
  expect(groups).toMatchObject([{ name: 'model-store' }]);
  expect(
    await admin(modify, {
      name: 'lab.example',
      props: {
        name: 'lab',
        allowed_docker_registries: ['local'],
        total_resource_slots: '{"cpu":2}',
      },
    }),
  ).toMatchObject({
    modify_domain: {
      domain: {
        name: 'lab',
        description: 'first',
        allowed_docker_registries: ['local'],
        total_resource_slots: '{"cpu":"2"}',
      },
    },
  });
  expect(await admin('mutation { delete_domain(name: "lab") { ok msg } }')).toMatchObject({
    delete_domain: { ok: true },
  });
  expect(await admin('{ domains(is_active: false) { name } }')).toEqual({
    domains: [{ name: 'lab' }],
  });
  const purge = 'mutation { purge_domain(name: "lab") { ok msg } }';
  const blocked = await tenants.ask('superadmin', purge);
  expect(blocked.errors?.[0]?.message).toContain('Domain has associated groups');
  await tenants.db.sql`DELETE FROM groups WHERE domain_name = 'lab'`;
  expect(await admin(purge)).toMatchObject({ purge_domain: { ok: true } });
  const records = await tenants.db.sql`
    SELECT operation FROM audit_logs WHERE entity_type = 'domain' AND entity_id LIKE 'lab%'
     ORDER BY created_at`;
  expect(records.map((row) => row.operation)).toEqual(['create', 'update', 'delete', 'purge']);
});

test.each(['', ' ', 'a b', '../x', '-a', 'x'.repeat(65), 'a\0'])('%p is no name', async (name) => {
  const query = 'mutation ($name: String!) { create_domain(name: $name, props: {}) { ok } }';
  const { errors } = await tenants.ask('superadmin', query, { name });
  expect(errors?.[0]?.message).toContain('A domain name has');
});

test('a domain in use keeps its name and stays', async () => {
  const rename = { name: 'elsewhere', props: { name: 'moved' } };
  const refused = await tenants.ask('superadmin', modify, rename);
  expect(refused.errors?.[0]?.message).toContain('still referenced');
  const purge = await tenants.ask(
    'superadmin',
    'mutation { purge_domain(name: "elsewhere") { ok } }',
  );
  expect(purge.errors?.[0]?.message).toContain('Domain has associated users');
  const twice = await tenants.ask(
    'superadmin',
    'mutation { create_domain(name: "elsewhere", props: {}) { ok } }',
  );
  expect(twice.errors?.[0]?.message).toContain('already exists');
});
