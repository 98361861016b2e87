/** SQL about the owners of quota scopes. */
import type { Db } from '../db/connect.ts';
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
