/** Roles, permissions and assignments through GraphQL: who may, and what changes. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import * as v from 'valibot';
import { createdRoleId, createPermission, createRole, roleTools } from '../../testing/roles.ts';
import { type Tenants, testTenants } from '../../testing/tenants.ts';
import { rawIdOf } from '../graphql/global-id.ts';

let tenants: Tenants;
let answer: ReturnType<typeof roleTools>['answer'];
let refusal: ReturnType<typeof roleTools>['refusal'];
let makeRole: ReturnType<typeof roleTools>['makeRole'];
let inProject: ReturnType<typeof roleTools>['inProject'];
beforeAll(async () => {
  tenants = await testTenants();
  ({ answer, refusal, makeRole, inProject } = roleTools(tenants));
});
afterAll(() => tenants.close());

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
    const id = createdRoleId(data);
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
    const data = await answer('superadmin', createPermission, { input });
    expect(data?.adminCreatePermission).toMatchObject(input);
    expect(await refusal('superadmin', createPermission, { input })).toContain('already');
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
    expect(await refusal('superadmin', createPermission, { input: nobody })).toContain('no role');
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
    await answer('superadmin', createPermission, {
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

test('nothing changes while the cluster is frozen', async () => {
  await tenants.ctx.config.put('manager/status', 'frozen');
  try {
    expect(await refusal('superadmin', createRole, { input: { name: 'ice' } })).toContain('frozen');
  } finally {
    await tenants.ctx.config.put('manager/status', 'running');
  }
});
