/** SQL of the lists of roles, permissions, assignments, invitations and presets. */
import type { Fragment, Sql } from 'postgres';
import type {
  AssociationScopeEntityRow,
  PermissionRow,
  RoleInvitationRow,
  RolePermissionPresetRow,
  RolePresetRow,
  RoleRow,
  UserRoleRow,
} from '../db/rows.generated.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import { selectListPage, selectListPages } from '../graphql/page-store.ts';
import type { V2FieldTable, V2Query } from '../graphql/v2-filter-store.ts';
import { type V2ListShape, v2Source } from '../graphql/v2-list-store.ts';
import { elementWords, operationWords } from './elements.ts';
import { asUuid } from './store.ts';

const lower = (member: string): string => member.toLowerCase();

const roleFields = (sql: Sql): V2FieldTable => ({
  name: { kind: 'text', column: sql`r.name` },
  source: { kind: 'enum', column: sql`r.source`, stored: lower },
  status: { kind: 'enum', column: sql`r.status`, stored: lower },
});

const permissionFields = (sql: Sql): V2FieldTable => ({
  roleId: { kind: 'uuid', column: sql`p.role_id` },
  scopeType: { kind: 'enum', column: sql`p.scope_type`, stored: elementWords.stored },
  scopeId: { kind: 'text', column: sql`p.scope_id` },
  entityType: { kind: 'enum', column: sql`p.entity_type`, stored: elementWords.stored },
  operation: { kind: 'enum', column: sql`p.operation`, stored: operationWords.stored },
  createdAt: { kind: 'time', column: sql`p.created_at` },
});

const roles: V2ListShape = {
  columns: (sql) => sql`r.*`,
  from: (sql) => sql`roles r`,
  fields: (sql) => ({
    ...roleFields(sql),
    assignedUser: {
      kind: 'nested',
      exists: (condition) =>
        sql`exists (select from user_roles m where m.role_id = r.id and ${condition})`,
      fields: { userId: { kind: 'uuid', column: sql`m.user_id` } },
    },
  }),
  orders: (sql) => ({
    NAME: sql`r.name`,
    CREATED_AT: sql`r.created_at`,
    UPDATED_AT: sql`r.updated_at`,
  }),
  newest: (sql) => sql`r.created_at`,
  key: (sql) => sql`r.id`,
  keyType: 'uuid',
};

const permissions: V2ListShape = {
  columns: (sql) => sql`p.*`,
  from: (sql) => sql`permissions p`,
  fields: permissionFields,
  orders: (sql) => ({
    ID: sql`p.id`,
    ENTITY_TYPE: sql`p.entity_type`,
    CREATED_AT: sql`p.created_at`,
  }),
  newest: (sql) => sql`p.created_at`,
  key: (sql) => sql`p.id`,
  keyType: 'uuid',
};

const assignments: V2ListShape = {
  columns: (sql) => sql`m.*`,
  from: (sql) => sql`user_roles m join users u on u.uuid = m.user_id`,
  fields: (sql) => ({
    roleId: { kind: 'uuid', column: sql`m.role_id` },
    grantedBy: { kind: 'uuid', column: sql`m.granted_by` },
    role: {
      kind: 'nested',
      exists: (condition) =>
        sql`exists (select from roles r where r.id = m.role_id and ${condition})`,
      fields: roleFields(sql),
    },
    // What a role that is not active would allow does not count as a permission of anybody.
    permission: {
      kind: 'nested',
      exists: (condition) => sql`
        exists (select from permissions p join roles r on r.id = p.role_id and r.status = 'active'
                 where p.role_id = m.role_id and ${condition})`,
      fields: permissionFields(sql),
    },
    username: { kind: 'text', column: sql`u.username` },
    email: { kind: 'text', column: sql`u.email` },
  }),
  orders: (sql) => ({
    USERNAME: sql`u.username`,
    EMAIL: sql`u.email`,
    GRANTED_AT: sql`m.granted_at`,
  }),
  newest: (sql) => sql`m.granted_at`,
  key: (sql) => sql`m.id`,
  keyType: 'uuid',
};

