/** SQL that keeps system roles, memberships and what hangs on them. Each statement may run again. */
import type { Db } from '../db/connect.ts';
import { asUuid, type Fragment } from './store.ts';

export type SystemScope = 'user' | 'project' | 'domain';
export type SystemRole =
  | 'user-owner'
  | 'project-admin'
  | 'project-member'
  | 'domain-admin'
  | 'domain-member';

export interface TemplatePermission {
  readonly entityType: string;
  readonly operation: string;
  readonly bit: number;
}

/**
 * The id of a scope's system role follows from the scope, so that making it twice is impossible even
 * when somebody renamed it or two managers make it at once.
 */
const roleId = (sql: Db, role: SystemRole | Fragment, scopeId: Fragment): Fragment =>
  sql`uuid_generate_v5(uuid_ns_url(), 'backend.ai/role/' || ${role}::text || '/' || ${scopeId})`;

function scopesOf(sql: Db, scopeType: SystemScope, ids: readonly string[] | null): Fragment {
  if (ids !== null) return sql`SELECT unnest(${[...ids]}::text[]) AS id`;
  if (scopeType === 'domain') return sql`SELECT name::text AS id FROM domains`;
  if (scopeType === 'project') return sql`SELECT id::text FROM groups`;
  return sql`SELECT uuid::text AS id FROM users`;
}

function roleName(sql: Db, role: SystemRole): Fragment {
  if (role === 'user-owner') return sql`'user-' || left(s.id, 8)`;
  const [scope, part] = role.split('-');
  // A domain's name may be as long as a role's; the name only has to be recognised.
  const length = scope === 'domain' ? 50 : 8;
  return sql`${`${scope}-`}::text || left(s.id, ${length}) || ${`-${part}`}::text`;
}

/** Makes the scopes' roles of that kind that don't exist; an owner's is assigned to the owner. */
export async function insertSystemRoles(
  sql: Db,
  wanted: {
    readonly role: SystemRole;
    readonly scopeType: SystemScope;
    /** Null: all there are. */
    readonly ids: readonly string[] | null;
    readonly permissions: readonly TemplatePermission[];
  },
): Promise<void> {
  const { role, scopeType, ids, permissions } = wanted;
  await sql`
    WITH wanted AS (
      SELECT ${roleId(sql, role, sql`s.id`)} AS role_id, s.id AS scope_id,
             ${roleName(sql, role)} AS name
        FROM (${scopesOf(sql, scopeType, ids)}) AS s
    ), made AS (
      INSERT INTO roles (id, name, source, status, auto_assign)
      SELECT role_id, name, 'system', 'active', ${role.endsWith('-member')} FROM wanted
      ON CONFLICT DO NOTHING RETURNING id
    ), allowed AS (
      INSERT INTO permissions (role_id, scope_type, scope_id, entity_type, operation, permission)
      SELECT w.role_id, ${scopeType}, w.scope_id, p.entity_type, p.operation, p.bit
        FROM wanted w JOIN made ON made.id = w.role_id,
             unnest(${permissions.map((p) => p.entityType)}::text[],
                    ${permissions.map((p) => p.operation)}::text[],
                    ${permissions.map((p) => p.bit)}::smallint[]) AS p (entity_type, operation, bit)
      ON CONFLICT DO NOTHING
    ), owned AS (
      INSERT INTO user_roles (user_id, role_id)
      SELECT w.scope_id::uuid, w.role_id FROM wanted w JOIN made ON made.id = w.role_id
       WHERE ${role === 'user-owner'}
      ON CONFLICT DO NOTHING
    ), below AS (
      -- Users are put into their domain by their membership.
      INSERT INTO association_scopes_entities (scope_type, scope_id, entity_type, entity_id)
      SELECT 'domain', g.domain_name, 'project', g.id::text
        FROM groups g JOIN wanted w ON g.id = ${asUuid(sql, sql`w.scope_id`)}
       WHERE ${role === 'project-admin'}
      ON CONFLICT DO NOTHING
    )
    INSERT INTO association_scopes_entities (scope_type, scope_id, entity_type, entity_id)
    SELECT ${scopeType}, w.scope_id, 'role', w.role_id::text
      FROM wanted w JOIN made ON made.id = w.role_id
    ON CONFLICT DO NOTHING`;
}

