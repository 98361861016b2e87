/** Resource groups in the newer schema: who sees which, filters and orders, and what a group has. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { tenantSessions } from '../../testing/tenant-sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';

let tenants: Tenants;
beforeAll(async () => {
  tenants = await testTenants();
  await tenantSessions(tenants);
  const { sql } = tenants.db;
  for (const [name, scheduler, active] of [
    ['gpu', 'fair-share', true],
    ['closed', 'drf', false],
  ] as const) {
    await sql`INSERT INTO scaling_groups (name, is_active, driver, driver_opts, scheduler,
        scheduler_opts, use_host_network, default_deployment_options, default_session_options)
      VALUES (${name}, ${active}, 'static', '{}', ${scheduler}, '{"preemption":{"order":"newest"}}',
        false, '{}', '{}')`;
  }
  await sql`INSERT INTO sgroups_for_domains (scaling_group, domain) VALUES ('gpu', 'elsewhere')`;
});
afterAll(() => tenants.close());

const byName = 'orderBy: [{ field: NAME, direction: ASC }]';
const nodes = (...names: string[]) => ({ edges: names.map((name) => ({ node: { name } })) });

test('superadmins list all, others what they may use; the administration is superadmins’', async () => {
  const query = `{ resourceGroups(${byName}) { edges { node { name } } } }`;
  const seen = async (who: 'superadmin' | 'user' | 'otherUser' | 'otherAdmin') =>
    (await tenants.ask(who, query)).data?.resourceGroups;
  expect(await seen('superadmin')).toEqual(nodes('closed', 'default', 'gpu'));
  expect(await seen('otherUser')).toEqual(nodes('gpu'));
  expect(await seen('user')).toEqual(nodes());
  const { sql } = tenants.db;
  await sql`UPDATE scaling_groups SET is_public = false WHERE name = 'gpu'`;
  expect(await seen('otherUser')).toEqual(nodes());
  expect(await seen('otherAdmin')).toEqual(nodes('gpu'));
  await sql`UPDATE scaling_groups SET is_public = true WHERE name = 'gpu'`;
  expect(await tenants.outcomes('{ adminResourceGroups { count } }')).toEqual({
    superadmin: 'data',
    admin: 'error',
    user: 'error',
    monitor: 'error',
    otherAdmin: 'error',
    otherUser: 'error',
  });
});

test('filters, pages and what a group is and has', async () => {
  const query = `query ($filter: ResourceGroupFilter) {
    adminResourceGroups(filter: $filter, ${byName}, limit: 1) { count edges { node {
      name status { isActive isPublic } metadata { description } network { useHostNetwork }
      scheduler { type preemption { enabled preemptiblePriority order mode preemptionMinRuntime victimScope } }
      resourceInfo { capacity { entries { resourceType quantity } }
        used { entries { resourceType quantity } } free { entries { resourceType quantity } } } } } } }`;
  const ask = async (filter: object) => {
    const { data, errors } = await tenants.ask('superadmin', query, { filter });
    expect(errors).toBeNull();
    return data?.adminResourceGroups;
  };
  const none = { entries: [] };
  expect(await ask({ isActive: false })).toEqual({
    count: 1,
    edges: [
      {
        node: {
          name: 'closed',
          status: { isActive: false, isPublic: true },
          metadata: { description: null },
          network: { useHostNetwork: false },
          scheduler: {
            type: 'DRF',
            preemption: {
              ...{ enabled: false, preemptiblePriority: 5, order: 'NEWEST', mode: 'TERMINATE' },
              ...{ preemptionMinRuntime: 0, victimScope: 'USER' },
            },
          },
          resourceInfo: { capacity: none, used: none, free: none },
        },
      },
    ],
  });
  const entry = (resourceType: string, quantity: string) => ({ resourceType, quantity });
  expect(await ask({ name: { in: ['default', 'gpu'] } })).toMatchObject({
    count: 2,
    edges: [
      {
        node: {
          name: 'default',
          resourceInfo: {
            capacity: {
              entries: expect.arrayContaining([entry('cpu', '4'), entry('mem', '8589934592')]),
            },
            used: {
              entries: expect.arrayContaining([entry('cpu', '1.5'), entry('mem', '1073741824')]),
            },
            free: {
              entries: expect.arrayContaining([entry('cpu', '2.5'), entry('mem', '7516192768')]),
            },
          },
        },
      },
    ],
  });
});

test('a group is found by its id by those who see it', async () => {
  const id = Buffer.from('ResourceGroup:gpu').toString('base64');
  const query = `{ node(id: "${id}") { id ... on ResourceGroup { name } } }`;
  expect((await tenants.ask('otherUser', query)).data).toEqual({ node: { id, name: 'gpu' } });
  expect((await tenants.ask('user', query)).data).toEqual({ node: null });
});
