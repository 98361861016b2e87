/** SQL that finds the scopes a target lies in and what the caller's roles allow there. */
import type { PendingQuery, Row } from 'postgres';
import type { Db } from '../db/connect.ts';
import type { ElementType, Operation } from './elements.ts';

export type Fragment = PendingQuery<Row[]>;

/** The text of a column as a uuid, which finds rows by their index; null when it is none. */
export const asUuid = (sql: Db, text: Fragment): Fragment =>
  sql`CASE WHEN ${text} ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN ${text}::uuid END`;

/**
 * Scopes that an element's own table tells; others are rows of `association_scopes_entities`. Members
 * of a project are not in it in this sense: what they own elsewhere is not the project's.
 */
function ownParents(sql: Db): Fragment {
  const uuid = asUuid(sql, sql`w.id`);
  return sql`
    SELECT 'domain', u.domain_name FROM users u WHERE w.type = 'user' AND u.uuid = ${uuid}
    UNION ALL
    SELECT 'domain', g.domain_name FROM groups g WHERE w.type = 'project' AND g.id = ${uuid}
    UNION ALL
    SELECT 'user', k."user"::text FROM keypairs k WHERE w.type = 'keypair' AND k.access_key = w.id
    UNION ALL
    SELECT 'session', k.session_id::text FROM kernels k WHERE w.type = 'kernel' AND k.id = ${uuid}
    UNION ALL
    SELECT p.type, p.id
      FROM sessions s, LATERAL (VALUES ('user', s.user_uuid::text), ('project', s.group_id::text))
           AS p (type, id)
     WHERE w.type = 'session' AND s.id = ${uuid}
    UNION ALL
    SELECT p.type, p.id
      FROM vfolders f, LATERAL (VALUES ('user', f."user"::text), ('project', f."group"::text))
           AS p (type, id)
     WHERE w.type = 'vfolder' AND f.id = ${uuid}`;
}

export interface ChainRow {
  /** The id that was asked for. */
  readonly target: string;
  readonly type: ElementType;
  readonly id: string;
  /** Bits of the operations that pass; null: all. */
  readonly cap: number | null;
  readonly role_id: string | null;
  readonly role_name: string | null;
  readonly role_status: string | null;
}

/**
 * The chain of scopes of each target, and in each scope the caller's roles with that permission. One
 * query whatever the number of targets; a target that does not exist has only itself.
 */
export function selectChains(
  sql: Db,
  asked: {
    readonly userId: string;
    readonly operation: Operation;
    readonly entityType: ElementType;
    readonly type: ElementType;
    readonly ids: readonly string[];
  },
): Promise<ChainRow[]> {
  return sql<ChainRow[]>`
    WITH RECURSIVE chain (target, type, id, cap) AS (
      SELECT t, ${asked.type}::text, t, NULL::int FROM unnest(${[...asked.ids]}::text[]) AS t
      UNION
      SELECT w.target, p.type, p.id,
             CASE WHEN w.cap IS NULL THEN p.cap ELSE w.cap & coalesce(p.cap, w.cap) END
        FROM chain w
        JOIN LATERAL (
          SELECT a.scope_type::text AS type, a.scope_id::text AS id, a.permission_cap::int AS cap
            FROM association_scopes_entities a
           WHERE a.entity_type = w.type AND a.entity_id = w.id AND a.relation_type = 'auto'
          UNION ALL
          SELECT o.type, o.id, NULL FROM (${ownParents(sql)}) AS o (type, id) WHERE o.id IS NOT NULL
        ) AS p ON true
    )
    SELECT c.target, c.type, c.id, c.cap, r.id AS role_id, r.name AS role_name,
           r.status AS role_status
      FROM chain c
      LEFT JOIN (permissions p
                 JOIN user_roles m ON m.role_id = p.role_id AND m.user_id = ${asked.userId}
                 JOIN roles r ON r.id = p.role_id)
        ON p.scope_type = c.type AND p.scope_id = c.id
       AND p.entity_type = ${asked.entityType} AND p.operation = ${asked.operation}`;
}
