/** SQL that changes projects and who belongs to them. */
import { assignments, type JsonColumn } from '../db/assign-store.ts';
import type { Db } from '../db/connect.ts';
import type { GroupRow } from '../db/rows.generated.ts';

export interface ProjectChanges {
  readonly name?: string;
  readonly description?: string | null;
  readonly is_active?: boolean;
  readonly integration_id?: string | null;
  readonly resource_policy?: string;
  readonly total_resource_slots?: JsonColumn;
  readonly allowed_vfolder_hosts?: JsonColumn;
  readonly container_registry?: JsonColumn;
}

export async function insertProject(
  sql: Db,
  row: {
    readonly id: string;
    readonly name: string;
    readonly domainName: string;
    readonly type: GroupRow['type'];
    readonly resourcePolicy: string;
  },
): Promise<void> {
  await sql`
    INSERT INTO groups (id, name, is_active, domain_name, total_resource_slots,
                        allowed_vfolder_hosts, dotfiles, resource_policy, type)
    VALUES (${row.id}, ${row.name}, true, ${row.domainName}, '{}', '{}', '\\x90',
            ${row.resourcePolicy}, ${row.type})`;
}

/** The row, held until the transaction ends; of `domainName` only unless that is null. */
export async function lockProject(
  sql: Db,
  id: string,
  domainName: string | null,
): Promise<GroupRow | null> {
  const [row] = await sql<GroupRow[]>`
    SELECT * FROM groups
     WHERE id = ${id} AND ${domainName === null ? sql`true` : sql`domain_name = ${domainName}`}
       FOR UPDATE`;
  return row ?? null;
}

export async function updateProject(
  sql: Db,
  id: string,
  changes: ProjectChanges,
): Promise<GroupRow | null> {
  const [row] = await sql<GroupRow[]>`
    UPDATE groups SET modified_at = now() ${assignments(sql, { ...changes })}
     WHERE id = ${id} RETURNING *`;
  return row ?? null;
}

export async function deleteProject(sql: Db, id: string): Promise<void> {
  await sql`DELETE FROM groups WHERE id = ${id}`;
}

/** Folders of the project that still hold data. */
export async function countFolders(sql: Db, id: string): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    SELECT count(*)::int AS count FROM vfolders
     WHERE "group" = ${id} AND status <> 'delete-complete'`;
  return row?.count ?? 0;
}

/** Those of `ids` that are projects of the domain. */
export async function selectProjectIds(
  sql: Db,
  domainName: string,
  ids: readonly string[],
): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    SELECT id FROM groups
     WHERE domain_name = ${domainName} AND id::text = ANY (${[...ids]}::text[])`;
  return rows.map(({ id }) => id);
}

/** The active project of that name in the domain. */
export async function selectProjectIdByName(
  sql: Db,
  domainName: string,
  name: string,
): Promise<string | null> {
  const [row] = await sql<{ id: string }[]>`
    SELECT id FROM groups WHERE domain_name = ${domainName} AND name = ${name} AND is_active`;
  return row?.id ?? null;
}

/** Those of `ids` that are users; of `domainName` only unless that is null. */
export async function selectUserIds(
  sql: Db,
  domainName: string | null,
  ids: readonly string[],
): Promise<string[]> {
  const rows = await sql<{ uuid: string }[]>`
    SELECT uuid FROM users
     WHERE uuid::text = ANY (${[...ids]}::text[])
       AND ${domainName === null ? sql`true` : sql`domain_name = ${domainName}`}`;
  return rows.map(({ uuid }) => uuid);
}

export async function addMembers(
  sql: Db,
  projectIds: readonly string[],
  userIds: readonly string[],
): Promise<void> {
  await sql`
    INSERT INTO association_groups_users (group_id, user_id)
    SELECT p, u FROM unnest(${[...projectIds]}::text[]::uuid[]) AS p,
                     unnest(${[...userIds]}::text[]::uuid[]) AS u
    ON CONFLICT DO NOTHING`;
}

/** @returns the ids of those who were members. */
export async function removeMembers(
  sql: Db,
  projectId: string,
  userIds: readonly string[],
): Promise<string[]> {
  const rows = await sql<{ userId: string }[]>`
    DELETE FROM association_groups_users
     WHERE group_id = ${projectId} AND user_id::text = ANY (${[...userIds]}::text[])
    RETURNING user_id AS "userId"`;
  return rows.map(({ userId }) => userId);
}

/** Takes the user out of all projects of its account but `keep`. */
export async function removeMembershipsExcept(
  sql: Db,
  userId: string,
  keep: readonly string[],
): Promise<void> {
  await sql`
    DELETE FROM association_groups_users
     WHERE user_id = ${userId} AND NOT group_id::text = ANY (${[...keep]}::text[])`;
}
