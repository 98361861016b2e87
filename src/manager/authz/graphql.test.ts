/** Roles, permissions and assignments through GraphQL: who may, what changes, what lists answer. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { tenantSessions } from '../../testing/tenant-sessions.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { rawIdOf } from '../graphql/global-id.ts';

let tenants: Tenants;
beforeAll(async () => {
  tenants = await testTenants();
});
afterAll(() => tenants.close());

type Who = Parameters<Tenants['ask']>[0];

/** What a document answers; fails the test when it answers an error. */
async function answer(who: Who, query: string, variables?: unknown) {
  const { data, errors } = await tenants.ask(who, query, variables);
  expect(errors).toBeNull();
  return data;
}

async function refusal(who: Who, query: string, variables?: unknown): Promise<string> {
  const { errors } = await tenants.ask(who, query, variables);
  return errors?.[0]?.message ?? 'no error';
}

const createRole = `mutation ($input: CreateRoleInput!) { adminCreateRole(input: $input) {
  id name description source status autoAssign createdAt updatedAt deletedAt } }`;
const created = v.object({ adminCreateRole: v.object({ id: v.string() }) });

/** Makes a role; its raw id. */
async function makeRole(input: { name: string; [more: string]: unknown }): Promise<string> {
  const data = v.parse(created, await answer('superadmin', createRole, { input }));
  return rawIdOf(data.adminCreateRole.id);
}

const inProject = (entityType: string, operation: string) => ({
  scopeType: 'PROJECT',
  scopeId: tenants.projects.default,
  entityType,
  operation,
});
const permission = `mutation ($input: CreatePermissionInput!) { adminCreatePermission(input: $input) {
  id roleId scopeType scopeId entityType operation } }`;

test('only superadmins read and change everybody’s roles', async () => {
  const id = await makeRole({ name: 'probe' });
  const superadminOnly = {
    superadmin: 'data',
    admin: 'error',
    user: 'error',
    monitor: 'error',
    otherAdmin: 'error',
    otherUser: 'error',
  };
  for (const query of [
    '{ adminRoles { count } }',
    `{ adminRole(id: "${id}") { name } }`,
    '{ adminPermissions { count } }',
    '{ adminRoleAssignments { count } }',
    '{ adminRolePresets { count } }',
    '{ adminRoleInvitations { count } }',
  ]) {
    expect(await tenants.outcomes(query)).toEqual(superadminOnly);
  }
  const everybody = Object.fromEntries(Object.keys(superadminOnly).map((who) => [who, 'data']));
  for (const query of [
    '{ myRoles { count } }',
    '{ myRoleInvitations { count } }',
    '{ mySentRoleInvitations { count } }',
    '{ rbacPermissionMatrix { scopeType } }',
    '{ rbacScopeEntityCombinations { scopeType } }',
    '{ rbacEntityOperationCombinations { entityType } }',
  ]) {
    expect(await tenants.outcomes(query)).toEqual(everybody);
  }
  expect(await refusal('admin', '{ adminRoles { count } }')).toContain('Admin exclusive access');
});

