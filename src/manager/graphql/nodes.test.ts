/** Users, projects and domains as nodes and lists: who sees which, in both styles of lists. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as v from 'valibot';
import { queriesDuring } from '../../testing/query-count.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { globalId } from './global-id.ts';

let tenants: Tenants;
beforeAll(async () => {
  tenants = await testTenants();
  const { sql } = tenants.db;
  await sql`INSERT INTO scaling_groups (name, is_active, is_public, driver, driver_opts, scheduler,
      scheduler_opts, wsproxy_api_token, use_host_network, default_deployment_options,
      default_session_options)
    VALUES ('open', true, true, 'static', '{}', 'fifo', '{}', 'secret', false, '{}', '{}'),
           ('hidden', true, false, 'static', '{}', 'fifo', '{}', 'secret', false, '{}', '{}')`;
  await sql`INSERT INTO sgroups_for_domains (scaling_group, domain)
    VALUES ('open', 'default'), ('hidden', 'default')`;
});
afterAll(() => tenants.close());

type Who = Parameters<Tenants['ask']>[0];

async function data(who: Who, query: string, variables?: unknown) {
  const answer = await tenants.ask(who, query, variables);
  expect(answer.errors).toBeNull();
  return answer.data ?? {};
}

const everybody = ['superadmin', 'admin', 'user', 'monitor', 'otherAdmin', 'otherUser'] as const;

/** For each role whether the field answers something. */
async function reached(query: string, variables?: unknown): Promise<string[]> {
  const outcomes = await tenants.outcomes(query, variables);
  return everybody.filter((who) => outcomes[who] === 'data');
}

test('viewer and myClientIp are about the caller', async () => {
  for (const who of everybody) {
    const { viewer, myClientIp } = await data(
      who,
      '{ viewer { user { id email } user_id encoded_user_role } myClientIp { clientIp } }',
    );
    const { userId, email } = tenants.people[who];
    const role = who.replace('other', '').toLowerCase();
    expect(viewer).toEqual({
      user: { id: globalId('UserNode', userId), email },
      user_id: userId,
      encoded_user_role: Buffer.from(role).toString('base64'),
    });
    expect(myClientIp).toEqual({ clientIp: '127.0.0.1' });
  }
});

test('a node is found by either form of its id, by those who may see it', async () => {
  const { userId } = tenants.people.user;
  const project = tenants.projects.default;
  const seers = ['superadmin', 'admin', 'user'];
  for (const id of [userId, globalId('UserNode', userId)]) {
    expect(await reached(`{ user_node(id: "${id}") { email } }`)).toEqual(seers);
  }
  for (const id of [project, globalId('GroupNode', project)]) {
    expect(await reached(`{ group_node(id: "${id}") { name } }`)).toEqual(seers);
  }
  const insiders = ['superadmin', 'admin', 'user', 'monitor'];
  for (const id of ['default', globalId('DomainNode', 'default')]) {
    expect(await reached(`{ domain_node(id: "${id}") { name } }`)).toEqual(insiders);
  }
  expect(await reached('{ domainV2(domainName: "default") { id } }')).toEqual(insiders);
  for (const text of ['nonsense', globalId('UserNode', 'x'), '']) {
    for (const field of ['user_node', 'group_node', 'domain_node']) {
      expect(await reached(`{ ${field}(id: "${text}") { id } }`)).toEqual([]);
    }
  }
});

test('node(id) dispatches on the type, with the same visibility', async () => {
  const { userId } = tenants.people.user;
  const node = 'query ($id: ID!) { node(id: $id) { __typename id } }';
  const cases: readonly [typeName: string, rawId: string, seers: string[]][] = [
    ['UserNode', userId, ['superadmin', 'admin', 'user']],
    ['GroupNode', tenants.projects.default, ['superadmin', 'admin', 'user']],
    ['DomainNode', 'default', ['superadmin', 'admin', 'user', 'monitor']],
    ['DomainV2', 'default', ['superadmin', 'admin', 'user', 'monitor']],
    ['ScalingGroupNode', 'open', ['superadmin', 'admin', 'user', 'monitor']],
    ['ScalingGroupNode', 'hidden', ['superadmin']],
  ];
  for (const [typeName, rawId, seers] of cases) {
    const id = globalId(typeName, rawId);
    expect(await reached(node, { id })).toEqual(seers);
    expect(await data('superadmin', node, { id })).toEqual({ node: { __typename: typeName, id } });
  }
  for (const id of [userId, globalId('Nothing', userId), globalId('KeyPair', 'x'), '']) {
    const { errors } = await tenants.ask('superadmin', node, { id });
    expect(errors?.[0]?.message).toContain('not the id of a node');
  }
  const spread = `query ($id: ID!) { node(id: $id) {
    ... on UserNode { email } ... on GroupNode { name } ... on DomainNode { name } } }`;
  expect(await data('user', spread, { id: globalId('UserNode', userId) })).toEqual({
    node: { email: tenants.people.user.email },
  });
});