/** Makes the roles that presets provide for a new scope; a user gets those assigned to all. */
export async function insertPresetRoles(
  sql: Db,
  scopeType: SystemScope,
  scopeId: string,
): Promise<void> {
  await sql`
    WITH wanted AS (
      SELECT uuid_generate_v5(id, ${scopeId}) AS role_id, id AS preset_id, name, auto_assign
        FROM role_presets WHERE scope_type = ${scopeType} AND NOT deleted
    ), made AS (
      INSERT INTO roles (id, name, source, status, auto_assign)
      SELECT role_id, name, 'system', 'active', auto_assign FROM wanted
      ON CONFLICT DO NOTHING RETURNING id
    ), allowed AS (
      INSERT INTO permissions (role_id, scope_type, scope_id, entity_type, operation, permission)
      SELECT w.role_id, ${scopeType}, ${scopeId}, p.entity_type, p.operation,
             CASE p.operation WHEN 'read' THEN 1 WHEN 'update' THEN 2 WHEN 'create' THEN 4
                              WHEN 'soft-delete' THEN 8 WHEN 'hard-delete' THEN 16 ELSE 0 END
        FROM wanted w JOIN made ON made.id = w.role_id
        JOIN role_permission_presets p ON p.role_preset_id = w.preset_id
      ON CONFLICT DO NOTHING
    ), owned AS (
      INSERT INTO user_roles (user_id, role_id)
      SELECT ${scopeType === 'user' ? scopeId : null}::uuid, w.role_id
        FROM wanted w JOIN made ON made.id = w.role_id
       WHERE ${scopeType === 'user'} AND w.auto_assign
      ON CONFLICT DO NOTHING
    )
    INSERT INTO association_scopes_entities (scope_type, scope_id, entity_type, entity_id)
    SELECT ${scopeType}, ${scopeId}, 'role', w.role_id::text
      FROM wanted w JOIN made ON made.id = w.role_id
    ON CONFLICT DO NOTHING`;
}

function isOf(
  sql: Db,
  column: Fragment,
  type: 'text' | 'uuid',
  ids: readonly string[] | null,
): Fragment {
  if (ids === null) return sql`true`;
  const list = sql`${[...ids]}::text[]`;
  return type === 'text' ? sql`${column} = ANY (${list})` : sql`${column} = ANY (${list}::uuid[])`;
}

/** Takes users out of domains and projects to which they no longer belong, with the roles there. */
export async function deleteFormerMemberships(
  sql: Db,
  userIds: readonly string[] | null,
): Promise<void> {
  await sql`
    WITH former AS (
      DELETE FROM association_scopes_entities a
       WHERE a.entity_type = 'user' AND ${isOf(sql, sql`a.entity_id`, 'text', userIds)}
         AND CASE a.scope_type
               WHEN 'domain' THEN NOT EXISTS (
                 SELECT FROM users u
                  WHERE u.uuid = ${asUuid(sql, sql`a.entity_id`)} AND u.domain_name = a.scope_id)
               WHEN 'project' THEN NOT EXISTS (
                 SELECT FROM association_groups_users m
                  WHERE m.user_id = ${asUuid(sql, sql`a.entity_id`)}
                    AND m.group_id::text = a.scope_id)
               ELSE false
             END
      RETURNING a.scope_type, a.scope_id, a.entity_id
    )
    DELETE FROM user_roles m USING former f, association_scopes_entities r
     WHERE r.scope_type = f.scope_type AND r.scope_id = f.scope_id AND r.entity_type = 'role'
       AND m.role_id = ${asUuid(sql, sql`r.entity_id`)}
       AND m.user_id = ${asUuid(sql, sql`f.entity_id`)}`;
}

