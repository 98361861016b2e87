/** The audit log through GraphQL: what it shows, and to whom. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as v from 'valibot';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { globalId } from '../graphql/global-id.ts';

let tenants: Tenants;
let userId: string;
beforeAll(async () => {
  tenants = await testTenants();
  userId = tenants.people.user.userId;
  const described =
    'mutation ($d: String!) { updateUserV2(input: { description: $d }) { user { id } } }';
  for (const who of ['user', 'otherUser'] as const) {
    for (const d of ['one', 'two']) await data(who, described, { d });
  }
  await data(
    'superadmin',
    `mutation { modify_user(email: "${tenants.people.user.email}",
    props: { full_name: "Renamed" }) { ok } }`,
  );
  await data(
    'admin',
    `mutation { modify_group(gid: "${tenants.projects.default}",
    props: { description: "changed" }) { ok } }`,
  );
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
  edges: v.array(
    v.object({ node: v.object({ entityId: v.string(), user: v.nullable(v.unknown()) }) }),
  ),
});

const scoped = `query ($scope: AuditLogScope!, $filter: AuditLogFilter, $orderBy: [AuditLogOrderBy!]) {
  list: scopedAuditLogsV2(scope: $scope, filter: $filter, orderBy: $orderBy, limit: 20) {
    count edges { node { entityId user { basicInfo { email } } } } } }`;

async function count(who: Who, scope: object, filter: object = {}): Promise<number> {
  const { list: answered } = await data(who, scoped, { scope, filter });
  const parsed = v.parse(list, answered);
  expect(parsed.edges).toHaveLength(parsed.count);
  return parsed.count;
}

const ofUser = (id: string) => ({ entity: [{ entityType: 'USER', entityId: id }] });

test('all fields, newest first', async () => {
  const answer = await data(
    'superadmin',
    `{ adminAuditLogsV2(filter: { entityType: { equals: "user" }, entityId: { equals: "${userId}" } }) {
      count edges { node { id actionId entityType operation entityId createdAt requestId triggeredBy
        description duration status user { basicInfo { email } } } } } }`,
  );
  const record = (by: 'user' | 'superadmin') => ({
    node: {
      id: expect.any(String),
      actionId: expect.any(String),
      entityType: 'user',
      operation: 'update',
      entityId: userId,
      createdAt: expect.any(String),
      requestId: expect.any(String),
      triggeredBy: tenants.people[by].userId,
      description: `update user ${userId} by ${tenants.people[by].email}`,
      duration: expect.stringMatching(/^00:00:0\d/),
      status: 'SUCCESS',
      user: { basicInfo: { email: tenants.people[by].email } },
    },
  });
  expect(answer).toEqual({
    adminAuditLogsV2: {
      count: 3,
      edges: [record('superadmin'), record('user'), record('user')],
    },
  });
});

test('everybody sees the history of what they may change, and what they did', async () => {
  const { user, otherUser, admin } = tenants.people;
  expect(await count('user', ofUser(userId))).toBe(3);
  expect(await count('admin', ofUser(userId))).toBe(3);
  expect(await count('superadmin', ofUser(userId))).toBe(3);
  expect(await count('user', { triggeredUser: [{ value: userId }] })).toBe(2);
  expect(
    await count('monitor', { triggeredUser: [{ value: tenants.people.monitor.userId }] }),
  ).toBe(0);
  const project = { entity: [{ entityType: 'PROJECT', entityId: tenants.projects.default }] };
  expect(await count('admin', project)).toBe(1);
  for (const [who, scope] of [
    ['user', ofUser(otherUser.userId)],
    ['user', ofUser(admin.userId)],
    ['user', { triggeredUser: [{ value: otherUser.userId }] }],
    ['user', { triggeredUser: [{ value: user.userId }, { value: admin.userId }] }],
    ['user', { ...ofUser(userId), triggeredUser: [{ value: admin.userId }] }],
    ['user', project],
    ['otherAdmin', ofUser(userId)],
    ['otherAdmin', project],
    ['monitor', ofUser(userId)],
  ] as const) {
    expect(await refusal(who, scoped, { scope })).toContain('Not enough permission');
  }
  for (const scope of [{}, { entity: [] }, { triggeredUser: Array(21).fill({ value: userId }) }]) {
    expect(await refusal('superadmin', scoped, { scope })).toContain('scope: name 1 to 20');
  }
});

test("an actor who is none of the caller's business stays a number", async () => {
  const { list: answered } = await data('user', scoped, { scope: ofUser(userId) });
  const users = v.parse(list, answered).edges.map(({ node }) => node.user);
  expect(users.filter((shown) => shown === null)).toHaveLength(1);
});

test('filters and orders', async () => {
  const scope = ofUser(userId);
  expect(await count('user', scope, { operation: { contains: 'upd' } })).toBe(3);
  expect(await count('user', scope, { operation: { equals: 'create' } })).toBe(0);
  expect(await count('user', scope, { status: { in: ['SUCCESS', 'RUNNING'] } })).toBe(3);
  expect(await count('user', scope, { status: { notEquals: 'SUCCESS' } })).toBe(0);
  expect(await count('user', scope, { triggeredBy: { contains: userId } })).toBe(2);
  expect(await count('user', scope, { createdAt: { after: '2100-01-01T00:00:00Z' } })).toBe(0);
  expect(await count('user', scope, { NOT: [{ triggeredBy: { equals: userId } }] })).toBe(1);
  for (const field of ['CREATED_AT', 'ENTITY_TYPE', 'OPERATION', 'STATUS']) {
    const orderBy = [{ field, direction: 'ASC' }];
    expect((await data('user', scoped, { scope, orderBy })).list).toMatchObject({ count: 3 });
  }
});

test('the older list and the nodes are for superadmins', async () => {
  const older = `{ audit_log_nodes(filter: "entity_type == \\"user\\" & duration < 60 & status == \\"success\\"",
    order: "-created_at", first: 1) { count edges { node { id row_id action_id entity_type operation
      entity_id created_at request_id triggered_by description duration status } } } }`;
  const { audit_log_nodes } = await data('superadmin', older);
  const parsed = v.parse(
    v.object({
      count: v.number(),
      edges: v.array(v.object({ node: v.object({ id: v.string(), row_id: v.string() }) })),
    }),
    audit_log_nodes,
  );
  expect(parsed.count).toBe(5);
  const rowId = parsed.edges[0]?.node.row_id ?? '';
  expect(parsed.edges[0]?.node.id).toBe(globalId('AuditLogNode', rowId));
  expect(
    await data('superadmin', '{ audit_log_schema { entity_type_variants status_variants } }'),
  ).toEqual({
    audit_log_schema: {
      entity_type_variants: ['project', 'user'],
      status_variants: ['success', 'error', 'unknown', 'running'],
    },
  });
  for (const query of [
    '{ audit_log_nodes { count } }',
    '{ audit_log_schema { status_variants } }',
    '{ adminAuditLogsV2 { count } }',
  ]) {
    const outcomes = await tenants.outcomes(query);
    expect(Object.keys(outcomes).filter((who) => outcomes[who] === 'data')).toEqual(['superadmin']);
  }
  for (const type of ['AuditLogNode', 'AuditLogV2']) {
    const node = `{ node(id: "${globalId(type, rowId)}") { __typename } }`;
    expect(await data('superadmin', node)).toEqual({ node: { __typename: type } });
    expect(await data('user', node)).toEqual({ node: null });
  }
});
