/** SQL that changes roles, their permissions and who has them. Only superadmins get here. */
import { assignments } from '../db/assign-store.ts';
import type { Db } from '../db/connect.ts';
import type { PermissionRow, RoleRow, UserRoleRow } from '../db/rows.generated.ts';
import { type ElementRef, operationBits } from './elements.ts';
import { asUuid } from './store.ts';

export async function insertRole(
  sql: Db,
  row: {
    readonly id: string;
    readonly name: string;
    readonly description: string | null;
    readonly source: string;
    /** Active by default. */
    readonly status?: string;
    readonly deletedAt: Date | null;
    readonly autoAssign: boolean;
    readonly scopes: readonly ElementRef[];
  },
): Promise<RoleRow> {
  const rows = await sql<RoleRow[]>`
    INSERT INTO roles (id, name, description, source, status, auto_assign, deleted_at)
    VALUES (${row.id}, ${row.name}, ${row.description}, ${row.source}, ${row.status ?? 'active'},
            ${row.autoAssign}, ${row.deletedAt})
    RETURNING *`;
  await sql`
    INSERT INTO association_scopes_entities (scope_type, scope_id, entity_type, entity_id)
    SELECT type, id, 'role', ${row.id}
      FROM unnest(${row.scopes.map(({ type }) => type)}::text[],
                  ${row.scopes.map(({ id }) => id)}::text[]) AS s (type, id)
    ON CONFLICT DO NOTHING`;
  return returned(rows);
}

/** The row of a statement that cannot but return one. */
function returned<T>([row]: readonly T[]): T {
  if (row === undefined) throw new Error('the statement returned no row');
  return row;
}

export async function lockRole(sql: Db, id: string): Promise<RoleRow | null> {
  const [row] = await sql<RoleRow[]>`SELECT * FROM roles WHERE id = ${id} FOR UPDATE`;
  return row ?? null;
}

export interface RoleChanges {
  readonly name?: string;
  readonly description?: string | null;
  readonly source?: string;
  readonly status?: string;
  readonly auto_assign?: boolean;
  readonly deleted_at?: Date | null;
}

export async function updateRole(sql: Db, id: string, changes: RoleChanges): Promise<RoleRow> {
  return returned(
    await sql<RoleRow[]>`
      UPDATE roles SET updated_at = now() ${assignments(sql, { ...changes })}
       WHERE id = ${id} RETURNING *`,
  );
}

export async function deleteRole(sql: Db, id: string): Promise<void> {
  await sql`DELETE FROM roles WHERE id = ${id}`;
  await sql`
    DELETE FROM association_scopes_entities WHERE entity_type = 'role' AND entity_id = ${id}`;
}

/** Those of the scopes that are domains, projects or users which don't exist. */
export function selectMissingScopes(
  sql: Db,
  scopes: readonly ElementRef[],
): Promise<{ type: string; id: string }[]> {
  const id = asUuid(sql, sql`s.id`);
  return sql`
    SELECT s.type, s.id
      FROM unnest(${scopes.map(({ type }) => type)}::text[],
                  ${scopes.map((scope) => scope.id)}::text[]) AS s (type, id)
     WHERE CASE s.type
             WHEN 'domain' THEN NOT EXISTS (SELECT FROM domains d WHERE d.name = s.id)
             WHEN 'project' THEN NOT EXISTS (SELECT FROM groups g WHERE g.id = ${id})
             WHEN 'user' THEN NOT EXISTS (SELECT FROM users u WHERE u.uuid = ${id})
             ELSE false
           END`;
}

/** Every scope in which a role has a place or a permission. */
export async function selectScopesOfRole(sql: Db, roleId: string): Promise<ElementRef[]> {
  return sql<ElementRef[]>`
    SELECT scope_type AS type, scope_id AS id FROM association_scopes_entities
     WHERE entity_type = 'role' AND entity_id = ${roleId}
    UNION
    SELECT scope_type, scope_id FROM permissions WHERE role_id = ${roleId}`;
}

/** What a role is to allow. */
export interface PermissionSpec {
  readonly scope: ElementRef;
  readonly entityType: string;
  readonly operation: keyof typeof operationBits;
}

