/** Users through the newer schema: who sees and changes whom. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
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

async function refusal(who: Who, query: string, variables?: unknown): Promise<string> {
  const { errors } = await tenants.ask(who, query, variables);
  return errors?.[0]?.message ?? 'nobody was refused';
}

const list = v.object({
  count: v.number(),
  edges: v.array(v.object({ node: v.object({ basicInfo: v.object({ email: v.string() }) }) })),
});

/** The local parts of the addresses in the only field of an answer. */
async function names(who: Who, field: string, variables?: unknown): Promise<string[]> {
  const query = `query ($filter: UserV2Filter, $orderBy: [UserV2OrderBy!]) {
    list: ${field} { count edges { node { basicInfo { email } } } } }`;
  const { count, edges } = v.parse(list, (await data(who, query, variables)).list);
  expect(edges).toHaveLength(count);
  return edges.map(({ node }) => node.basicInfo.email.split('@')[0] ?? '');
}

const ALL = 'adminUsersV2(filter: $filter, orderBy: $orderBy, limit: 50)';

describe('lists', () => {
  test('adminUsersV2 is filtered and ordered by everything that the schema has', async () => {
    const { userId } = tenants.people.user;
    const cases: readonly [filter: object, expected: string[]][] = [
      [{ uuid: { equals: userId } }, ['user']],
      [{ email: { startsWith: 'other' } }, ['otherAdmin', 'otherUser']],
      [{ role: { in: ['SUPERADMIN', 'MONITOR'] } }, ['monitor', 'superadmin']],
      [
        { role: { notIn: ['USER', 'ADMIN'] }, status: { equals: 'ACTIVE' } },
        ['monitor', 'superadmin'],
      ],
      [{ domainName: { equals: 'elsewhere' } }, ['otherAdmin', 'otherUser']],
      [{ domain: { name: { iContains: 'ELSE' }, isActive: true } }, ['otherAdmin', 'otherUser']],
      [{ project: { name: { equals: 'work' } } }, ['otherUser', 'user']],
      [{ status: { equals: 'BEFORE_VERIFICATION' } }, []],
      [
        { OR: [{ username: { equals: 'user' } }, { username: { equals: 'admin' } }] },
        ['admin', 'user'],
      ],
      [
        { NOT: [{ role: { in: ['USER', 'ADMIN'] } }], username: { notEquals: 'monitor' } },
        ['superadmin'],
      ],
      [{ createdAt: { after: '2100-01-01T00:00:00Z' } }, []],
      [{ sudoSessionEnabled: true }, []],
      [{ containerUid: { equals: 5 } }, []],
    ];
    const orderBy = [{ field: 'EMAIL', direction: 'ASC' }];
    for (const [filter, expected] of cases) {
      expect(await names('superadmin', ALL, { filter, orderBy })).toEqual(expected);
    }
    for (const field of [
      'CREATED_AT',
      'MODIFIED_AT',
      'USERNAME',
      'STATUS',
      'DOMAIN_NAME',
      'PROJECT_NAME',
    ]) {
      for (const direction of ['ASC', 'DESC']) {
        expect(await names('superadmin', ALL, { orderBy: [{ field, direction }] })).toHaveLength(6);
      }
    }
    const byProject = await names('superadmin', ALL, {
      orderBy: [
        { field: 'PROJECT_NAME', direction: 'ASC' },
        { field: 'EMAIL', direction: 'DESC' },
      ],
    });
    expect(byProject.slice(0, 2)).toEqual(['user', 'otherUser']);
  });

  test('who reaches which', async () => {
    const reached = async (query: string) => {
      const outcomes = await tenants.outcomes(query);
      return Object.keys(outcomes).filter((who) => outcomes[who] === 'data');
    };
    const { userId } = tenants.people.user;
    expect(await reached('{ adminUsersV2 { count } }')).toEqual(['superadmin']);
    expect(await reached(`{ adminUserV2(userId: "${userId}") { id } }`)).toEqual(['superadmin']);
    expect(await reached('{ domainUsersV2(scope: { domainName: "default" }) { count } }')).toEqual([
      'superadmin',
      'admin',
    ]);
    expect(
      await reached(
        `{ projectUsersV2(scope: { projectId: "${tenants.projects.default}" }) { count } }`,
      ),
    ).toEqual(['superadmin', 'admin', 'user']);
    expect(await reached('{ myUserV2 { id } }')).toHaveLength(6);
    const id = globalId('UserV2', userId);
    expect(await reached(`{ node(id: "${id}") { id } }`)).toEqual(['superadmin', 'admin', 'user']);
  });

  test('of a domain and of a project', async () => {
    const domain =
      'domainUsersV2(scope: { domainName: "elsewhere" }, filter: $filter, orderBy: $orderBy)';
    const orderBy = [{ field: 'EMAIL', direction: 'ASC' }];
    expect(await names('otherAdmin', domain, { orderBy })).toEqual(['otherAdmin', 'otherUser']);
    const inProject = `scope: { projectId: "${tenants.projects.default}" }`;
    expect(
      await names('user', `projectUsersV2(${inProject}, filter: $filter, orderBy: $orderBy)`),
    ).toEqual(['user']);
    expect(await refusal('otherUser', `{ projectUsersV2(${inProject}) { count } }`)).toContain(
      'Not enough permission',
    );
  });

  test('all fields, with the domain and projects of many users at once', async () => {
    const { user } = tenants.people;
    const query = `{ adminUsersV2(filter: { username: { equals: "user" } }) { edges { node { id
      basicInfo { username email fullName description integrationName }
      status { status statusInfo needPasswordChange }
      organization { domainName role resourcePolicy mainAccessKey }
      security { allowedClientIp totpActivated totpActivatedAt sudoSessionEnabled }
      container { containerUid containerMainGid containerGids }
      timestamps { createdAt modifiedAt }
      domain { basicInfo { name } users(filter: { role: { equals: MONITOR } }) { count } }
      projects { count edges { node { basicInfo { name } users { count } } } } } } } }`;
    expect(await data('superadmin', query)).toMatchObject({
      adminUsersV2: {
        edges: [
          {
            node: {
              id: globalId('UserV2', user.userId),
              basicInfo: { username: 'user', email: user.email, integrationName: null },
              status: { status: 'ACTIVE', needPasswordChange: null },
              organization: { domainName: 'default', role: 'USER', resourcePolicy: 'default' },
              security: { allowedClientIp: null, sudoSessionEnabled: false },
              container: { containerUid: null, containerMainGid: null, containerGids: null },
              timestamps: { createdAt: expect.any(String) },
              domain: { basicInfo: { name: 'default' }, users: { count: 1 } },
              projects: {
                count: 1,
                edges: [{ node: { basicInfo: { name: 'work' }, users: { count: 1 } } }],
              },
            },
          },
        ],
      },
    });
  });
});

