/** Resource policies through GraphQL: who may see and change them, and what a change does. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { loadKeypairPolicy } from './service.ts';

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

const roles = (superadmin: string, admins: string, others: string) => ({
  superadmin,
  admin: admins,
  user: others,
  monitor: others,
  otherAdmin: admins,
  otherUser: others,
});

const kinds = [
  {
    kind: 'keypair',
    type: 'KeyPair',
    required:
      'default_for_unspecified: "UNLIMITED", max_concurrent_sessions: 3, max_containers_per_session: 1, idle_timeout: 5000000000',
    change: 'max_concurrent_sessions: 7',
    changed: { max_concurrent_sessions: 7, idle_timeout: 5_000_000_000 },
    list: 'data',
  },
  {
    kind: 'user',
    type: 'User',
    required: 'max_vfolder_count: 5, max_quota_scope_size: 10737418240',
    change: 'max_vfolder_count: 6',
    changed: { max_vfolder_count: 6, max_quota_scope_size: 10_737_418_240 },
    list: 'data',
  },
  {
    kind: 'project',
    type: 'Project',
    required: 'max_vfolder_count: 5, max_quota_scope_size: -1, max_network_count: 2',
    change: 'max_network_count: 3',
    changed: { max_network_count: 3, max_vfolder_count: 5 },
    list: 'error',
  },
] as const;

describe.each([...kinds])(
  '$kind resource policies',
  ({ kind, required, change, changed, list }) => {
    const field = `${kind}_resource_policy`;

    test('who reaches what', async () => {
      expect(await tenants.outcomes(`{ ${field}(name: "default") { name } }`)).toEqual(
        roles('data', 'data', 'data'),
      );
      expect(await tenants.outcomes(`{ ${kind}_resource_policies { name } }`)).toEqual(
        roles('data', 'data', list),
      );
      const [counted] = await tenants.db.sql`SELECT count(*)::int AS n FROM audit_logs`;
      for (const [operation, args, outcome] of [
        ['create', `name: "first", props: { ${required} }`, 'data'],
        ['modify', `name: "first", props: { ${change} }`, 'data'],
        ['delete', 'name: "none"', 'error'],
      ] as const) {
        expect(
          await tenants.outcomes(`mutation { ${operation}_${field}(${args}) { ok } }`),
        ).toEqual(roles(outcome, 'refused', 'refused'));
      }
      const [now] = await tenants.db.sql`SELECT count(*)::int AS n FROM audit_logs`;
      expect(now?.n - counted?.n).toBe(2);
    });

    test('made, changed, kept while somebody has it, removed', async () => {
      const { sql } = tenants.db;
      const columns = Object.keys(changed).join(' ');
      expect(
        await admin(`mutation { create_${field}(name: "big", props: { ${required} }) {
        ok msg resource_policy { name created_at ${columns} } } }`),
      ).toMatchObject({
        [`create_${field}`]: { ok: true, msg: 'success', resource_policy: { name: 'big' } },
      });
      const again = await tenants.ask(
        'superadmin',
        `mutation { create_${field}(name: "big", props: { ${required} }) { ok } }`,
      );
      expect(again.errors?.[0]?.message).toContain('already exists');
      await admin(`mutation { modify_${field}(name: "big", props: { ${change} }) { ok msg } }`);
      expect(await admin(`{ ${field}(name: "big") { ${columns} } }`)).toEqual({ [field]: changed });
      const [record] = await sql`SELECT before, after FROM audit_logs
      WHERE entity_type = ${field} AND operation = 'update' AND entity_id = 'big'`;
      expect(record?.before).not.toEqual(record?.after);
      expect(record?.after).toMatchObject(changed);
      const used = await tenants.ask(
        'superadmin',
        `mutation { delete_${field}(name: "default") { ok } }`,
      );
      expect(used.errors?.[0]?.message).toContain('still referenced');
      expect(await admin(`mutation { delete_${field}(name: "big") { ok msg } }`)).toEqual({
        [`delete_${field}`]: { ok: true, msg: 'success' },
      });
      const gone = await tenants.ask(
        'superadmin',
        `mutation { delete_${field}(name: "big") { ok } }`,
      );
      expect(gone.errors?.[0]?.message).toContain('no ');
      expect(await admin(`{ ${field}(name: "big") { name } }`)).toEqual({ [field]: null });
    });

    test('names that are none', async () => {
      for (const name of ['', ' ', 'a\\u0000', 'x'.repeat(300)]) {
        const { errors } = await tenants.ask(
          'superadmin',
          `mutation { create_${field}(name: "${name}", props: { ${required} }) { ok } }`,
        );
        expect(errors?.[0]?.message).toContain('A policy name has');
      }
    });
  },
);

test('users see the policy they have, also without naming it', async () => {
  await admin(`mutation { create_keypair_resource_policy(name: "own", props: {
    ${kinds[0].required}, total_resource_slots: "{\\"cpu\\": \\"2\\", \\"mem\\": \\"1g\\"}",
    max_pending_session_resource_slots: "{\\"cpu\\": 1}" }) { ok } }`);
  const { user } = tenants.people;
  await admin(`mutation { modify_keypair(access_key: "${user.accessKey}",
    props: { resource_policy: "own" }) { ok } }`);
  const fields = `name default_for_unspecified total_resource_slots max_session_lifetime
    max_concurrent_sftp_sessions max_pending_session_count max_pending_session_resource_slots
    allowed_vfolder_hosts max_vfolder_count`;
  const expected = {
    name: 'own',
    default_for_unspecified: 'UNLIMITED',
    total_resource_slots: '{"cpu":"2","mem":"1073741824"}',
    max_session_lifetime: 0,
    max_concurrent_sftp_sessions: 1,
    max_pending_session_count: null,
    max_pending_session_resource_slots: '{"cpu":"1"}',
    allowed_vfolder_hosts: '{}',
    max_vfolder_count: null,
  };
  const { data } = await tenants.ask(
    'user',
    `{ one: keypair_resource_policy { ${fields} }
    all: keypair_resource_policies { name } mine: user_resource_policy { id name } }`,
  );
  expect(data).toEqual({
    one: expected,
    all: [{ name: 'own' }],
    mine: { id: 'UserResourcePolicy:default', name: 'default' },
  });
  // The limits that decide about sessions are the same ones, at once.
  await admin(`mutation { modify_keypair_resource_policy(name: "own", props: {
    max_pending_session_resource_slots: null, max_concurrent_sessions: 1 }) { ok } }`);
  expect(await loadKeypairPolicy(tenants.db.sql, user.accessKey)).toMatchObject({
    maxConcurrentSessions: 1,
    maxPendingSessionResourceSlots: null,
    totalResourceSlots: { cpu: '2', mem: '1073741824' },
  });
});

test.each([
  'default_for_unspecified: "SOME"',
  'total_resource_slots: "{\\"cpu\\": -1}"',
  'total_resource_slots: "[]"',
  'allowed_vfolder_hosts: "{\\"a:b\\": [\\"fly\\"]}"',
])('%s is refused', async (props) => {
  const { errors } = await tenants.ask(
    'superadmin',
    `mutation { modify_keypair_resource_policy(name: "default", props: { ${props} }) { ok } }`,
  );
  expect(errors).toHaveLength(1);
  expect(errors?.[0]?.extensions).toEqual({ code: 'api_parsing_invalid-parameters' });
});
