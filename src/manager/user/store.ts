/** SQL about users. */
import type { Db } from '../db/connect.ts';
import type { UserRow } from '../db/rows.generated.ts';

/** Whose users may be seen. */
export type UserScope =
  | { readonly kind: 'all' }
  | { readonly kind: 'domain'; readonly domainName: string }
  | { readonly kind: 'self'; readonly userId: string };

export interface UserFilter {
  readonly userId?: string;
  readonly email?: string;
  readonly domainName?: string | null;
  readonly status?: UserRow['status'] | null;
}

export type UserRecord = Omit<UserRow, 'password' | 'totp_key'> & {
  readonly projects: { id: string; name: string }[];
};

function visible(sql: Db, scope: UserScope) {
  switch (scope.kind) {
    case 'all':
      return sql`true`;
    case 'domain':
      return sql`u.domain_name = ${scope.domainName}`;
    case 'self':
      return sql`u.uuid = ${scope.userId}`;
  }
}

/** Users without their secrets, oldest first. */
export function selectUsers(
  sql: Db,
  scope: UserScope,
  filter: UserFilter,
  limit: number,
): Promise<UserRecord[]> {
  const conditions = [
    filter.userId == null ? sql`` : sql`AND u.uuid = ${filter.userId}`,
    filter.email == null ? sql`` : sql`AND u.email = ${filter.email}`,
    filter.domainName == null ? sql`` : sql`AND u.domain_name = ${filter.domainName}`,
    filter.status == null ? sql`` : sql`AND u.status = ${filter.status}`,
  ];
  return sql<UserRecord[]>`
    SELECT u.uuid, u.username, u.email, u.need_password_change, u.password_changed_at, u.full_name,
           u.description, u.status, u.status_info, u.created_at, u.modified_at, u.domain_name,
           u.role, u.allowed_client_ip, u.totp_activated, u.totp_activated_at, u.resource_policy,
           u.sudo_session_enabled, u.main_access_key, u.container_uid, u.container_main_gid,
           u.container_gids, u.integration_id,
           coalesce((SELECT jsonb_agg(jsonb_build_object('id', g.id, 'name', g.name)
                                      ORDER BY g.name)
                       FROM groups g JOIN association_groups_users a ON a.group_id = g.id
                      WHERE a.user_id = u.uuid), '[]'::jsonb) AS projects
      FROM users u
     WHERE ${visible(sql, scope)} ${conditions}
     ORDER BY u.created_at, u.email
     LIMIT ${limit}`;
}

/** The stored hash of an active user's password; null when there is none. */
export async function selectPasswordHash(
  sql: Db,
  domainName: string,
  email: string,
): Promise<{ userId: string; hash: string } | null> {
  const [row] = await sql<{ userId: string; hash: string | null }[]>`
    SELECT uuid AS "userId", password AS hash FROM users
     WHERE domain_name = ${domainName} AND email = ${email} AND status = 'active'`;
  return row?.hash ? { userId: row.userId, hash: row.hash } : null;
}