const input = (name: string, more: object = {}) => ({
  email: `${name}@test.example`,
  username: name,
  password: 'correct horse 1!',
  domainName: 'default',
  needPasswordChange: true,
  status: 'ACTIVE',
  role: 'USER',
  ...more,
});

const bulkCreate = `mutation ($input: BulkCreateUserV2Input!) { adminBulkCreateUsersV2(input: $input) {
  createdUsers { id basicInfo { email } projects { count } } failed { index username email message } } }`;

const created = v.object({
  createdUsers: v.array(v.object({ id: v.string(), basicInfo: v.object({ email: v.string() }) })),
  failed: v.array(v.object({ index: v.number(), email: v.string(), message: v.string() })),
});

async function make(...users: object[]) {
  const { adminBulkCreateUsersV2 } = await data('superadmin', bulkCreate, { input: { users } });
  return v.parse(created, adminBulkCreateUsersV2);
}

const idOf = async (name: string): Promise<string> => {
  const [row] = await tenants.db.sql<{ uuid: string }[]>`
    SELECT uuid FROM users WHERE username = ${name}`;
  return row?.uuid ?? '';
};

describe('administrators', () => {
  test('create a user and learn the secret of its keypair once', async () => {
    const answer = await data(
      'superadmin',
      `mutation ($input: CreateUserV2Input!) { adminCreateUserV2(input: $input) {
        user { organization { role mainAccessKey } status { status needPasswordChange } }
        keypair { secretKey keypair { accessKey isAdmin isActive user { basicInfo { email } } } } } }`,
      { input: input('first', { role: 'ADMIN', groupIds: [tenants.projects.default] }) },
    );
    const parsed = v.parse(
      v.object({
        user: v.object({ organization: v.object({ mainAccessKey: v.string() }) }),
        keypair: v.object({ secretKey: v.string(), keypair: v.object({ accessKey: v.string() }) }),
      }),
      answer.adminCreateUserV2,
    );
    expect(parsed.keypair.keypair.accessKey).toBe(parsed.user.organization.mainAccessKey);
    expect(parsed.keypair.secretKey).toHaveLength(40);
    expect(answer).toMatchObject({
      adminCreateUserV2: {
        user: { organization: { role: 'ADMIN' }, status: { needPasswordChange: true } },
        keypair: { keypair: { isAdmin: true, isActive: true } },
      },
    });
  });

  test('create many: one that cannot be keeps no other from being made', async () => {
    const { createdUsers, failed } = await make(
      input('many1'),
      input('user'),
      input('many2', { groupIds: [tenants.projects.elsewhere] }),
      input('many3', { groupIds: [tenants.projects.default] }),
    );
    expect(createdUsers.map(({ basicInfo }) => basicInfo.email)).toEqual([
      'many1@test.example',
      'many3@test.example',
    ]);
    expect(failed.map(({ index, email }) => [index, email])).toEqual([
      [1, 'user@test.example'],
      [2, 'many2@test.example'],
    ]);
    expect(failed[0]?.message).toContain('already exists');
    expect(failed[1]?.message).toContain("in domain 'default'");
    expect(await idOf('many2')).toBe('');
    const many = Array.from({ length: 201 }, (_, i) => input(`x${i}`));
    expect(await refusal('superadmin', bulkCreate, { input: { users: many } })).toContain(
      'At most',
    );
    const withKeys = await data(
      'superadmin',
      `mutation ($input: BulkCreateUserV2Input!) { adminBulkCreateUsersWithKeypairV2(input: $input) {
        created { user { id } keypair { secretKey } } failed { index } } }`,
      { input: { users: [input('keyed')] } },
    );
    expect(withKeys).toMatchObject({
      adminBulkCreateUsersWithKeypairV2: {
        created: [{ keypair: { secretKey: expect.any(String) } }],
        failed: [],
      },
    });
  });

  test('change users: absent stays, null clears', async () => {
    await make(input('changing', { description: 'first', fullName: 'One' }));
    const userId = await idOf('changing');
    const update = (changes: object) =>
      data(
        'superadmin',
        `mutation ($userId: UUID!, $input: UpdateUserV2Input!) {
          adminUpdateUserV2(userId: $userId, input: $input) { user {
            basicInfo { fullName description } status { status } organization { role }
            container { containerGids } security { allowedClientIp } projects { count } } } }`,
        { userId, input: changes },
      );
    expect(
      await update({
        fullName: 'Two',
        role: 'ADMIN',
        containerGids: [1, 2],
        allowedClientIp: ['10.0.0.0/8'],
        groupIds: [tenants.projects.default],
      }),
    ).toEqual({
      adminUpdateUserV2: {
        user: {
          basicInfo: { fullName: 'Two', description: 'first' },
          status: { status: 'ACTIVE' },
          organization: { role: 'ADMIN' },
          container: { containerGids: [1, 2] },
          security: { allowedClientIp: ['10.0.0.0/8'] },
          projects: { count: 1 },
        },
      },
    });
    expect(
      await update({ fullName: null, containerGids: null, allowedClientIp: null, username: null }),
    ).toMatchObject({
      adminUpdateUserV2: {
        user: {
          basicInfo: { fullName: null, description: 'first' },
          container: { containerGids: null },
          security: { allowedClientIp: null },
          projects: { count: 1 },
        },
      },
    });
    const bulk = await data(
      'superadmin',
      `mutation ($input: BulkUpdateUserV2Input!) { adminBulkUpdateUsersV2(input: $input) {
        updatedUsers { basicInfo { description } } failed { userId message } } }`,
      {
        input: {
          users: [
            { userId, input: { description: 'bulk' } },
            { userId: tenants.projects.default, input: { description: 'bulk' } },
          ],
        },
      },
    );
    expect(bulk).toMatchObject({
      adminBulkUpdateUsersV2: {
        updatedUsers: [{ basicInfo: { description: 'bulk' } }],
        failed: [{ userId: tenants.projects.default, message: expect.stringContaining('no user') }],
      },
    });
  });

  test('close and purge accounts, one and many, but not their own', async () => {
    await make(input('gone1'), input('gone2'), input('gone3'), input('gone4'));
    const ids = await Promise.all(['gone1', 'gone2', 'gone3', 'gone4'].map(idOf));
    const own = tenants.people.superadmin.userId;
    const close = 'mutation ($id: UUID!) { adminDeleteUserV2(userId: $id) { success } }';
    expect(await data('superadmin', close, { id: ids[0] })).toEqual({
      adminDeleteUserV2: { success: true },
    });
    const closeMany = `mutation ($ids: [UUID!]!) {
      adminDeleteUsersV2(input: { userIds: $ids }) { deletedCount } }`;
    expect(await data('superadmin', closeMany, { ids: ids.slice(1, 3) })).toEqual({
      adminDeleteUsersV2: { deletedCount: 2 },
    });
    const partly = await refusal('superadmin', closeMany, { ids: [ids[3], own] });
    expect(partly).toContain('1 account(s) are closed');
    expect(partly).toContain(own);
    const closed = await tenants.db.sql`
      SELECT 1 FROM users WHERE username LIKE 'gone%' AND status = 'deleted'`;
    expect(closed).toHaveLength(4);
    const purge = 'mutation ($id: UUID!) { adminPurgeUserV2(input: { userId: $id }) { success } }';
    expect(await data('superadmin', purge, { id: ids[0] })).toEqual({
      adminPurgeUserV2: { success: true },
    });
    expect(
      await data(
        'superadmin',
        `mutation ($ids: [UUID!]!) { adminBulkPurgeUsersV2(input: { userIds: $ids,
          options: { purgeSharedVfolders: true, delegateEndpointOwnership: true } }) {
          purgedCount failed { userId message } } }`,
        { ids: [...ids, own] },
      ),
    ).toEqual({
      adminBulkPurgeUsersV2: {
        purgedCount: 3,
        failed: [
          { userId: ids[0], message: expect.stringContaining('no user') },
          { userId: own, message: expect.stringContaining('your own') },
        ],
      },
    });
  });
});

