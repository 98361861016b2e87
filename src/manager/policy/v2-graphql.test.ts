/** Resource policies through the newer schema: lists, changes, and who may. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { globalId } from '../graphql/global-id.ts';

let tenants: Tenants;
beforeAll(async () => {
  tenants = await testTenants();
});
afterAll(() => tenants.close());

type Who = Parameters<Tenants['ask']>[0];

async function data(who: Who, query: string, variables?: unknown) {
  const answer = await tenants.ask(who, query, variables);
  expect(answer.errors).toBeNull();
  return answer.data ?? {};
}

async function refusal(query: string, variables?: unknown): Promise<string> {
  const { errors } = await tenants.ask('superadmin', query, variables);
  return errors?.[0]?.message ?? 'nobody was refused';
}

const keypairFields = `id name createdAt defaultForUnspecified
  totalResourceSlots { resourceType quantity unlimited } maxSessionLifetime maxConcurrentSessions
  maxPendingSessionCount maxPendingSessionResourceSlots { resourceType quantity }
  maxConcurrentSftpSessions maxContainersPerSession idleTimeout
  allowedVfolderHosts { host permissions }`;

const create = `mutation ($input: CreateKeypairResourcePolicyInput!) {
  adminCreateKeypairResourcePolicyV2(input: $input) { keypairResourcePolicy { ${keypairFields} } } }`;
const update = `mutation ($name: String!, $input: UpdateKeypairResourcePolicyInput!) {
  adminUpdateKeypairResourcePolicyV2(name: $name, input: $input) {
    keypairResourcePolicy { ${keypairFields} } } }`;

const wanted = {
  name: 'lab',
  defaultForUnspecified: 'limited',
  totalResourceSlots: [
    { resourceType: 'cpu', quantity: '4' },
    { resourceType: 'mem', quantity: '16g' },
    { resourceType: 'cuda.shares', quantity: 'Infinity' },
  ],
  maxSessionLifetime: 3600,
  maxConcurrentSessions: 3,
  maxContainersPerSession: 1,
  idleTimeout: 600,
  allowedVfolderHosts: [
    { host: 'local:volume1', permissions: ['CREATE_VFOLDER', 'SET_USER_PERM', 'mount-in-session'] },
  ],
};

test('a keypair policy is made, changed in part, shown and removed', async () => {
  expect(await data('superadmin', create, { input: wanted })).toEqual({
    adminCreateKeypairResourcePolicyV2: {
      keypairResourcePolicy: {
        id: globalId('KeypairResourcePolicyV2', 'lab'),
        name: 'lab',
        createdAt: expect.any(String),
        defaultForUnspecified: 'LIMITED',
        totalResourceSlots: expect.arrayContaining([
          { resourceType: 'cpu', quantity: '4', unlimited: false },
          { resourceType: 'mem', quantity: '17179869184', unlimited: false },
          { resourceType: 'cuda.shares', quantity: null, unlimited: true },
        ]),
        maxSessionLifetime: 3600,
        maxConcurrentSessions: 3,
        maxPendingSessionCount: null,
        maxPendingSessionResourceSlots: null,
        maxConcurrentSftpSessions: 1,
        maxContainersPerSession: 1,
        idleTimeout: 600,
        allowedVfolderHosts: [
          {
            host: 'local:volume1',
            permissions: ['CREATE_VFOLDER', 'MOUNT_IN_SESSION', 'SET_USER_PERM'],
          },
        ],
      },
    },
  });
  const [row] = await tenants.db.sql`
    SELECT allowed_vfolder_hosts FROM keypair_resource_policies WHERE name = 'lab'`;
  expect(row?.allowed_vfolder_hosts).toEqual({
    'local:volume1': ['create-vfolder', 'set-user-specific-permission', 'mount-in-session'],
  });
  const changes = {
    idleTimeout: 0,
    allowedVfolderHosts: [],
    maxPendingSessionResourceSlots: [{ resourceType: 'cpu', quantity: '8' }],
  };
  expect(await data('superadmin', update, { name: 'lab', input: changes })).toMatchObject({
    adminUpdateKeypairResourcePolicyV2: {
      keypairResourcePolicy: {
        idleTimeout: 0,
        maxConcurrentSessions: 3,
        allowedVfolderHosts: [],
        maxPendingSessionResourceSlots: [{ resourceType: 'cpu', quantity: '8' }],
      },
    },
  });
  const remove = 'mutation { adminDeleteKeypairResourcePolicyV2(name: "lab") { name } }';
  expect(await data('superadmin', remove)).toEqual({
    adminDeleteKeypairResourcePolicyV2: { name: 'lab' },
  });
  expect(await refusal(remove)).toContain("no keypair resource policy 'lab'");
  expect(await refusal(update, { name: 'lab', input: {} })).toContain("'lab'");
});

test.each([
  [{ defaultForUnspecified: 'perhaps' }, 'LIMITED, UNLIMITED'],
  [{ totalResourceSlots: [{ resourceType: 'mem', quantity: 'lots' }] }, 'totalResourceSlots'],
  [{ allowedVfolderHosts: [{ host: 'h', permissions: ['FLY'] }] }, 'allowedVfolderHosts'],
  [{ name: ' ' }, 'policy name'],
])('%j is refused and nothing is stored', async (wrong, message) => {
  const input = { ...wanted, name: 'wrong', ...wrong };
  expect(await refusal(create, { input })).toContain(message);
  const rows = await tenants.db.sql`
    SELECT 1 FROM keypair_resource_policies WHERE name = 'wrong'`;
  expect(rows).toHaveLength(0);
});

test('user and project policies, with sizes beyond 2 GiB', async () => {
  const made = await data(
    'superadmin',
    `mutation { adminCreateUserResourcePolicyV2(input: { name: "u", maxVfolderCount: 5,
        maxQuotaScopeSize: { expr: "1.5t" }, maxSessionCountPerModelSession: 1,
        maxCustomizedImageCount: 2 }) { userResourcePolicy { id name maxVfolderCount
        maxConcurrentLogins maxQuotaScopeSize { value display } maxSessionCountPerModelSession
        maxCustomizedImageCount } }
      adminCreateProjectResourcePolicyV2(input: { name: "p", maxVfolderCount: 1,
        maxQuotaScopeSize: { expr: "-1" }, maxNetworkCount: -1 }) { projectResourcePolicy { id
        maxVfolderCount maxQuotaScopeSize { value display } maxNetworkCount } } }`,
  );
  expect(made).toEqual({
    adminCreateUserResourcePolicyV2: {
      userResourcePolicy: {
        id: globalId('UserResourcePolicyV2', 'u'),
        name: 'u',
        maxVfolderCount: 5,
        maxConcurrentLogins: null,
        maxQuotaScopeSize: { value: 1649267441664, display: '1.5t' },
        maxSessionCountPerModelSession: 1,
        maxCustomizedImageCount: 2,
      },
    },
    adminCreateProjectResourcePolicyV2: {
      projectResourcePolicy: {
        id: globalId('ProjectResourcePolicyV2', 'p'),
        maxVfolderCount: 1,
        maxQuotaScopeSize: { value: -1, display: '-1' },
        maxNetworkCount: -1,
      },
    },
  });
  expect(
    await data(
      'superadmin',
      `mutation { adminUpdateUserResourcePolicyV2(name: "u", input: { maxConcurrentLogins: 3 }) {
          userResourcePolicy { maxConcurrentLogins maxVfolderCount } }
        adminUpdateProjectResourcePolicyV2(name: "p", input: { maxQuotaScopeSize: { expr: "512m" } }) {
          projectResourcePolicy { maxNetworkCount maxQuotaScopeSize { display } } } }`,
    ),
  ).toEqual({
    adminUpdateUserResourcePolicyV2: {
      userResourcePolicy: { maxConcurrentLogins: 3, maxVfolderCount: 5 },
    },
    adminUpdateProjectResourcePolicyV2: {
      projectResourcePolicy: { maxNetworkCount: -1, maxQuotaScopeSize: { display: '512m' } },
    },
  });
  const wrong = `mutation { adminUpdateProjectResourcePolicyV2(name: "p",
    input: { maxQuotaScopeSize: { expr: "big" } }) { projectResourcePolicy { id } } }`;
  expect(await refusal(wrong)).toContain("maxQuotaScopeSize: 'big' is no size");
  expect(
    await data(
      'superadmin',
      `{ adminUserResourcePoliciesV2(filter: { maxVfolderCount: { greaterThan: 4 } },
          orderBy: [{ field: MAX_QUOTA_SCOPE_SIZE }]) { count edges { node { name } } }
        adminProjectResourcePoliciesV2(filter: { name: { equals: "p" } },
          orderBy: [{ field: MAX_NETWORK_COUNT, direction: ASC }]) { count }
        adminUserResourcePolicyV2(name: "u") { name }
        adminProjectResourcePolicyV2(name: "nope") { name } }`,
    ),
  ).toEqual({
    adminUserResourcePoliciesV2: { count: 1, edges: [{ node: { name: 'u' } }] },
    adminProjectResourcePoliciesV2: { count: 1 },
    adminUserResourcePolicyV2: { name: 'u' },
    adminProjectResourcePolicyV2: null,
  });
  await data(
    'superadmin',
    `mutation { adminDeleteUserResourcePolicyV2(name: "u") { name }
      adminDeleteProjectResourcePolicyV2(name: "p") { name } }`,
  );
});

test('the list with its keypairs is filtered by every field', async () => {
  await data('superadmin', create, { input: { ...wanted, name: 'a' } });
  const { user } = tenants.people;
  const query = `query ($filter: KeypairResourcePolicyV2Filter) {
    adminKeypairResourcePoliciesV2(filter: $filter, orderBy: [{ field: NAME, direction: ASC }]) {
      count edges { node { name keypairs(filter: { userId: { equals: "${user.userId}" } }) {
        edges { node { accessKey user { organization { domainName } } } } } } } } }`;
  const names = async (filter: object) => {
    const { adminKeypairResourcePoliciesV2: list } = await data('superadmin', query, { filter });
    return (
      JSON.stringify(list)
        .match(/"name":"\w+"/g)
        ?.map((text) => text.slice(8, -1)) ?? []
    );
  };
  expect(await names({})).toEqual(['a', 'default']);
  expect(await names({ name: { startsWith: 'a' } })).toEqual(['a']);
  expect(await names({ keypair: { userId: { equals: user.userId } } })).toEqual(['default']);
  expect(await names({ maxSessionLifetime: { equals: 3600 } })).toEqual(['a']);
  expect(await names({ maxConcurrentSessions: { equals: 3 } })).toEqual(['a']);
  expect(
    await names({ maxContainersPerSession: { equals: 1 }, idleTimeout: { equals: 600 } }),
  ).toEqual(['a']);
  expect(await names({ maxConcurrentSftpSessions: { equals: 99 } })).toEqual([]);
  expect(await names({ maxPendingSessionCount: { greaterThan: 0 } })).toEqual([]);
  expect(await names({ createdAt: { before: '2001-01-01T00:00:00Z' } })).toEqual([]);
  const { adminKeypairResourcePoliciesV2: list } = await data('superadmin', query, {
    filter: { name: { equals: 'default' } },
  });
  expect(list).toEqual({
    count: 1,
    edges: [
      {
        node: {
          name: 'default',
          keypairs: {
            edges: [
              {
                node: {
                  accessKey: user.accessKey,
                  user: { organization: { domainName: 'default' } },
                },
              },
            ],
          },
        },
      },
    ],
  });
});

test('others see the policies they have, and no list', async () => {
  await tenants.db.sql`INSERT INTO user_resource_policies (name, max_vfolder_count,
      max_quota_scope_size, max_session_count_per_model_session, max_customized_image_count)
    VALUES ('none', 0, 0, 0, 0)`;
  for (const field of [
    'adminKeypairResourcePoliciesV2 { count }',
    'adminKeypairResourcePolicyV2(name: "default") { name }',
    'adminUserResourcePoliciesV2 { count }',
    'adminUserResourcePolicyV2(name: "default") { name }',
    'adminProjectResourcePoliciesV2 { count }',
    'adminProjectResourcePolicyV2(name: "default") { name }',
  ]) {
    const outcomes = await tenants.outcomes(`{ ${field} }`);
    expect(Object.keys(outcomes).filter((who) => outcomes[who] === 'data')).toEqual(['superadmin']);
  }
  expect(
    await data('user', '{ myKeypairResourcePolicyV2 { name } myUserResourcePolicyV2 { name } }'),
  ).toEqual({
    myKeypairResourcePolicyV2: { name: 'default' },
    myUserResourcePolicyV2: { name: 'default' },
  });
  const node = async (who: Who, type: string, name: string) =>
    (await data(who, `{ node(id: "${globalId(type, name)}") { __typename } }`)).node;
  expect(await node('user', 'KeypairResourcePolicyV2', 'default')).not.toBeNull();
  expect(await node('user', 'UserResourcePolicyV2', 'none')).toBeNull();
  expect(await node('superadmin', 'UserResourcePolicyV2', 'none')).not.toBeNull();
  expect(await node('user', 'ProjectResourcePolicyV2', 'default')).toBeNull();
  expect(await node('superadmin', 'ProjectResourcePolicyV2', 'default')).not.toBeNull();
});
