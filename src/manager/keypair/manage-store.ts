/** SQL that changes keypairs. */
import { assignments } from '../db/assign-store.ts';
import type { Db } from '../db/connect.ts';
import type { KeypairRow } from '../db/rows.generated.ts';

/** A keypair's owner, by e-mail address or id. */
export async function selectOwner(
  sql: Db,
  emailOrId: string,
): Promise<{ userId: string; email: string } | null> {
  const [row] = await sql<{ userId: string; email: string }[]>`
    SELECT uuid AS "userId", email FROM users
     WHERE email = ${emailOrId} OR uuid::text = lower(${emailOrId}) LIMIT 1`;
  return row ?? null;
}

export interface NewKeypair {
  readonly userId: string;
  readonly email: string;
  readonly isActive: boolean;
  readonly isAdmin: boolean;
  readonly resourcePolicy: string;
  /** Requests per 15 minutes. */
  readonly rateLimit: number;
}

export async function insertKeypair(
  sql: Db,
  keys: { accessKey: string; secretKey: string },
  row: NewKeypair,
): Promise<KeypairRow> {
  const [inserted] = await sql<KeypairRow[]>`
    INSERT INTO keypairs (user_id, access_key, secret_key, is_active, is_admin, rate_limit, "user",
                          resource_policy, dotfiles, bootstrap_script)
    VALUES (${row.email}, ${keys.accessKey}, ${keys.secretKey}, ${row.isActive}, ${row.isAdmin},
            ${row.rateLimit}, ${row.userId}, ${row.resourcePolicy}, '\\x90', '')
    RETURNING *`;
  if (!inserted) throw new Error('an inserted keypair was not returned');
  return inserted;
}

/** The row, held until the transaction ends. */
export async function lockKeypair(sql: Db, accessKey: string): Promise<KeypairRow | null> {
  const [row] = await sql<KeypairRow[]>`
    SELECT * FROM keypairs WHERE access_key = ${accessKey} FOR UPDATE`;
  return row ?? null;
}

/** All keypairs of a user, held until the transaction ends. */
export function lockKeypairsOf(sql: Db, userId: string): Promise<KeypairRow[]> {
  return sql<KeypairRow[]>`SELECT * FROM keypairs WHERE "user" = ${userId} FOR UPDATE`;
}

/** The user's main access key; null when there is none. */
export async function selectMainKey(sql: Db, userId: string): Promise<string | null> {
  const [row] = await sql<{ key: string | null }[]>`
    SELECT main_access_key AS key FROM users WHERE uuid = ${userId} FOR UPDATE`;
  return row?.key ?? null;
}

export async function updateMainKey(sql: Db, userId: string, accessKey: string): Promise<void> {
  await sql`
    UPDATE users SET main_access_key = ${accessKey}, modified_at = now() WHERE uuid = ${userId}`;
}

export type KeypairChanges = Partial<
  Pick<
    KeypairRow,
    | 'is_active'
    | 'is_admin'
    | 'resource_policy'
    | 'rate_limit'
    | 'ssh_public_key'
    | 'ssh_private_key'
  >
>;

export async function updateKeypair(
  sql: Db,
  accessKey: string,
  changes: KeypairChanges,
): Promise<KeypairRow | null> {
  const [row] = await sql<KeypairRow[]>`
    UPDATE keypairs SET modified_at = now() ${assignments(sql, changes)}
     WHERE access_key = ${accessKey} RETURNING *`;
  return row ?? null;
}

/** Changes all keypairs of a user. @returns them as they became. */
export function updateKeypairsOf(
  sql: Db,
  userId: string,
  changes: KeypairChanges,
): Promise<KeypairRow[]> {
  return sql<KeypairRow[]>`
    UPDATE keypairs SET modified_at = now() ${assignments(sql, changes)}
     WHERE "user" = ${userId} RETURNING *`;
}

export async function isMainKey(sql: Db, accessKey: string): Promise<boolean> {
  const rows = await sql`SELECT 1 FROM users WHERE main_access_key = ${accessKey} LIMIT 1`;
  return rows.length > 0;
}

export async function deleteKeypair(sql: Db, accessKey: string): Promise<void> {
  await sql`DELETE FROM keypairs WHERE access_key = ${accessKey}`;
}

export async function deleteKeypairsOf(sql: Db, userId: string): Promise<void> {
  await sql`DELETE FROM keypairs WHERE "user" = ${userId}`;
}
