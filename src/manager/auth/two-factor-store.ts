/** SQL about second factors. */
import type { Db } from '../db/connect.ts';

/** @returns null when there is no such active account. */
export async function selectActiveAccount(
  sql: Db,
  userId: string,
): Promise<{ userId: string; email: string } | null> {
  const [row] = await sql<{ userId: string; email: string }[]>`
    SELECT uuid AS "userId", email FROM users WHERE uuid = ${userId} AND status = 'active'`;
  return row ?? null;
}

/** The account with that address; a domain's administrator reaches its people, but no superadmin. */
export async function selectAccountInReach(
  sql: Db,
  email: string,
  scope: { readonly domainName: string | null },
): Promise<{ userId: string } | null> {
  const [row] = await sql<{ userId: string }[]>`
    SELECT uuid AS "userId" FROM users
     WHERE email = ${email}
       AND (${scope.domainName}::text IS NULL
            OR (domain_name = ${scope.domainName} AND role IS DISTINCT FROM 'superadmin'))`;
  return row ?? null;
}

/** `isActive` once a code has proved the secret. */
export async function selectState(
  sql: Db,
  userId: string,
): Promise<{ isActive: boolean; secret: string | null } | null> {
  const [row] = await sql<{ isActive: boolean; secret: string | null }[]>`
    SELECT totp_activated IS TRUE AND totp_activated_at IS NOT NULL AS "isActive",
           totp_key AS secret
      FROM users WHERE uuid = ${userId}`;
  return row ?? null;
}

/**
 * Stores a secret that no code has proved yet. A factor that an administrator demands stays
 * demanded meanwhile.
 * @param unproved whether it may replace one that was demanded and never proved.
 * @returns false while a second factor is in use.
 */
export async function setSecret(
  sql: Db,
  userId: string,
  secret: string,
  unproved: boolean,
): Promise<boolean> {
  const rows = await sql`
    UPDATE users SET totp_key = ${secret}, totp_activated_at = NULL
     WHERE uuid = ${userId}
       AND (totp_activated IS NOT TRUE OR nullif(totp_key, '') IS NULL
            OR (${unproved} AND totp_activated_at IS NULL))
    RETURNING 1`;
  return rows.length > 0;
}

/** @returns false when it is on already or another secret was stored meanwhile. */
export async function activate(sql: Db, userId: string, secret: string): Promise<boolean> {
  const rows = await sql`
    UPDATE users SET totp_activated = true, totp_activated_at = now()
     WHERE uuid = ${userId} AND totp_key = ${secret}
       AND (totp_activated IS NOT TRUE OR totp_activated_at IS NULL)
    RETURNING 1`;
  return rows.length > 0;
}

/** @returns false when it was off. */
export async function deactivate(sql: Db, userId: string): Promise<boolean> {
  const rows = await sql`
    UPDATE users SET totp_activated = false, totp_key = NULL, totp_activated_at = NULL
     WHERE uuid = ${userId} AND totp_activated
    RETURNING 1`;
  return rows.length > 0;
}
