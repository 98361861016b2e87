/** SQL about quota scopes: whose they are, and on which hosts folders are in them. */
import type { Sql } from 'postgres';
import type { Db } from '../db/connect.ts';
import { type V2Query, v2FilterToSql, v2OrderTerms } from '../graphql/v2-filter-store.ts';
import type { Viewer } from './store.ts';

/** What the policy of a quota scope's owner allows; null when there is none in the viewer's reach. */
export async function selectScopeOwner(
  sql: Db,
  viewer: Viewer,
  scopeId: string,
): Promise<{ readonly max_quota_scope_size: string } | null> {
  const [kind, id = ''] = scopeId.split(':');
  const { userId, domainName } = viewer;
  const all = viewer.isSuperadmin;
  const admin = viewer.role === 'admin';
  const [row] =
    kind === 'user'
      ? await sql<{ max_quota_scope_size: string }[]>`
          SELECT r.max_quota_scope_size::text AS max_quota_scope_size
            FROM users u JOIN user_resource_policies r ON r.name = u.resource_policy
           WHERE u.uuid::text = ${id}
             AND (${all} OR u.uuid = ${userId} OR (${admin} AND u.domain_name = ${domainName}))`
      : await sql<{ max_quota_scope_size: string }[]>`
          SELECT r.max_quota_scope_size::text AS max_quota_scope_size
            FROM groups g JOIN project_resource_policies r ON r.name = g.resource_policy
           WHERE g.id::text = ${id}
             AND (${all} OR (${admin} AND g.domain_name = ${domainName})
                  OR EXISTS (SELECT FROM association_groups_users m
                              WHERE m.group_id = g.id AND m.user_id = ${userId}))`;
  return row ?? null;
}

/**
 * One page of the quota scopes that folders are in, by host and id unless ordered, and how many match
 * in all. For superadmins.
 * @throws BackendError InvalidGraphQLParameters for a wrong filter.
 */
export async function selectScopes(
  sql: Sql,
  { isSuperadmin }: Pick<Viewer, 'isSuperadmin'>,
  query: V2Query,
  page: { readonly limit: number; readonly offset: number },
): Promise<{ rows: { host: string; id: string }[]; total: number }> {
  const host = sql`s.host`;
  const id = sql`s.quota_scope_id`;
  const filter = v2FilterToSql(sql, query.filter, {
    storageHostName: { kind: 'text', column: host },
    quotaScopeId: { kind: 'text', column: id },
  });
  const columns = { STORAGE_HOST_NAME: host, QUOTA_SCOPE_ID: id };
  const order = [
    ...v2OrderTerms('offset', query.orderBy, columns, []),
    ...[host, id].map((column) => ({ column, descending: false })),
  ]
    .map(({ column, descending }) => (descending ? sql`${column} DESC` : sql`${column} ASC`))
    .reduce((left, right) => sql`${left}, ${right}`);
  const matching = sql`
    (SELECT DISTINCT host, quota_scope_id FROM vfolders
      WHERE ${isSuperadmin} AND quota_scope_id IS NOT NULL AND unmanaged_path IS NULL
        AND status <> 'delete-complete') s
    WHERE ${filter}`;
  const [counted] = await sql<{ total: number }[]>`
    SELECT count(*)::int AS total FROM ${matching}`;
  const rows = await sql<{ host: string; id: string }[]>`
    SELECT s.host, s.quota_scope_id AS id FROM ${matching}
     ORDER BY ${order} LIMIT ${page.limit} OFFSET ${page.offset}`;
  return { rows, total: counted?.total ?? 0 };
}