/** Where something lies. */
const places: V2ListShape = {
  columns: (sql) => sql`a.*`,
  from: (sql) => sql`association_scopes_entities a`,
  fields: (sql) => ({
    entityType: { kind: 'enum', column: sql`a.entity_type`, stored: elementWords.stored },
    entityId: { kind: 'text', column: sql`a.entity_id` },
  }),
  orders: (sql) => ({ ENTITY_TYPE: sql`a.entity_type`, REGISTERED_AT: sql`a.registered_at` }),
  newest: (sql) => sql`a.registered_at`,
  key: (sql) => sql`a.id`,
  keyType: 'uuid',
};

const invitations: V2ListShape = {
  columns: (sql) => sql`i.*`,
  from: (sql) => sql`role_invitations i`,
  fields: (sql) => ({
    state: { kind: 'enum', column: sql`i.state`, stored: lower },
    roleId: { kind: 'uuid', column: sql`i.role_id` },
    role: {
      kind: 'nested',
      exists: (condition) =>
        sql`exists (select from roles r where r.id = i.role_id and ${condition})`,
      fields: { name: { kind: 'text', column: sql`r.name` } },
    },
    inviter: {
      kind: 'nested',
      exists: (condition) =>
        sql`exists (select from users u where u.uuid = i.inviter_user_id and ${condition})`,
      fields: { email: { kind: 'text', column: sql`u.email` } },
    },
    invitee: {
      kind: 'nested',
      exists: (condition) =>
        sql`exists (select from users u where u.uuid = i.invitee_user_id and ${condition})`,
      fields: { email: { kind: 'text', column: sql`u.email` } },
    },
  }),
  orders: (sql) => ({
    CREATED_AT: sql`i.created_at`,
    UPDATED_AT: sql`i.updated_at`,
    STATE: sql`i.state`,
  }),
  newest: (sql) => sql`i.created_at`,
  key: (sql) => sql`i.id`,
  keyType: 'uuid',
};

const presets: V2ListShape = {
  columns: (sql) => sql`t.*`,
  from: (sql) => sql`role_presets t`,
  fields: (sql) => ({
    name: { kind: 'text', column: sql`t.name` },
    scopeType: { kind: 'enum', column: sql`t.scope_type`, stored: elementWords.stored },
    autoAssign: { kind: 'boolean', column: sql`t.auto_assign` },
    deleted: { kind: 'boolean', column: sql`t.deleted` },
  }),
  orders: (sql) => ({
    NAME: sql`t.name`,
    SCOPE_TYPE: sql`t.scope_type`,
    CREATED_AT: sql`t.created_at`,
    UPDATED_AT: sql`t.updated_at`,
  }),
  newest: (sql) => sql`t.created_at`,
  key: (sql) => sql`t.id`,
  keyType: 'uuid',
};

const presetPermissions: V2ListShape = {
  columns: (sql) => sql`q.*`,
  from: (sql) => sql`role_permission_presets q`,
  fields: (sql) => ({
    rolePresetId: { kind: 'uuid', column: sql`q.role_preset_id` },
    entityType: { kind: 'enum', column: sql`q.entity_type`, stored: elementWords.stored },
    operation: { kind: 'enum', column: sql`q.operation`, stored: operationWords.stored },
    createdAt: { kind: 'time', column: sql`q.created_at` },
  }),
  orders: (sql) => ({
    ENTITY_TYPE: sql`q.entity_type`,
    OPERATION: sql`q.operation`,
    CREATED_AT: sql`q.created_at`,
  }),
  newest: (sql) => sql`q.created_at`,
  key: (sql) => sql`q.id`,
  keyType: 'uuid',
};

/** Roles anywhere, or those that lie in a project. */
export function selectRoles(
  sql: Sql,
  of: { readonly projectId: string } | 'all',
  query: V2Query,
  wish: PageWish,
): Promise<Listed<RoleRow>> {
  const scope =
    of === 'all'
      ? sql`true`
      : sql`r.id in (select ${asUuid(sql, sql`a.entity_id`)} from association_scopes_entities a
                      where a.scope_type = 'project' and a.scope_id = ${of.projectId}
                        and a.entity_type = 'role')`;
  return selectListPage(sql, v2Source(sql, roles, query, wish, scope), wish);
}

