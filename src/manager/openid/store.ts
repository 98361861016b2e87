/** SQL about accounts that a provider vouches for. */
import type { Db } from '../db/connect.ts';

export interface LinkedAccount {
  readonly userId: string;
  readonly email: string;
  readonly integrationId: string | null;
}

/** The account linked with that subject, else the one with that address. */
export async function selectAccount(
  sql: Db,
  subject: string,
  email: string,
): Promise<LinkedAccount | null> {
  const [row] = await sql<LinkedAccount[]>`
    SELECT uuid AS "userId", email, integration_id AS "integrationId" FROM users
     WHERE integration_id = ${subject} OR email = ${email}
     ORDER BY (integration_id IS NOT DISTINCT FROM ${subject}) DESC LIMIT 1`;
  return row ?? null;
}

/** @returns false when the account was linked with something else meanwhile. */
export async function linkAccount(sql: Db, userId: string, subject: string): Promise<boolean> {
  const rows = await sql`
    UPDATE users SET integration_id = ${subject}, modified_at = now()
     WHERE uuid = ${userId} AND integration_id IS NULL RETURNING 1`;
  return rows.length > 0;
}