describe('a role', () => {
  test('is made in its scopes, changed, switched off and on, and removed for good', async () => {
    const scopes = [{ scopeType: 'PROJECT', scopeId: tenants.projects.default.toUpperCase() }];
    const data = await answer('superadmin', createRole, {
      input: { name: 'reviewers', description: 'who look', scopes },
    });
    expect(data?.adminCreateRole).toMatchObject({
      name: 'reviewers',
      description: 'who look',
      source: 'CUSTOM',
      status: 'ACTIVE',
      autoAssign: false,
      deletedAt: null,
    });
    const id = rawIdOf(v.parse(created, data).adminCreateRole.id);
    const read = `{ adminRole(id: "${id}") { name description status deletedAt
      scopes { count edges { node { scopeType scopeId entityType entityId scope { __typename } } } } } }`;
    expect(await answer('superadmin', read)).toMatchObject({
      adminRole: {
        scopes: {
          count: 1,
          edges: [
            {
              node: {
                scopeType: 'PROJECT',
                scopeId: tenants.projects.default,
                entityType: 'ROLE',
                entityId: id,
              },
            },
          ],
        },
      },
    });
    const update = `mutation ($input: UpdateRoleInput!) { adminUpdateRole(input: $input) {
      name description status deletedAt } }`;
    const change = (more: object) => answer('superadmin', update, { input: { id, ...more } });
    expect(await change({ name: 'readers', description: null, status: 'INACTIVE' })).toEqual({
      adminUpdateRole: { name: 'readers', description: null, status: 'INACTIVE', deletedAt: null },
    });
    expect(await change({ autoAssign: true })).toMatchObject({
      adminUpdateRole: { name: 'readers', status: 'INACTIVE' },
    });
    const remove = (field: string) =>
      answer('superadmin', `mutation { ${field}(input: { id: "${id}" }) { id } }`);
    expect(await remove('adminDeleteRole')).toEqual({ adminDeleteRole: { id } });
    const deleted = await answer('superadmin', read);
    expect(deleted).toMatchObject({
      adminRole: { status: 'DELETED', deletedAt: expect.any(String) },
    });
    expect(await change({ status: 'ACTIVE' })).toMatchObject({
      adminUpdateRole: { status: 'ACTIVE', deletedAt: null },
    });
    expect(await remove('adminPurgeRole')).toEqual({ adminPurgeRole: { id } });
    expect(await refusal('superadmin', read)).toContain('There is no role');
    const left = await tenants.db.sql`
      SELECT 1 FROM association_scopes_entities WHERE entity_id = ${id}`;
    expect(left).toHaveLength(0);
    const noted = await tenants.db.sql`
      SELECT operation FROM audit_logs WHERE entity_id = ${id} ORDER BY created_at`;
    expect(noted.map(({ operation }) => operation)).toEqual([
      'create',
      'update',
      'update',
      'delete',
      'update',
      'purge',
    ]);
  });

  test.each<[string, object, string]>([
    ['without a name', { name: ' ' }, '1 to 64 characters'],
    ['with a long name', { name: 'x'.repeat(65) }, '1 to 64 characters'],
    [
      'in a project that is no id',
      { name: 'x', scopes: [{ scopeType: 'PROJECT', scopeId: 'garden' }] },
      'is a UUID',
    ],
    [
      'in a project that is not there',
      { name: 'x', scopes: [{ scopeType: 'PROJECT', scopeId: crypto.randomUUID() }] },
      'There is no project',
    ],
    [
      'in a domain that is not there',
      { name: 'x', scopes: [{ scopeType: 'DOMAIN', scopeId: 'nowhere' }] },
      "There is no domain 'nowhere'",
    ],
    [
      'in a scope with a long id',
      { name: 'x', scopes: [{ scopeType: 'STORAGE_HOST', scopeId: 'x'.repeat(65) }] },
      '1 to 64 characters',
    ],
  ])('%s is refused', async (_, input, message) => {
    expect(await refusal('superadmin', createRole, { input })).toContain(message);
  });

  test('of the system is switched off, not removed', async () => {
    const { sql } = tenants.db;
    const name = `user-${tenants.people.monitor.userId.slice(0, 8)}`;
    const [role] = await sql`SELECT id FROM roles WHERE name = ${name}`;
    const purge = `mutation { adminPurgeRole(input: { id: "${role?.id}" }) { id } }`;
    expect(await refusal('superadmin', purge)).toContain('is a system role');
    await answer('superadmin', `mutation { adminDeleteRole(input: { id: "${role?.id}" }) { id } }`);
  });
});