export const selectPermissions = (
  sql: Sql,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<PermissionRow>> =>
  selectListPage(sql, v2Source(sql, permissions, query, wish, sql`true`), wish);

/** Everybody's assignments, or one user's. */
export function selectAssignments(
  sql: Sql,
  of: { readonly userId: string } | 'all',
  query: V2Query,
  wish: PageWish,
): Promise<Listed<UserRoleRow>> {
  const scope = of === 'all' ? sql`true` : sql`m.user_id = ${of.userId}`;
  return selectListPage(sql, v2Source(sql, assignments, query, wish, scope), wish);
}

export type InvitationScope =
  | 'all'
  | { readonly inviteeId: string }
  | { readonly inviterId: string }
  | { readonly roleId: string };

export function selectInvitations(
  sql: Sql,
  of: InvitationScope,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<RoleInvitationRow>> {
  const scope = (): Fragment => {
    if (of === 'all') return sql`true`;
    if ('inviteeId' in of) return sql`i.invitee_user_id = ${of.inviteeId}`;
    if ('inviterId' in of) return sql`i.inviter_user_id = ${of.inviterId}`;
    return sql`i.role_id = ${of.roleId}`;
  };
  return selectListPage(sql, v2Source(sql, invitations, query, wish, scope()), wish);
}

export const selectPresets = (
  sql: Sql,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<RolePresetRow>> =>
  selectListPage(sql, v2Source(sql, presets, query, wish, sql`true`), wish);

type Pages<Row> = Promise<Map<string, Listed<Row>>>;

/** The permissions of each role. */
export const selectPermissionsOfRoles = (
  sql: Sql,
  roleIds: readonly string[],
  query: V2Query,
  wish: PageWish,
): Pages<PermissionRow> =>
  selectListPages(sql, v2Source(sql, permissions, query, wish, sql`p.role_id = parent.id`), wish, {
    ids: roleIds,
    type: 'uuid',
  });

/** Who has each role. */
export const selectAssignmentsOfRoles = (
  sql: Sql,
  roleIds: readonly string[],
  query: V2Query,
  wish: PageWish,
): Pages<UserRoleRow> =>
  selectListPages(sql, v2Source(sql, assignments, query, wish, sql`m.role_id = parent.id`), wish, {
    ids: roleIds,
    type: 'uuid',
  });

/** Where each role lies. */
export const selectPlacesOfRoles = (
  sql: Sql,
  roleIds: readonly string[],
  query: V2Query,
  wish: PageWish,
): Pages<AssociationScopeEntityRow> => {
  const scope = sql`a.entity_type = 'role' and a.entity_id = parent.id`;
  const source = v2Source(sql, places, query, wish, scope);
  return selectListPages(sql, source, wish, { ids: roleIds, type: 'text' });
};

/** What each preset allows. */
export const selectPermissionsOfPresets = (
  sql: Sql,
  presetIds: readonly string[],
  query: V2Query,
  wish: PageWish,
): Pages<RolePermissionPresetRow> => {
  const scope = sql`q.role_preset_id = parent.id`;
  const source = v2Source(sql, presetPermissions, query, wish, scope);
  return selectListPages(sql, source, wish, { ids: presetIds, type: 'uuid' });
};

export function selectRolesById(sql: Sql, ids: readonly string[]): Promise<RoleRow[]> {
  return sql<RoleRow[]>`SELECT * FROM roles WHERE id = ANY (${[...ids]}::text[]::uuid[])`;
}

export function selectPresetsById(sql: Sql, ids: readonly string[]): Promise<RolePresetRow[]> {
  return sql<RolePresetRow[]>`
    SELECT * FROM role_presets WHERE id = ANY (${[...ids]}::text[]::uuid[])`;
}
