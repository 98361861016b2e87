/** SQL that changes users. */
import { assignments } from '../db/assign-store.ts';
import type { Db } from '../db/connect.ts';
import type { UserRow } from '../db/rows.generated.ts';

/** The columns that an administrator sets; `password` is a hash. */
export type UserChanges = Partial<
  Pick<
    UserRow,
    | 'username'
    | 'password'
    | 'password_changed_at'
    | 'need_password_change'
    | 'full_name'
    | 'description'
    | 'status'
    | 'status_info'
    | 'domain_name'
    | 'role'
    | 'allowed_client_ip'
    | 'totp_activated'
    | 'totp_activated_at'
    | 'totp_key'
    | 'resource_policy'
    | 'sudo_session_enabled'
    | 'main_access_key'
    | 'integration_id'
    | 'container_uid'
    | 'container_main_gid'
    | 'container_gids'
  >
>;

/** Makes a user with nothing but an address; `updateUser` in the same transaction does the rest. */
export async function insertUser(
  sql: Db,
  row: {
    readonly userId: string;
    readonly email: string;
    readonly username: string;
    readonly domainName: string;
    readonly resourcePolicy: string;
  },
): Promise<void> {
  await sql`
    INSERT INTO users (uuid, email, username, status, domain_name, role, resource_policy,
                       sudo_session_enabled)
    VALUES (${row.userId}, ${row.email}, ${row.username}, 'active', ${row.domainName}, 'user',
            ${row.resourcePolicy}, false)`;
}

/** Which user: by address, or by id. */
export type UserKey = string | { readonly userId: string };

/** The row, held until the transaction ends. */
export async function lockUser(sql: Db, key: UserKey): Promise<UserRow | null> {
  const named = typeof key === 'string' ? sql`email = ${key}` : sql`uuid = ${key.userId}`;
  const [row] = await sql<UserRow[]>`SELECT * FROM users WHERE ${named} FOR UPDATE`;
  return row ?? null;
}

export async function updateUser(
  sql: Db,
  userId: string,
  changes: UserChanges,
): Promise<UserRow | null> {
  const [row] = await sql<UserRow[]>`
    UPDATE users SET modified_at = now() ${assignments(sql, changes)}
     WHERE uuid = ${userId} RETURNING *`;
  return row ?? null;
}

/** Folders of the user that still hold data. */
export async function countFolders(sql: Db, userId: string): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    SELECT count(*)::int AS count FROM vfolders
     WHERE "user" = ${userId} AND status <> 'delete-complete'`;
  return row?.count ?? 0;
}

/** Removes what only makes sense with the user, in the order that references allow. */
export async function deleteBelongings(sql: Db, userId: string, email: string): Promise<void> {
  await sql`UPDATE users SET main_access_key = NULL WHERE uuid = ${userId}`;
  await sql`DELETE FROM vfolder_permissions WHERE "user" = ${userId}`;
  await sql`DELETE FROM vfolder_invitations WHERE invitee = ${email} OR inviter = ${email}`;
  await sql`DELETE FROM error_logs WHERE "user" = ${userId}`;
}

export async function deleteUser(sql: Db, userId: string): Promise<void> {
  await sql`DELETE FROM users WHERE uuid = ${userId}`;
}
