/** SQL about the parts of an account that its owner changes. */
import type { Db } from '../db/connect.ts';

/** @returns the name before. */
export async function updateFullName(
  sql: Db,
  userId: string,
  fullName: string,
): Promise<string | null> {
  const [row] = await sql<{ before: string | null }[]>`
    UPDATE users u SET full_name = ${fullName}, modified_at = now()
      FROM (SELECT uuid, full_name FROM users WHERE uuid = ${userId} FOR UPDATE) old
     WHERE u.uuid = old.uuid
    RETURNING old.full_name AS before`;
  return row?.before ?? null;
}

/** Whether anybody has that address. */
export async function emailExists(sql: Db, email: string): Promise<boolean> {
  return (await sql`SELECT 1 FROM users WHERE email = ${email}`).length > 0;
}

export async function isActiveDomain(sql: Db, name: string): Promise<boolean> {
  return (await sql`SELECT 1 FROM domains WHERE name = ${name} AND is_active`).length > 0;
}

export async function isMember(sql: Db, userId: string, projectId: string): Promise<boolean> {
  const rows = await sql`
    SELECT 1 FROM association_groups_users
     WHERE user_id = ${userId} AND group_id = ${projectId}`;
  return rows.length > 0;
}

export async function selectSshPublicKey(sql: Db, accessKey: string): Promise<string> {
  const [row] = await sql<{ key: string | null }[]>`
    SELECT ssh_public_key AS key FROM keypairs WHERE access_key = ${accessKey}`;
  return row?.key ?? '';
}

export async function updateSshKeypair(
  sql: Db,
  accessKey: string,
  pair: { readonly publicKey: string; readonly privateKey: string },
): Promise<void> {
  await sql`
    UPDATE keypairs SET ssh_public_key = ${pair.publicKey}, ssh_private_key = ${pair.privateKey},
           modified_at = now()
     WHERE access_key = ${accessKey}`;
}