describe('what a role allows', () => {
  test('is added, changed and taken away', async () => {
    const roleId = await makeRole({ name: 'tenders' });
    const input = { roleId, ...inProject('SESSION', 'READ') };
    const data = await answer('superadmin', permission, { input });
    expect(data?.adminCreatePermission).toMatchObject(input);
    expect(await refusal('superadmin', permission, { input })).toContain('already');
    const made = v.parse(v.object({ adminCreatePermission: v.object({ id: v.string() }) }), data);
    const id = rawIdOf(made.adminCreatePermission.id);
    const update = `mutation ($input: UpdatePermissionInput!) {
      adminUpdatePermission(input: $input) { scopeType scopeId entityType operation } }`;
    expect(await answer('superadmin', update, { input: { id, operation: 'SOFT_DELETE' } })).toEqual(
      { adminUpdatePermission: inProject('SESSION', 'SOFT_DELETE') },
    );
    const [row] = await tenants.db.sql`SELECT permission FROM permissions WHERE id = ${id}`;
    expect(row?.permission).toBe(8);
    const remove = `mutation { adminDeletePermission(input: { id: "${id}" }) { id } }`;
    expect(await answer('superadmin', remove)).toEqual({ adminDeletePermission: { id } });
    expect(await refusal('superadmin', remove)).toContain('There is no permission');
    const nobody = { ...input, roleId: crypto.randomUUID() };
    expect(await refusal('superadmin', permission, { input: nobody })).toContain('no role');
  });

  test('is changed many at once, as far as it can be', async () => {
    const roleId = await makeRole({ name: 'many' });
    const add = `mutation ($input: BulkAddRolePermissionsInput!) {
      adminBulkAddRolePermissions(input: $input) {
        items { id entityType operation } failed { scopeId entityType operation message } } }`;
    const read = { roleId, ...inProject('SESSION', 'READ') };
    const permissions = [
      read,
      { roleId, ...inProject('VFOLDER', 'HARD_DELETE') },
      read,
      { ...read, scopeId: 'nothing' },
      { ...read, scopeId: crypto.randomUUID() },
      { ...read, roleId: crypto.randomUUID() },
    ];
    const data = await answer('superadmin', add, { input: { permissions } });
    const shape = v.object({
      adminBulkAddRolePermissions: v.object({
        items: v.array(v.looseObject({ id: v.string() })),
        failed: v.array(v.looseObject({ message: v.string() })),
      }),
    });
    const { items, failed } = v.parse(shape, data).adminBulkAddRolePermissions;
    expect(items).toMatchObject([
      { entityType: 'SESSION', operation: 'READ' },
      { entityType: 'VFOLDER', operation: 'HARD_DELETE' },
    ]);
    expect(failed.map(({ message }) => message.slice(0, 20)).sort()).toEqual([
      'The id of a project ',
      'The role has this pe',
      'There is no project ',
      `There is no role ${permissions[5]?.roleId.slice(0, 3)}`,
    ]);
    const remove = `mutation ($ids: [UUID!]!) {
      adminBulkRemoveRolePermissions(input: { permissionIds: $ids }) {
        items { operation } failed { permissionId message } } }`;
    const missing = crypto.randomUUID();
    const ids = [rawIdOf(items[0]?.id ?? ''), missing];
    expect(await answer('superadmin', remove, { ids })).toEqual({
      adminBulkRemoveRolePermissions: {
        items: [{ operation: 'READ' }],
        failed: [{ permissionId: missing, message: `There is no permission ${missing}.` }],
      },
    });
    const replace = `mutation ($input: ReplaceRolePermissionsInput!) {
      adminReplaceRolePermissions(input: $input) { items { entityType operation } failed { message } } }`;
    const input = { roleId, permissions: [{ roleId, ...inProject('USER', 'READ') }] };
    expect(await answer('superadmin', replace, { input })).toEqual({
      adminReplaceRolePermissions: {
        items: [{ entityType: 'USER', operation: 'READ' }],
        failed: [],
      },
    });
    const [count] = await tenants.db.sql`
      SELECT count(*)::int AS n FROM permissions WHERE role_id = ${roleId}`;
    expect(count?.n).toBe(1);
    const foreign = { roleId, permissions: [{ ...read, roleId: crypto.randomUUID() }] };
    expect(await refusal('superadmin', replace, { input: foreign })).toContain('cannot replace');
  });
});