test('user_nodes is for superadmins: filtered, ordered, paged both ways, counted', async () => {
  expect(await reached('{ user_nodes { count } }')).toEqual(['superadmin']);
  const query = `query ($first: Int, $after: String, $last: Int, $before: String, $offset: Int) {
    user_nodes(filter: "domain_name == \\"default\\"", order: "-role,email", first: $first,
      after: $after, last: $last, before: $before, offset: $offset) {
      edges { node { email } cursor } count
      pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }`;
  const connection = v.object({
    edges: v.array(v.object({ node: v.object({ email: v.string() }), cursor: v.string() })),
    count: v.number(),
    pageInfo: v.object({
      hasNextPage: v.boolean(),
      hasPreviousPage: v.boolean(),
      startCursor: v.nullable(v.string()),
      endCursor: v.nullable(v.string()),
    }),
  });
  const page = async (variables: object) => {
    const { user_nodes } = await data('superadmin', query, variables);
    const { edges, ...rest } = v.parse(connection, user_nodes);
    return { names: edges.map(({ node }) => node.email.replace('@test.example', '')), ...rest };
  };
  const all = (await page({})).names;
  expect(all).toHaveLength(4);
  const first = await page({ first: 3 });
  expect(first).toMatchObject({
    names: all.slice(0, 3),
    count: 4,
    pageInfo: { hasNextPage: true, hasPreviousPage: false },
  });
  const second = await page({ first: 3, after: first.pageInfo.endCursor });
  expect(second).toMatchObject({ names: all.slice(3), pageInfo: { hasNextPage: false } });
  const back = await page({ last: 2, before: second.pageInfo.startCursor });
  expect(back).toMatchObject({ names: all.slice(1, 3), pageInfo: { hasPreviousPage: true } });
  expect((await page({ offset: 1, first: 2 })).names).toEqual(all.slice(1, 3));
  expect(await page({ first: 0 })).toMatchObject({ names: [], count: 4 });
  for (const wrong of [{ first: -1 }, { first: 1, last: 1 }, { offset: 0, last: 1 }]) {
    expect((await tenants.ask('superadmin', query, wrong)).errors).not.toBeNull();
  }
  const ofProject = await data(
    'superadmin',
    '{ user_nodes(filter: "project_name == \\"work\\"", order: "email") { edges { node { email } } } }',
  );
  expect(ofProject).toEqual({
    user_nodes: {
      edges: [
        { node: { email: 'otherUser@test.example' } },
        { node: { email: 'user@test.example' } },
      ],
    },
  });
});

test('group_nodes shows what the caller holds a permission on, in a scope', async () => {
  const names = async (who: Who, rest = '') => {
    const { group_nodes } = await data(
      who,
      `{ group_nodes(order: "domain_name", first: 5 ${rest}) { count edges { node { domain_name } } } }`,
    );
    const { count, edges } = v.parse(
      v.object({
        count: v.number(),
        edges: v.array(v.object({ node: v.object({ domain_name: v.string() }) })),
      }),
      group_nodes,
    );
    expect(edges).toHaveLength(count);
    return edges.map(({ node }) => node.domain_name);
  };
  const both = ['default', 'elsewhere'];
  expect(await names('superadmin')).toEqual(both);
  expect(await names('admin')).toEqual(['default']);
  expect(await names('user')).toEqual(['default']);
  expect(await names('monitor')).toEqual([]);
  expect(await names('otherUser')).toEqual(['elsewhere']);
  const update = ', permission: "update_attribute"';
  expect(await names('superadmin', update)).toEqual(both);
  expect(await names('admin', update)).toEqual(['default']);
  expect(await names('user', update)).toEqual([]);
  const { userId } = tenants.people.otherUser;
  for (const scope of [
    'domain:elsewhere',
    `project:${tenants.projects.elsewhere}`,
    `user:${userId}`,
    `user:${userId}:elsewhere`,
  ]) {
    expect(await names('superadmin', `, scope: "${scope}"`)).toEqual(['elsewhere']);
    expect(await names('admin', `, scope: "${scope}"`)).toEqual([]);
  }
  expect(await names('superadmin', ', scope: "system"')).toEqual(both);
  for (const wrong of ['scope: "planet:x"', 'scope: "project:x"', 'permission: "fly"']) {
    const { errors } = await tenants.ask('superadmin', `{ group_nodes(${wrong}) { count } }`);
    expect(errors).not.toBeNull();
  }
});

test('members of projects and projects of members, each for all parents at once', async () => {
  const query = `{ group_nodes(order: "domain_name") { edges { node { domain_name
    user_nodes(first: 1) { count edges { node { email project_nodes { edges { node { name } } } } } }
  } } } }`;
  const member = (who: 'user' | 'otherUser') => ({
    count: 1,
    edges: [
      {
        node: {
          email: tenants.people[who].email,
          project_nodes: { edges: [{ node: { name: 'work' } }] },
        },
      },
    ],
  });
  expect(await data('superadmin', query)).toEqual({
    group_nodes: {
      edges: [
        { node: { domain_name: 'default', user_nodes: member('user') } },
        { node: { domain_name: 'elsewhere', user_nodes: member('otherUser') } },
      ],
    },
  });
  expect(await data('admin', query)).toEqual({
    group_nodes: { edges: [{ node: { domain_name: 'default', user_nodes: member('user') } }] },
  });
});

