/** SQL that changes invitations to roles. */
import type { Db } from '../db/connect.ts';
import type { RoleInvitationRow } from '../db/rows.generated.ts';
import { asUuid, type Fragment } from './store.ts';

export type InvitationState = 'pending' | 'accepted' | 'rejected' | 'canceled';

/** Whether user `u` is of the domain of every domain and project that the role reaches. */
const isOfItsDomain = (sql: Db, roleId: string): Fragment => sql`
  NOT EXISTS (
    SELECT FROM (
      SELECT scope_type, scope_id FROM association_scopes_entities
       WHERE entity_type = 'role' AND entity_id = ${roleId}
      UNION
      SELECT scope_type, scope_id FROM permissions WHERE role_id = ${roleId}) AS s
     WHERE u.domain_name IS DISTINCT FROM CASE s.scope_type
             WHEN 'domain' THEN s.scope_id
             WHEN 'project' THEN
               (SELECT g.domain_name FROM groups g WHERE g.id = ${asUuid(sql, sql`s.scope_id`)})
             ELSE u.domain_name
           END)`;

/** Active users with these addresses who don't have the role; of its domain, or `anywhere`. */
export async function selectInvitees(
  sql: Db,
  roleId: string,
  emails: readonly string[],
  { anywhere }: { readonly anywhere: boolean },
): Promise<string[]> {
  const rows = await sql<{ uuid: string }[]>`
    SELECT u.uuid FROM users u
     WHERE u.email = ANY (${[...emails]}::text[]) AND u.status = 'active'
       AND NOT EXISTS (SELECT FROM user_roles m WHERE m.user_id = u.uuid AND m.role_id = ${roleId})
       AND ${anywhere ? sql`true` : isOfItsDomain(sql, roleId)}
     ORDER BY u.email`;
  return rows.map(({ uuid }) => uuid);
}

/** Whether the invited are still of the role's domain, or a superadmin invited them from elsewhere. */
export async function mayHaveRole(
  sql: Db,
  { invitee_user_id, inviter_user_id, role_id }: RoleInvitationRow,
): Promise<boolean> {
  const [row] = await sql`
    SELECT FROM users u
     WHERE u.uuid = ${invitee_user_id}
       AND (${isOfItsDomain(sql, role_id)}
            OR EXISTS (SELECT FROM users i
                        WHERE i.uuid = ${inviter_user_id} AND i.role = 'superadmin'))`;
  return row !== undefined;
}

/**
 * Invites users to a role; an earlier invitation that was declined or withdrawn is sent again, one
 * that waits stays as it is. @returns the new ones.
 */
export function insertInvitations(
  sql: Db,
  row: {
    readonly roleId: string;
    readonly inviterId: string;
    readonly inviteeIds: readonly string[];
  },
): Promise<RoleInvitationRow[]> {
  return sql<RoleInvitationRow[]>`
    INSERT INTO role_invitations (inviter_user_id, invitee_user_id, role_id)
    SELECT ${row.inviterId}, i, ${row.roleId} FROM unnest(${[...row.inviteeIds]}::text[]::uuid[]) AS i
    ON CONFLICT (invitee_user_id, role_id) WHERE state <> 'accepted' DO UPDATE
      SET state = 'pending', inviter_user_id = excluded.inviter_user_id, updated_at = now()
      WHERE role_invitations.state <> 'pending'
    RETURNING *`;
}

/** The invitation, held until the transaction ends; of `inviteeId` only unless that is null. */
export async function lockInvitation(
  sql: Db,
  id: string,
  inviteeId: string | null,
): Promise<RoleInvitationRow | null> {
  const [row] = await sql<RoleInvitationRow[]>`
    SELECT * FROM role_invitations
     WHERE id = ${id} AND ${inviteeId === null ? sql`true` : sql`invitee_user_id = ${inviteeId}`}
       FOR UPDATE`;
  return row ?? null;
}

export function updateInvitation(
  sql: Db,
  id: string,
  state: InvitationState,
): Promise<RoleInvitationRow[]> {
  return sql<RoleInvitationRow[]>`
    UPDATE role_invitations SET state = ${state}, updated_at = now() WHERE id = ${id} RETURNING *`;
}
