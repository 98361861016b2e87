/** SQL about signing in: accounts with their password, login sessions, login history. */
import type { Db } from '../db/connect.ts';
import type { LoginHistoryRow, LoginSessionRow, UserRow } from '../db/rows.generated.ts';
import type { Role } from '../http/route.ts';

export type LoginResult =
  | 'success'
  | 'failed_invalid_credentials'
  | 'failed_user_inactive'
  | 'failed_blocked'
  | 'failed_password_expired'
  | 'failed_rejected_by_hook'
  | 'failed_session_already_exists'
  | 'logout'
  | 'revoked_by_admin'
  | 'revoked_by_user'
  | 'evicted';

export interface LoginAccount {
  readonly userId: string;
  readonly domainName: string;
  readonly passwordHash: string | null;
  readonly passwordChangedAt: Date | null;
  readonly status: UserRow['status'];
  readonly role: Role;
  readonly allowedClientIp: string[] | null;
  /** The secret of the second factor; null when there is none or it is not in use. */
  readonly totpKey: string | null;
  /** Whether an administrator has switched the second factor on before the user enrolled one. */
  readonly mustEnrol: boolean;
  /** Largest number of sign-ins at a time; null means any. */
  readonly maxConcurrentLogins: number | null;
}

const accountColumns = (sql: Db) => sql`
  u.uuid AS "userId", u.domain_name AS "domainName", u.password AS "passwordHash",
  u.password_changed_at AS "passwordChangedAt", u.status, coalesce(u.role, 'user') AS role,
  u.allowed_client_ip::text[] AS "allowedClientIp",
  CASE WHEN u.totp_activated THEN nullif(u.totp_key, '') END AS "totpKey",
  u.totp_activated IS TRUE AND nullif(u.totp_key, '') IS NULL AS "mustEnrol",
  p.max_concurrent_logins AS "maxConcurrentLogins"`;

/** The account in any status; null when there is none. */
export async function selectLoginAccount(
  sql: Db,
  domainName: string,
  email: string,
): Promise<LoginAccount | null> {
  const [row] = await sql<LoginAccount[]>`
    SELECT ${accountColumns(sql)}
      FROM users u JOIN user_resource_policies p ON p.name = u.resource_policy
     WHERE u.domain_name = ${domainName} AND u.email = ${email}`;
  return row ?? null;
}

/** The account by its id, in any status; null when there is none or it belongs to no domain. */
export async function selectLoginAccountById(
  sql: Db,
  userId: string,
): Promise<LoginAccount | null> {
  const [row] = await sql<LoginAccount[]>`
    SELECT ${accountColumns(sql)}
      FROM users u JOIN user_resource_policies p ON p.name = u.resource_policy
     WHERE u.uuid = ${userId} AND u.domain_name IS NOT NULL`;
  return row ?? null;
}

/** Whose active keypair this is; null when there is none. */
export async function selectKeypairOwner(sql: Db, accessKey: string): Promise<string | null> {
  const [row] = await sql<{ userId: string }[]>`
    SELECT "user" AS "userId" FROM keypairs WHERE access_key = ${accessKey} AND is_active`;
  return row?.userId ?? null;
}

/** The user's main keypair if it is active, else the oldest active one. */
export async function selectLoginKeypair(
  sql: Db,
  userId: string,
): Promise<{ accessKey: string; secretKey: string } | null> {
  const [row] = await sql<{ accessKey: string; secretKey: string }[]>`
    SELECT k.access_key AS "accessKey", k.secret_key AS "secretKey"
      FROM keypairs k JOIN users u ON u.uuid = k."user"
     WHERE u.uuid = ${userId} AND k.is_active AND k.secret_key IS NOT NULL
     ORDER BY (k.access_key = u.main_access_key) DESC NULLS LAST, k.created_at, k.access_key
     LIMIT 1`;
  return row ?? null;
}

/** Replaces the hash only if it still is the one that was verified. */
export async function replacePasswordHash(
  sql: Db,
  userId: string,
  verified: string,
  hash: string,
): Promise<void> {
  await sql`UPDATE users SET password = ${hash} WHERE uuid = ${userId} AND password = ${verified}`;
}

/** Stores a new password. @returns when it was changed; null if another change came first. */
export async function changePassword(
  sql: Db,
  userId: string,
  verified: string,
  hash: string,
): Promise<Date | null> {
  const [row] = await sql<{ at: Date }[]>`
    UPDATE users SET password = ${hash}, password_changed_at = now(), modified_at = now(),
           need_password_change = false
     WHERE uuid = ${userId} AND password = ${verified}
    RETURNING password_changed_at AS at`;
  return row?.at ?? null;
}

export async function insertLoginHistory(
  sql: Db,
  entry: {
    userId: LoginHistoryRow['user_id'];
    domainName: LoginHistoryRow['domain_name'];
    result: LoginResult;
    reason?: string;
  },
): Promise<void> {
  await sql`
    INSERT INTO login_history (user_id, domain_name, result, fail_reason)
    VALUES (${entry.userId}, ${entry.domainName}, ${entry.result}, ${entry.reason ?? null})`;
}

/** Keeps other sign-ins of this user waiting until the transaction ends. */
export async function lockUser(sql: Db, userId: string): Promise<void> {
  await sql`SELECT 1 FROM users WHERE uuid = ${userId} FOR UPDATE`;
}

/** Tokens of the user's sign-ins that are younger than `maxAgeSec`, oldest first. */
export async function selectLiveTokens(
  sql: Db,
  userId: string,
  maxAgeSec: number,
): Promise<string[]> {
  const rows = await sql<Pick<LoginSessionRow, 'session_token'>[]>`
    SELECT session_token FROM login_sessions
     WHERE user_id = ${userId} AND status = 'active'
       AND created_at > now() - make_interval(secs => ${maxAgeSec})
     ORDER BY created_at, id`;
  return rows.map((row) => row.session_token);
}

export async function insertLoginSession(
  sql: Db,
  session: { token: string; userId: string; accessKey: string; clientTypeId: string | null },
): Promise<void> {
  await sql`
    INSERT INTO login_sessions (session_token, user_id, access_key, login_client_type_id)
    VALUES (${session.token}, ${session.userId}, ${session.accessKey},
            (SELECT id FROM login_client_types WHERE id = ${session.clientTypeId}))`;
}

/** Tokens of all sign-ins of the user that were not ended. */
export async function selectOpenTokens(sql: Db, userId: string): Promise<string[]> {
  const rows = await sql<Pick<LoginSessionRow, 'session_token'>[]>`
    SELECT session_token FROM login_sessions WHERE user_id = ${userId} AND status = 'active'`;
  return rows.map((row) => row.session_token);
}

/** Marks sign-ins as ended. @returns the owners of those that were not. */
export function invalidateLoginSessions(
  sql: Db,
  tokens: readonly string[],
): Promise<{ userId: string; domainName: string }[]> {
  return sql<{ userId: string; domainName: string }[]>`
    UPDATE login_sessions s SET status = 'invalidated', invalidated_at = now()
      FROM users u
     WHERE u.uuid = s.user_id AND s.status = 'active' AND s.session_token = ANY(${[...tokens]})
    RETURNING s.user_id AS "userId", coalesce(u.domain_name, '') AS "domainName"`;
}
