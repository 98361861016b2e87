/** SQL about what others were granted on folders, and about invitations to them. */
import type { Fragment, Sql } from 'postgres';
import type { Db } from '../db/connect.ts';
import type { VfolderInvitationRow } from '../db/rows.generated.ts';
import {
  type FieldTable,
  filterToSql,
  type ListPage,
  orderTable,
  orderToSql,
} from '../graphql/minilang-store.ts';
import type { FolderPermission } from './rules.ts';
import { relations, type Viewer, within } from './store.ts';

/** Gives a user a permission on a folder, in place of an earlier one. The folder's row is held. */
export async function insertGrant(
  sql: Db,
  folderId: string,
  userId: string,
  permission: FolderPermission,
): Promise<void> {
  await deleteGrant(sql, folderId, userId);
  await sql`INSERT INTO vfolder_permissions (permission, vfolder, "user")
    VALUES (${permission}, ${folderId}, ${userId})`;
}

/** @returns whether there was one. */
export async function deleteGrant(sql: Db, folderId: string, userId: string): Promise<boolean> {
  const { count } = await sql`
    DELETE FROM vfolder_permissions WHERE vfolder = ${folderId} AND "user" = ${userId}`;
  return count > 0;
}

/** @returns whether there was one to change. */
export async function updateGrant(
  sql: Db,
  folderId: string,
  userId: string,
  permission: FolderPermission,
): Promise<boolean> {
  const { count } = await sql`
    UPDATE vfolder_permissions SET permission = ${permission}
     WHERE vfolder = ${folderId} AND "user" = ${userId}`;
  return count > 0;
}

export interface GrantRecord {
  readonly vfolder_id: string;
  readonly vfolder_name: string;
  readonly status: string;
  readonly owner: string;
  readonly type: 'project' | 'user';
  readonly user: string;
  readonly email: string;
  readonly permission: FolderPermission;
}

/** Folders with their grants, `o`, and to whom those are, `w`. */
const grantRelations = (sql: Db, viewer: Viewer): Fragment => sql`
  ${relations(sql, viewer)}
  JOIN vfolder_permissions o ON o.vfolder = f.id
  JOIN users w ON w.uuid = o."user"`;

/** The grants that a viewer may know of: on folders they dispose of, and their own. */
function grantsWithin(sql: Db, viewer: Viewer): Fragment {
  const disposes = viewer.isSuperadmin
    ? sql`true`
    : viewer.role === 'admin'
      ? sql`(f."user" = ${viewer.userId} OR f.domain_name = ${viewer.domainName})`
      : sql`f."user" = ${viewer.userId}`;
  return sql`(${within(sql, viewer, 'all')} AND (${disposes} OR o."user" = ${viewer.userId}))`;
}

/** The grants on one folder or on all, as far as the viewer may know. */
export const selectGrants = (
  sql: Db,
  viewer: Viewer,
  folderId: string | null,
  limit: number,
): Promise<GrantRecord[]> => sql<GrantRecord[]>`
  SELECT f.id AS vfolder_id, f.name AS vfolder_name, f.status,
         coalesce(f."group", f."user")::text AS owner,
         CASE WHEN f."group" IS NULL THEN 'user' ELSE 'project' END AS type,
         o."user", w.email, coalesce(o.permission, 'rw') AS permission
    FROM ${grantRelations(sql, viewer)}
   WHERE ${grantsWithin(sql, viewer)}
     ${folderId === null ? sql`` : sql`AND f.id = ${folderId}`}
   ORDER BY f.name, w.email LIMIT ${limit}`;

/** A grant as its list shows it. */
interface ListedGrant {
  readonly id: string;
  readonly permission: FolderPermission;
  readonly vfolder: string;
  readonly vfolder_name: string;
  readonly user: string;
  readonly user_email: string;
}

/**
 * One page of the grants that a viewer may know of, and how many match in all. Those on the newest
 * folders come first, unless ordered.
 * @throws BackendError InvalidAPIParameters for a wrong filter or order.
 */
export async function selectGrantPage(
  sql: Sql,
  viewer: Viewer,
  page: ListPage,
): Promise<{ rows: ListedGrant[]; total: number }> {
  const stored = (value: string) => value.toLowerCase();
  const table: FieldTable = {
    permission: { kind: 'enum', column: sql`o.permission::text`, stored },
    vfolder: { kind: 'uuid', column: sql`f.id` },
    vfolder_name: { kind: 'text', column: sql`f.name` },
    user: { kind: 'uuid', column: sql`o."user"` },
    user_email: { kind: 'text', column: sql`w.email` },
  };
  const where = sql`${grantsWithin(sql, viewer)} AND ${filterToSql(sql, page.filter, table)}`;
  const order = orderToSql(sql, page.order, orderTable(table), {
    fallback: sql`f.created_at DESC`,
    tieBreak: sql`o.id`,
  });
  const [counted] = await sql<{ total: number }[]>`
    SELECT count(*)::int AS total FROM ${grantRelations(sql, viewer)} WHERE ${where}`;
  const rows = await sql<ListedGrant[]>`
    SELECT o.id, coalesce(o.permission, 'rw') AS permission, f.id AS vfolder,
           f.name AS vfolder_name, o."user", w.email AS user_email
      FROM ${grantRelations(sql, viewer)}
     WHERE ${where} ORDER BY ${order} LIMIT ${page.limit} OFFSET ${page.offset}`;
  return { rows, total: counted?.total ?? 0 };
}