test('domain_nodes and their resource groups', async () => {
  const query = `query ($permission: DomainPermissionValueField) {
    domain_nodes(order: "name", permission: $permission) { count edges { node { name dotfiles
      scaling_groups { count edges { node { id name wsproxy_api_token } } } } } } }`;
  const group = (name: string, token: string | null) => ({
    node: { id: globalId('ScalingGroupNode', name), name, wsproxy_api_token: token },
  });
  const domain = (name: string, groups: object[]) => ({
    node: { name, dotfiles: '90', scaling_groups: { count: groups.length, edges: groups } },
  });
  expect(await data('superadmin', query)).toEqual({
    domain_nodes: {
      count: 2,
      edges: [
        domain('default', [group('hidden', 'secret'), group('open', 'secret')]),
        domain('elsewhere', []),
      ],
    },
  });
  expect(await data('user', query)).toEqual({
    domain_nodes: { count: 1, edges: [domain('default', [group('open', null)])] },
  });
  expect(await data('otherUser', query)).toEqual({
    domain_nodes: { count: 1, edges: [domain('elsewhere', [])] },
  });
  const held = async (who: Who, permission: string) => {
    const { domain_nodes } = await data(who, query, { permission });
    return v.parse(v.object({ count: v.number() }), domain_nodes).count;
  };
  expect(await held('superadmin', 'create_user')).toBe(2);
  expect(await held('admin', 'create_user')).toBe(1);
  expect(await held('monitor', 'update_attribute')).toBe(1);
  expect(await held('user', 'update_attribute')).toBe(0);
});

test('adminDomainsV2 is filtered, ordered and paged', async () => {
  expect(await reached('{ adminDomainsV2 { count } }')).toEqual(['superadmin']);
  const query = `query ($filter: DomainV2Filter, $orderBy: [DomainV2OrderBy!], $first: Int,
    $after: String, $limit: Int) {
    adminDomainsV2(filter: $filter, orderBy: $orderBy, first: $first, after: $after, limit: $limit) {
      count pageInfo { hasNextPage endCursor }
      edges { cursor node { id basicInfo { name } lifecycle { isActive }
        registry { allowedDockerRegistries } } } } }`;
  const list = v.object({
    count: v.number(),
    pageInfo: v.object({ hasNextPage: v.boolean(), endCursor: v.nullable(v.string()) }),
    edges: v.array(
      v.object({ node: v.object({ id: v.string(), basicInfo: v.object({ name: v.string() }) }) }),
    ),
  });
  const page = async (variables: object) => {
    const { adminDomainsV2 } = await data('superadmin', query, variables);
    const { edges, ...rest } = v.parse(list, adminDomainsV2);
    return { names: edges.map(({ node }) => node.basicInfo.name), ...rest };
  };
  const byName = (direction: string) => ({ orderBy: [{ field: 'NAME', direction }] });
  expect((await page(byName('ASC'))).names).toEqual(['default', 'elsewhere']);
  expect((await page(byName('DESC'))).names).toEqual(['elsewhere', 'default']);
  expect((await page({ filter: { user: { email: { startsWith: 'other' } } } })).names).toEqual([
    'elsewhere',
  ]);
  expect((await page({ filter: { project: { name: { equals: 'no' } } } })).names).toEqual([]);
  const first = await page({ first: 1 });
  expect(first).toMatchObject({ names: ['elsewhere'], count: 2, pageInfo: { hasNextPage: true } });
  const second = await page({ first: 1, after: first.pageInfo.endCursor });
  expect(second).toMatchObject({ names: ['default'], pageInfo: { hasNextPage: false } });
  for (const [variables, code] of [
    [{ first: 1, limit: 1 }, 'api_generic_invalid-parameters'],
    [{ first: 1, after: 'x' }, 'api_generic_invalid-parameters'],
    [{ limit: 0 }, 'api_generic_invalid-parameters'],
  ] as const) {
    const { errors } = await tenants.ask('superadmin', query, variables);
    expect(errors?.[0]).toMatchObject({ extensions: { code } });
  }
});

test('a page costs a constant number of queries, and nothing that is not selected', async () => {
  const queriesOf = (query: string) =>
    queriesDuring(tenants.db.sql, async () =>
      expect((await data('superadmin', query)).user_nodes).toBeDefined(),
    );
  const rowsOnly = await queriesOf('{ user_nodes { edges { node { email } } } }');
  expect(rowsOnly.filter((query) => query.includes('count(*)'))).toEqual([]);
  const counted = await queriesOf('{ user_nodes(first: 0) { count edges { node { email } } } }');
  const lists = counted.filter((query) => query.includes('from users u'));
  expect(lists).toHaveLength(1);
  expect(lists[0]).toContain('count(*)');
});