describe('who has a role', () => {
  const assignMany = `mutation ($input: BulkAssignRoleInput!) { adminBulkAssignRole(input: $input) {
    assigned { id userId roleId grantedBy grantedAt } failed { userId message } } }`;
  const revokeMany = `mutation ($input: BulkRevokeRoleInput!) { adminBulkRevokeRole(input: $input) {
    revoked { id userId } failed { userId message } } }`;

  test('is changed many at once; who cannot get or lose it is named', async () => {
    const roleId = await makeRole({ name: 'crowd' });
    const { user, otherUser, superadmin } = tenants.people;
    const stranger = crypto.randomUUID();
    const userIds = [user.userId, otherUser.userId, stranger, user.userId];
    expect(await answer('superadmin', assignMany, { input: { roleId, userIds } })).toMatchObject({
      adminBulkAssignRole: {
        assigned: expect.arrayContaining([
          expect.objectContaining({ userId: user.userId, grantedBy: superadmin.userId }),
          expect.objectContaining({ userId: otherUser.userId }),
        ]),
        failed: [{ userId: stranger, message: `There is no user ${stranger}.` }],
      },
    });
    const again = await answer('superadmin', assignMany, {
      input: { roleId, userIds: [user.userId] },
    });
    expect(again).toEqual({
      adminBulkAssignRole: {
        assigned: [],
        failed: [{ userId: user.userId, message: 'The user has the role already.' }],
      },
    });
    const list = `query ($filter: RoleAssignmentFilter) {
      adminRoleAssignments(filter: $filter, orderBy: [{ field: EMAIL, direction: ASC }]) {
        count edges { node { userId role { name } } } } }`;
    const filter = { roleId: { equals: roleId }, email: { iContains: 'OTHER' } };
    expect(await answer('superadmin', list, { filter })).toEqual({
      adminRoleAssignments: {
        count: 1,
        edges: [{ node: { userId: otherUser.userId, role: { name: 'crowd' } } }],
      },
    });
    const taken = await answer('superadmin', revokeMany, {
      input: { roleId, userIds: [user.userId, stranger] },
    });
    expect(taken).toMatchObject({
      adminBulkRevokeRole: {
        revoked: [{ userId: user.userId }],
        failed: [{ userId: stranger, message: 'The user does not have the role.' }],
      },
    });
    const noted = await tenants.db.sql`SELECT operation FROM audit_logs
      WHERE entity_id = ${roleId} AND operation LIKE '%associate' ORDER BY operation`;
    expect(noted.map(({ operation }) => operation)).toEqual([
      'associate',
      'associate',
      'disassociate',
    ]);
  });

  test('one by one, with joining a project and leaving it', async () => {
    const { sql } = tenants.db;
    const projectId = tenants.projects.default;
    const scopes = [{ scopeType: 'PROJECT', scopeId: projectId }];
    const roleId = await makeRole({ name: 'guests', scopes });
    const { userId } = tenants.people.monitor;
    const one = (field: string, more = '') =>
      `mutation { ${field}(input: { roleId: "${roleId}", userId: "${userId}" ${more} }) { userId } }`;
    const assign = one('adminAssignRole', `, projectId: "${projectId}"`);
    expect(await answer('superadmin', assign)).toEqual({ adminAssignRole: { userId } });
    const member = async () =>
      (
        await sql`SELECT 1 FROM association_groups_users
          WHERE user_id = ${userId} AND group_id = ${projectId}`
      ).length;
    expect(await member()).toBe(1);
    expect(await refusal('superadmin', assign)).toContain('already');
    expect(await answer('superadmin', one('adminRevokeRole'))).toEqual({
      adminRevokeRole: { userId },
    });
    // The role of all members is still there.
    expect(await member()).toBe(1);
    expect(await refusal('superadmin', one('adminRevokeRole'))).toContain('does not have');
    await answer('superadmin', one('adminAssignRole'));
    await sql`DELETE FROM user_roles WHERE user_id = ${userId} AND role_id <> ${roleId}
      AND role_id IN (SELECT id FROM roles WHERE name LIKE 'project-%')`;
    await answer('superadmin', one('adminRevokeRole'));
    expect(await member()).toBe(0);
    const other = one('adminAssignRole', `, projectId: "${tenants.projects.elsewhere}"`);
    expect(await refusal('superadmin', other)).toContain("of the project's domain");
  });

  test('deleted roles are given to nobody', async () => {
    const roleId = await makeRole({ name: 'gone' });
    await answer('superadmin', `mutation { adminDeleteRole(input: { id: "${roleId}" }) { id } }`);
    const input = { roleId, userIds: [tenants.people.user.userId] };
    expect(await refusal('superadmin', assignMany, { input })).toContain('is deleted');
  });

  test('everybody sees the own roles, and what they allow, but not who else has them', async () => {
    const scopes = [{ scopeType: 'PROJECT', scopeId: tenants.projects.default }];
    const roleId = await makeRole({ name: 'chiefs', scopes });
    await answer('superadmin', permission, {
      input: { roleId, ...inProject('PROJECT_ADMIN_PAGE', 'READ') },
    });
    const userIds = [tenants.people.user.userId, tenants.people.monitor.userId];
    await answer('superadmin', assignMany, { input: { roleId, userIds } });
    // As the WebUI asks when it starts.
    const mine = `query ($filter: RoleAssignmentFilter) { myRoles(first: 100, filter: $filter) {
      edges { node { id role { id scopes { edges { node { id scopeId scopeType } } } } } } } }`;
    const filter = { permission: { entityType: { equals: 'PROJECT_ADMIN_PAGE' } } };
    const node = { scopeType: 'PROJECT', scopeId: tenants.projects.default };
    expect(await answer('user', mine, { filter })).toMatchObject({
      myRoles: { edges: [{ node: { role: { scopes: { edges: [{ node }] } } } }] },
    });
    expect(await answer('otherUser', mine, { filter })).toEqual({ myRoles: { edges: [] } });
    const more = `{ myRoles(filter: { role: { name: { equals: "chiefs" } } }) { edges { node { role {
      permissions { count edges { node { entityType operation } } } users { count } } } } } }`;
    const { data, errors } = await tenants.ask('user', more);
    expect(errors?.[0]?.message).toContain("None of your roles allows 'read' of role:assignment");
    expect(data).toMatchObject({
      myRoles: {
        edges: [
          {
            node: {
              role: {
                permissions: {
                  count: 1,
                  edges: [{ node: { entityType: 'PROJECT_ADMIN_PAGE', operation: 'READ' } }],
                },
                users: null,
              },
            },
          },
        ],
      },
    });
    // A role that is switched off opens no page.
    await answer(
      'superadmin',
      `mutation { adminUpdateRole(input: { id: "${roleId}", status: INACTIVE }) { name } }`,
    );
    expect(await answer('user', mine, { filter })).toEqual({ myRoles: { edges: [] } });
    const found = `query ($id: ID!) { node(id: $id) { ... on Role { name } } }`;
    const id = Buffer.from(`Role:${roleId}`).toString('base64');
    expect(await answer('user', found, { id })).toEqual({ node: { name: 'chiefs' } });
    expect(await answer('otherUser', found, { id })).toEqual({ node: null });
  });
});