describe('people', () => {
  const update = `mutation ($input: UpdateUserV2Input!) { updateUserV2(input: $input) {
    user { basicInfo { fullName } security { allowedClientIp } } } }`;

  test('change their own profile and password', async () => {
    for (const who of ['user', 'monitor', 'otherAdmin'] as const) {
      const changes = { fullName: `I am ${who}`, password: 'another 1 good!' };
      expect(await data(who, update, { input: changes })).toMatchObject({
        updateUserV2: { user: { basicInfo: { fullName: `I am ${who}` } } },
      });
    }
    expect(await refusal('user', update, { input: { password: 'x' } })).toContain('assword');
  });

  test("change nothing that is an administrator's to change", async () => {
    const before = await tenants.db.sql`SELECT * FROM users ORDER BY uuid`;
    for (const changes of [
      { role: 'SUPERADMIN' },
      { status: 'INACTIVE' },
      { domainName: 'elsewhere' },
      { groupIds: [tenants.projects.elsewhere] },
      { resourcePolicy: 'default' },
      { sudoSessionEnabled: true },
      { needPasswordChange: false },
      { containerUid: 0 },
      { containerGids: null },
    ]) {
      for (const who of ['user', 'admin'] as const) {
        const message = await refusal(who, update, { input: changes });
        expect(message).toContain(`Only an administrator changes your ${Object.keys(changes)[0]}`);
      }
    }
    const foreign = { mainAccessKey: tenants.people.superadmin.accessKey };
    expect(await refusal('user', update, { input: foreign })).toContain(
      "another user's access key",
    );
    expect(await tenants.db.sql`SELECT * FROM users ORDER BY uuid`).toEqual(before);
  });

  test('cannot be changed while the cluster is frozen', async () => {
    await tenants.ctx.config.put('manager/status', 'frozen');
    expect(await refusal('user', update, { input: { fullName: 'x' } })).toContain('frozen');
    await tenants.ctx.config.put('manager/status', 'running');
  });
});