export interface Person {
  readonly uuid: string;
  readonly email: string;
}

/** The active users with these e-mail addresses, in a domain or, with null, in all. */
export function selectPeople(
  sql: Db,
  emails: readonly string[],
  domainName: string | null,
): Promise<Person[]> {
  const inReach = domainName === null ? sql`true` : sql`domain_name = ${domainName}`;
  return sql<Person[]>`
    SELECT uuid, email FROM users
     WHERE email = ANY (${[...emails]}::text[]) AND status = 'active' AND ${inReach}
     ORDER BY email`;
}

/** The members of a project with these e-mail addresses. */
export function selectMembers(
  sql: Db,
  emails: readonly string[],
  projectId: string,
): Promise<Person[]> {
  return sql<Person[]>`
    SELECT u.uuid, u.email FROM users u
      JOIN association_groups_users m ON m.user_id = u.uuid AND m.group_id = ${projectId}
     WHERE u.email = ANY (${[...emails]}::text[]) ORDER BY u.email`;
}

/** Which of these users have a grant on a folder. */
export async function selectGrantees(
  sql: Db,
  folderId: string,
  userIds: readonly string[],
): Promise<Set<string>> {
  const rows = await sql<{ user: string }[]>`
    SELECT "user" FROM vfolder_permissions
     WHERE vfolder = ${folderId} AND "user" = ANY (${[...userIds]}::uuid[])`;
  return new Set(rows.map(({ user }) => user));
}

export interface InvitationRecord extends VfolderInvitationRow {
  readonly vfolder_name: string;
  readonly vfolder_status: string;
  readonly vfolder_owner: string | null;
}

const invitations = (sql: Db) => sql`
  SELECT i.*, f.name AS vfolder_name, f.status AS vfolder_status, f."user" AS vfolder_owner
    FROM vfolder_invitations i JOIN vfolders f ON f.id = i.vfolder`;

/** Pending invitations to somebody, or by somebody; newest first. */
export function selectPendingInvitations(
  sql: Db,
  role: 'invitee' | 'inviter',
  email: string,
  limit: number,
): Promise<InvitationRecord[]> {
  const who = role === 'invitee' ? sql`i.invitee = ${email}` : sql`i.inviter = ${email}`;
  return sql<InvitationRecord[]>`
    ${invitations(sql)}
     WHERE ${who} AND i.state = 'pending' AND f.status NOT IN ('delete-ongoing', 'delete-complete')
     ORDER BY i.created_at DESC, i.id LIMIT ${limit}`;
}

/** A pending invitation of which `email` is one side; it is held until the transaction ends. */
export async function lockInvitation(
  sql: Db,
  id: string,
  email: string,
): Promise<InvitationRecord | null> {
  const [row] = await sql<InvitationRecord[]>`
    ${invitations(sql)}
     WHERE i.id = ${id} AND i.state = 'pending' AND (i.invitee = ${email} OR i.inviter = ${email})
       FOR UPDATE OF i`;
  return row ?? null;
}

/** Invites those who have no pending invitation of the inviter. @returns the new ids. */
export async function insertInvitations(
  sql: Db,
  invitation: {
    readonly folderId: string;
    readonly inviter: string;
    readonly invitees: readonly string[];
    readonly permission: FolderPermission;
  },
): Promise<{ id: string; invitee: string }[]> {
  const { folderId, inviter, invitees, permission } = invitation;
  return sql<{ id: string; invitee: string }[]>`
    INSERT INTO vfolder_invitations (permission, inviter, invitee, state, vfolder)
    SELECT ${permission}::vfolderpermission, ${inviter}, e, 'pending', ${folderId}::uuid
      FROM unnest(${[...invitees]}::text[]) AS e
     WHERE NOT EXISTS (SELECT FROM vfolder_invitations i
                        WHERE i.vfolder = ${folderId} AND i.inviter = ${inviter}
                          AND i.invitee = e AND i.state = 'pending')
    RETURNING id, invitee`;
}

export async function updateInvitation(
  sql: Db,
  id: string,
  change: {
    readonly state?: VfolderInvitationRow['state'];
    readonly permission?: FolderPermission;
  },
): Promise<void> {
  await sql`UPDATE vfolder_invitations SET ${sql(change)}, modified_at = now()
             WHERE id = ${id}`;
}