describe('lists', () => {
  test('filter, order and page, with what hangs on a row in the same queries', async () => {
    for (const name of ['list-a', 'list-b', 'list-c']) {
      const roleId = await makeRole({
        name,
        scopes: [{ scopeType: 'DOMAIN', scopeId: 'default' }],
      });
      await answer('superadmin', permission, { input: { roleId, ...inProject('USER', 'READ') } });
    }
    const query = `query ($filter: RoleFilter, $orderBy: [RoleOrderBy!], $limit: Int, $offset: Int) {
      adminRoles(filter: $filter, orderBy: $orderBy, limit: $limit, offset: $offset) {
        count edges { node { name
          permissions { edges { node { role { name } scope { __typename } } } }
          scopes { edges { node { scope { ... on DomainV2 { basicInfo { name } } } } } }
        } } } }`;
    const node = (name: string) => ({
      node: {
        name,
        permissions: { edges: [{ node: { role: { name }, scope: { __typename: 'ProjectV2' } } }] },
        scopes: { edges: [{ node: { scope: { basicInfo: { name: 'default' } } } }] },
      },
    });
    const filter = { name: { startsWith: 'list-' }, status: { in: ['ACTIVE'] } };
    const orderBy = [{ field: 'NAME', direction: 'DESC' }];
    const variables = { filter, orderBy, limit: 2, offset: 1 };
    expect(await answer('superadmin', query, variables)).toEqual({
      adminRoles: { count: 3, edges: [node('list-b'), node('list-a')] },
    });
    const who = { userId: { equals: tenants.people.user.userId } };
    const own = await answer('superadmin', query, {
      filter: {
        assignedUser: who,
        source: { equals: 'SYSTEM' },
        NOT: [{ name: { iContains: 'DOMAIN' } }],
      },
      orderBy,
      limit: 10,
    });
    const names = v
      .parse(
        v.object({
          adminRoles: v.object({
            edges: v.array(v.object({ node: v.looseObject({ name: v.string() }) })),
          }),
        }),
        own,
      )
      .adminRoles.edges.map((edge) => edge.node.name);
    expect(names).toEqual([
      `user-${tenants.people.user.userId.slice(0, 8)}`,
      `project-${tenants.projects.default.slice(0, 8)}-member`,
    ]);
  });

  test('tell what the scopes are, as the WebUI asks', async () => {
    const { sql } = tenants.db;
    const { insert } = await tenantSessions(tenants);
    const { sessionId } = await insert('user', 'held');
    await sql`INSERT INTO scaling_groups (name, is_active, driver, driver_opts, scheduler,
        scheduler_opts, use_host_network, default_deployment_options, default_session_options)
      VALUES ('gpu', true, 'static', '{}', 'fifo', '{}', false, '{}', '{}')`;
    const [registry] =
      await sql`INSERT INTO container_registries (url, registry_name, type, project)
      VALUES ('http://cr.example', 'cr.example', 'docker', 'stable') RETURNING id`;
    const scopes = [
      ['DOMAIN', 'default'],
      ['PROJECT', tenants.projects.default],
      ['USER', tenants.people.user.userId],
      ['RESOURCE_GROUP', 'gpu'],
      ['CONTAINER_REGISTRY', String(registry?.id)],
      ['SESSION', sessionId],
      ['MODEL_DEPLOYMENT', 'x'],
    ].map(([scopeType, scopeId]) => ({ scopeType, scopeId }));
    const roleId = await makeRole({ name: 'everywhere', scopes });
    const query = `query ($id: UUID!) { adminRole(id: $id) { allScopes: scopes(first: 100) { edges { node {
      scopeType scopeId scope { __typename
        ... on DomainV2 { basicInfo { domainName: name } }
        ... on ProjectV2 { basicInfo { projectName: name } }
        ... on UserV2 { basicInfo { email } }
        ... on VirtualFolderNode { vfolderName: name }
        ... on SessionV2 { metadata { sessionName: name } }
        ... on ModelDeployment { metadata { deploymentName: name } }
        ... on ResourceGroup { resourceGroupName: name }
        ... on ContainerRegistryV2 { registryName project }
        ... on Node { __isNode: __typename id }
        ... on ArtifactRegistry { id } } } } } } }`;
    const data = await answer('superadmin', query, { id: roleId });
    const shape = v.object({
      adminRole: v.object({
        allScopes: v.object({
          edges: v.array(
            v.object({ node: v.looseObject({ scopeType: v.string(), scope: v.unknown() }) }),
          ),
        }),
      }),
    });
    const found = new Map(
      v
        .parse(shape, data)
        .adminRole.allScopes.edges.map(({ node }) => [node.scopeType, node.scope]),
    );
    expect(Object.fromEntries(found)).toMatchObject({
      DOMAIN: { basicInfo: { domainName: 'default' }, __isNode: 'DomainV2' },
      PROJECT: { basicInfo: { projectName: 'work' } },
      USER: { basicInfo: { email: tenants.people.user.email } },
      RESOURCE_GROUP: { resourceGroupName: 'gpu' },
      CONTAINER_REGISTRY: { registryName: 'cr.example', project: 'stable' },
      SESSION: { metadata: { sessionName: 'held' } },
      MODEL_DEPLOYMENT: null,
    });
    // Those who have the role see no more of its scopes than elsewhere.
    const { userId } = tenants.people.otherUser;
    const give = `mutation { adminAssignRole(input: { roleId: "${roleId}", userId: "${userId}" }) {
      user { basicInfo { email } } grantedByUser { basicInfo { email } } } }`;
    expect(await answer('superadmin', give)).toEqual({
      adminAssignRole: {
        user: { basicInfo: { email: tenants.people.otherUser.email } },
        grantedByUser: { basicInfo: { email: tenants.people.superadmin.email } },
      },
    });
    const mine = `{ myRoles(filter: { role: { name: { equals: "everywhere" } } }) { edges { node {
      grantedByUser { id } role { scopes { edges { node { scope { __typename } } } } } } } } }`;
    const seen = await answer('otherUser', mine);
    expect(JSON.stringify(seen)).not.toContain('__typename');
    expect(seen).toMatchObject({ myRoles: { edges: [{ node: { grantedByUser: null } }] } });
  });

  test('permissions by role, scope and entity', async () => {
    const roleId = await makeRole({ name: 'narrow' });
    for (const entity of ['VFOLDER', 'SESSION']) {
      await answer('superadmin', permission, { input: { roleId, ...inProject(entity, 'READ') } });
    }
    const query = `query ($filter: PermissionFilter) { adminPermissions(filter: $filter,
      orderBy: [{ field: ENTITY_TYPE, direction: ASC }]) { count edges { node { entityType } } } }`;
    const role = { roleId: { equals: roleId } };
    expect(await answer('superadmin', query, { filter: role })).toEqual({
      adminPermissions: {
        count: 2,
        edges: [{ node: { entityType: 'SESSION' } }, { node: { entityType: 'VFOLDER' } }],
      },
    });
    const filter = {
      ...role,
      scopeType: { equals: 'PROJECT' },
      scopeId: { equals: tenants.projects.default },
      entityType: { notIn: ['SESSION'] },
    };
    expect(await answer('superadmin', query, { filter })).toMatchObject({
      adminPermissions: { edges: [{ node: { entityType: 'VFOLDER' } }] },
    });
  });
});