/** Puts users into the domain and projects to which they have come to belong, with what all get. */
export async function insertNewMemberships(
  sql: Db,
  userIds: readonly string[] | null,
): Promise<void> {
  await sql`
    WITH come AS (
      INSERT INTO association_scopes_entities
        (scope_type, scope_id, entity_type, entity_id, relation_type)
      SELECT 'domain', u.domain_name, 'user', u.uuid::text, 'auto' FROM users u
       WHERE u.domain_name IS NOT NULL AND ${isOf(sql, sql`u.uuid`, 'uuid', userIds)}
      UNION ALL
      SELECT 'project', m.group_id::text, 'user', m.user_id::text, 'ref'
        FROM association_groups_users m WHERE ${isOf(sql, sql`m.user_id`, 'uuid', userIds)}
      ON CONFLICT DO NOTHING
      RETURNING scope_type, scope_id, entity_id
    )
    INSERT INTO user_roles (user_id, role_id)
    SELECT c.entity_id::uuid, r.id
      FROM come c
      JOIN association_scopes_entities a
        ON a.scope_type = c.scope_type AND a.scope_id = c.scope_id AND a.entity_type = 'role'
      JOIN roles r ON r.id = ${asUuid(sql, sql`a.entity_id`)} AND r.auto_assign AND r.status = 'active'
    UNION
    SELECT u.uuid, r.id
      FROM come c
      JOIN users u ON u.uuid = c.entity_id::uuid AND u.role = 'admin'
      JOIN roles r ON r.id = ${roleId(sql, 'domain-admin', sql`c.scope_id`)}
     WHERE c.scope_type = 'domain'
    ON CONFLICT DO NOTHING`;
}

/** Gives an administrator the role of its domain, and takes it from whoever is none. */
export async function setDomainAdmin(
  sql: Db,
  user: { readonly userId: string; readonly domainName: string; readonly isAdmin: boolean },
): Promise<void> {
  const role = roleId(sql, 'domain-admin', sql`${user.domainName}::text`);
  if (user.isAdmin) {
    await sql`
      INSERT INTO user_roles (user_id, role_id)
      SELECT ${user.userId}, id FROM roles WHERE id = ${role} ON CONFLICT DO NOTHING`;
  } else {
    await sql`DELETE FROM user_roles WHERE user_id = ${user.userId} AND role_id = ${role}`;
  }
}

/** Removes all about an element that is gone: roles for it alone, permissions in it, its place. */
export async function deleteElement(sql: Db, type: SystemScope, id: string): Promise<void> {
  await sql`
    DELETE FROM roles r USING association_scopes_entities a
     WHERE a.scope_type = ${type} AND a.scope_id = ${id} AND a.entity_type = 'role'
       AND r.id = ${asUuid(sql, sql`a.entity_id`)}
       AND NOT EXISTS (SELECT FROM association_scopes_entities o
                        WHERE o.entity_type = 'role' AND o.entity_id = a.entity_id
                          AND (o.scope_type, o.scope_id) <> (a.scope_type, a.scope_id))`;
  await sql`DELETE FROM permissions WHERE scope_type = ${type} AND scope_id = ${id}`;
  await sql`
    DELETE FROM association_scopes_entities
     WHERE (scope_type = ${type} AND scope_id = ${id})
        OR (entity_type = ${type} AND entity_id = ${id})`;
}

/** Moves what is known of a domain to its new name, whose system roles exist already. */
export async function moveDomain(sql: Db, before: string, after: string): Promise<void> {
  for (const role of ['domain-admin', 'domain-member'] as const) {
    const [old, now] = [before, after].map((name) => roleId(sql, role, sql`${name}::text`));
    if (!old || !now) continue;
    await sql`
      INSERT INTO user_roles (user_id, role_id, granted_by, granted_at)
      SELECT user_id, ${now}, granted_by, granted_at FROM user_roles WHERE role_id = ${old}
      ON CONFLICT DO NOTHING`;
    await sql`
      DELETE FROM association_scopes_entities WHERE entity_type = 'role' AND entity_id = ${old}::text`;
    await sql`DELETE FROM roles WHERE id = ${old}`;
  }
  await sql`
    UPDATE permissions SET scope_id = ${after} WHERE scope_type = 'domain' AND scope_id = ${before}`;
  await sql`
    UPDATE association_scopes_entities SET scope_id = ${after}
     WHERE scope_type = 'domain' AND scope_id = ${before}`;
}