/** Adds those of the permissions that the role does not have. @returns the new ones. */
export function insertPermissions(
  sql: Db,
  roleId: string,
  specs: readonly PermissionSpec[],
): Promise<PermissionRow[]> {
  return sql<PermissionRow[]>`
    INSERT INTO permissions (role_id, scope_type, scope_id, entity_type, operation, permission)
    SELECT ${roleId}, p.*
      FROM unnest(${specs.map(({ scope }) => scope.type)}::text[],
                  ${specs.map(({ scope }) => scope.id)}::text[],
                  ${specs.map(({ entityType }) => entityType)}::text[],
                  ${specs.map(({ operation }) => operation)}::text[],
                  ${specs.map(({ operation }) => operationBits[operation])}::smallint[]) AS p
    ON CONFLICT DO NOTHING RETURNING *`;
}

export async function lockPermission(sql: Db, id: string): Promise<PermissionRow | null> {
  const [row] = await sql<PermissionRow[]>`SELECT * FROM permissions WHERE id = ${id} FOR UPDATE`;
  return row ?? null;
}

export async function updatePermission(
  sql: Db,
  id: string,
  { scope, entityType, operation }: PermissionSpec,
): Promise<PermissionRow> {
  return returned(
    await sql<PermissionRow[]>`
      UPDATE permissions
         SET scope_type = ${scope.type}, scope_id = ${scope.id}, entity_type = ${entityType},
             operation = ${operation}, permission = ${operationBits[operation]}
       WHERE id = ${id} RETURNING *`,
  );
}

/** @returns those that existed. */
export function deletePermissions(sql: Db, ids: readonly string[]): Promise<PermissionRow[]> {
  return sql<PermissionRow[]>`
    DELETE FROM permissions WHERE id = ANY (${[...ids]}::text[]::uuid[]) RETURNING *`;
}

export async function deletePermissionsOfRole(sql: Db, roleId: string): Promise<PermissionRow[]> {
  return sql<PermissionRow[]>`DELETE FROM permissions WHERE role_id = ${roleId} RETURNING *`;
}

/** Gives the role to those of the users who exist and don't have it. */
export async function insertAssignments(
  sql: Db,
  row: {
    readonly roleId: string;
    readonly userIds: readonly string[];
    readonly grantedBy: string | null;
  },
): Promise<void> {
  await sql`
    INSERT INTO user_roles (user_id, role_id, granted_by)
    SELECT uuid, ${row.roleId}, ${row.grantedBy}::uuid FROM users
     WHERE uuid = ANY (${[...row.userIds]}::text[]::uuid[])
    ON CONFLICT DO NOTHING`;
}

/** @returns the assignments that existed. */
export function deleteAssignments(
  sql: Db,
  roleId: string,
  userIds: readonly string[],
): Promise<UserRoleRow[]> {
  return sql<UserRoleRow[]>`
    DELETE FROM user_roles
     WHERE role_id = ${roleId} AND user_id = ANY (${[...userIds]}::text[]::uuid[]) RETURNING *`;
}

/** The assignments of those of the users who have the role. */
export function selectAssignments(
  sql: Db,
  roleId: string,
  userIds: readonly string[],
): Promise<UserRoleRow[]> {
  return sql<UserRoleRow[]>`
    SELECT * FROM user_roles
     WHERE role_id = ${roleId} AND user_id = ANY (${[...userIds]}::text[]::uuid[])
     ORDER BY granted_at, id`;
}

/** Projects the role lies in, in which the user has no role at all any more. */
export async function selectProjectsWithoutRole(
  sql: Db,
  roleId: string,
  userId: string,
): Promise<string[]> {
  const rows = await sql<{ scope_id: string }[]>`
    SELECT a.scope_id FROM association_scopes_entities a
     WHERE a.entity_type = 'role' AND a.entity_id = ${roleId} AND a.scope_type = 'project'
       AND NOT EXISTS (
         SELECT FROM association_scopes_entities o
           JOIN user_roles m ON m.role_id = ${asUuid(sql, sql`o.entity_id`)}
          WHERE o.scope_type = 'project' AND o.scope_id = a.scope_id AND o.entity_type = 'role'
            AND m.user_id = ${userId})`;
  return rows.map(({ scope_id }) => scope_id);
}