test("a project's roles are for who may read them there", async () => {
  const projectId = tenants.projects.default;
  const outcome = { superadmin: 'data', admin: 'data', user: 'error', monitor: 'error' };
  const query = `{ projectRoles(projectId: "${projectId}") { edges { node { name } } } }`;
  expect(await tenants.outcomes(query)).toEqual({
    ...outcome,
    otherAdmin: 'error',
    otherUser: 'error',
  });
  const scopes = [{ scopeType: 'PROJECT', scopeId: projectId }];
  const roleId = await makeRole({ name: 'seers', scopes });
  await answer('superadmin', permission, { input: { roleId, ...inProject('ROLE', 'READ') } });
  const { userId } = tenants.people.user;
  await answer(
    'superadmin',
    `mutation { adminAssignRole(input: { roleId: "${roleId}", userId: "${userId}" }) { id } }`,
  );
  const data = await answer('user', query);
  expect(JSON.stringify(data)).toContain('seers');
  expect(JSON.stringify(data)).not.toContain('domain-');
  const other = query.replace(projectId, tenants.projects.elsewhere);
  expect(await refusal('user', other)).toContain('None of your roles');
});

test('the matrix tells what can be allowed where', async () => {
  const data = await answer(
    'user',
    `{ rbacPermissionMatrix { scopeType entities { entityType actions { operation description
         requiredPermission } } }
       rbacEntityOperationCombinations { entityType operations { operation requiredPermission } }
       rbacScopeEntityCombinations { scopeType validEntityTypes } }`,
  );
  const text = JSON.stringify(data);
  expect(data?.rbacPermissionMatrix).toContainEqual(
    expect.objectContaining({ scopeType: 'PROJECT' }),
  );
  expect(text).toContain('PROJECT_ADMIN_PAGE');
  expect(text).not.toContain('GRANT_');
  expect(data?.rbacScopeEntityCombinations).toContainEqual({
    scopeType: 'SESSION',
    validEntityTypes: ['KERNEL'],
  });
  expect(data?.rbacEntityOperationCombinations).toContainEqual({
    entityType: 'ROLE',
    operations: [{ operation: 'search', requiredPermission: 'READ' }],
  });
});

test('nothing changes while the cluster is frozen', async () => {
  await tenants.ctx.config.put('manager/status', 'frozen');
  try {
    expect(await refusal('superadmin', createRole, { input: { name: 'ice' } })).toContain('frozen');
  } finally {
    await tenants.ctx.config.put('manager/status', 'running');
  }
});
