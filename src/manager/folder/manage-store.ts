/** SQL that makes, changes and removes folders. */
import type { Db } from '../db/connect.ts';
import type { VfolderRow } from '../db/rows.generated.ts';
import type { FolderPermission, FolderStatus } from './rules.ts';

/** Statuses in which a folder neither counts nor blocks its name. */
const REMOVED = ['delete-ongoing', 'delete-complete', 'delete-error'];

/** Who owns a folder. */
export type FolderOwner =
  | { readonly kind: 'user'; readonly userId: string }
  | { readonly kind: 'project'; readonly projectId: string };

export interface OwnerLimits {
  /** 0: no limit. */
  readonly max_vfolder_count: number;
  /** Bytes; negative: no limit. */
  readonly max_quota_scope_size: string;
  readonly container_uid: number | null;
  readonly folders: number;
}

/**
 * What an owner's policy allows, and how many folders there are. Holds the owner's row until the
 * transaction ends, so that two folders made at once cannot both pass.
 */
export async function lockOwner(sql: Db, owner: FolderOwner): Promise<OwnerLimits | null> {
  // Locking is a statement of its own: one that waits for the lock counts what was before it waited.
  if (owner.kind === 'user') {
    await sql`SELECT 1 FROM users WHERE uuid = ${owner.userId} FOR UPDATE`;
    const [row] = await sql<OwnerLimits[]>`
      SELECT r.max_vfolder_count, r.max_quota_scope_size::text AS max_quota_scope_size,
             u.container_uid,
             (SELECT count(*)::int FROM vfolders f
               WHERE f."user" = u.uuid AND f.ownership_type = 'user'
                 AND f.status <> ALL (${REMOVED}::text[])) AS folders
        FROM users u JOIN user_resource_policies r ON r.name = u.resource_policy
       WHERE u.uuid = ${owner.userId}`;
    return row ?? null;
  }
  await sql`SELECT 1 FROM groups WHERE id = ${owner.projectId} FOR UPDATE`;
  const [row] = await sql<OwnerLimits[]>`
    SELECT r.max_vfolder_count, r.max_quota_scope_size::text AS max_quota_scope_size,
           NULL::int AS container_uid,
           (SELECT count(*)::int FROM vfolders f
             WHERE f."group" = g.id AND f.ownership_type = 'group'
               AND f.status <> ALL (${REMOVED}::text[])) AS folders
      FROM groups g JOIN project_resource_policies r ON r.name = g.resource_policy
     WHERE g.id = ${owner.projectId}`;
  return row ?? null;
}

/** Whether a name is taken among what a user uses and what the owner has. */
export async function isNameTaken(
  sql: Db,
  name: string,
  userId: string,
  owner: FolderOwner,
  exceptId: string | null = null,
): Promise<boolean> {
  const project = owner.kind === 'project' ? owner.projectId : null;
  const holder = owner.kind === 'user' ? owner.userId : userId;
  const [row] = await sql`
    SELECT 1 FROM vfolders f
     WHERE f.name = ${name} AND f.status <> ALL (${REMOVED}::text[])
       AND f.id IS DISTINCT FROM ${exceptId}::uuid
       AND ((f.ownership_type = 'user' AND f."user" = ${holder})
         OR (f.ownership_type = 'user'
             AND EXISTS (SELECT FROM vfolder_permissions p
                          WHERE p.vfolder = f.id AND p."user" = ${holder}))
         OR (f.ownership_type = 'group' AND f."group" = ${project}::uuid)
         OR (f.ownership_type = 'group'
             AND EXISTS (SELECT FROM association_groups_users m
                          WHERE m.group_id = f."group" AND m.user_id = ${holder})))
     LIMIT 1`;
  return row !== undefined;
}

export interface NewFolder {
  readonly id: string;
  readonly name: string;
  readonly host: string;
  readonly domainName: string;
  readonly quotaScopeId: string;
  readonly usageMode: VfolderRow['usage_mode'];
  readonly permission: FolderPermission;
  readonly creator: string;
  readonly creatorId: string;
  readonly owner: FolderOwner;
  readonly unmanagedPath: string | null;
  readonly cloneable: boolean;
  readonly status: FolderStatus;
}

export async function insertFolder(sql: Db, folder: NewFolder): Promise<VfolderRow> {
  const { owner } = folder;
  const [row] = await sql<VfolderRow[]>`
    INSERT INTO vfolders (id, name, host, domain_name, quota_scope_id, usage_mode, permission,
        max_files, num_files, cur_size, creator, creator_id, ownership_type, "user", "group",
        unmanaged_path, cloneable, status, status_history, status_changed)
    VALUES (${folder.id}, ${folder.name}, ${folder.host}, ${folder.domainName},
        ${folder.quotaScopeId}, ${folder.usageMode}, ${folder.permission}, 1000, 0, 0,
        ${folder.creator}, ${folder.creatorId}, ${owner.kind === 'user' ? 'user' : 'group'},
        ${owner.kind === 'user' ? owner.userId : null},
        ${owner.kind === 'project' ? owner.projectId : null}, ${folder.unmanagedPath},
        ${folder.cloneable}, ${folder.status},
        jsonb_build_object(${folder.status}::text, now()), now())
    RETURNING *`;
  if (row === undefined) throw new Error('an inserted folder came back without its row');
  return row;
}

/** Takes hold of a folder until the transaction ends; null when it is gone. */
export async function lockFolder(sql: Db, id: string): Promise<VfolderRow | null> {
  const [row] = await sql<VfolderRow[]>`SELECT * FROM vfolders WHERE id = ${id} FOR UPDATE`;
  return row ?? null;
}

export type FolderChanges = Partial<
  Pick<VfolderRow, 'name' | 'permission' | 'cloneable' | 'max_size' | 'creator'>
> & { readonly user?: string; readonly quota_scope_id?: string; readonly domain_name?: string };

/** Changes a folder that `lockFolder` holds. */
export async function updateFolder(
  sql: Db,
  id: string,
  changes: FolderChanges,
): Promise<VfolderRow | null> {
  const given = Object.fromEntries(
    Object.entries(changes).filter(([, value]) => value !== undefined),
  );
  // `sql(…)` writes assignments only where it finds UPDATE before it, in the same piece.
  const changed =
    Object.keys(given).length === 0
      ? sql`UPDATE vfolders SET updated_at = now()`
      : sql`UPDATE vfolders SET ${sql(given)}, updated_at = now()`;
  const [row] = await sql<VfolderRow[]>`${changed} WHERE id = ${id} RETURNING *`;
  return row ?? null;
}

/** Moves a folder on; leaves it alone, and answers null, when it is in another status than `from`. */
export async function updateStatus(
  sql: Db,
  id: string,
  from: readonly FolderStatus[],
  to: FolderStatus,
): Promise<VfolderRow | null> {
  const [row] = await sql<VfolderRow[]>`
    UPDATE vfolders
       SET status = ${to}, status_changed = now(), updated_at = now(),
           status_history = coalesce(status_history, '{}'::jsonb)
                            || jsonb_build_object(${to}::text, now())
     WHERE id = ${id} AND status = ANY (${[...from]}::text[])
    RETURNING *`;
  return row ?? null;
}

export async function deleteFolderRow(sql: Db, id: string): Promise<void> {
  await sql`DELETE FROM vfolders WHERE id = ${id}`;
}

/** Takes away what others were granted on a folder, and invitations to it. */
export async function deleteGrants(sql: Db, id: string): Promise<void> {
  await sql`DELETE FROM vfolder_permissions WHERE vfolder = ${id}`;
  await sql`DELETE FROM vfolder_invitations WHERE vfolder = ${id}`;
}

/** Names of the sessions that have a folder mounted and have not ended; at most `limit`. */
export async function selectMountingSessions(
  sql: Db,
  id: string,
  limit: number,
): Promise<string[]> {
  const rows = await sql<{ name: string | null }[]>`
    SELECT DISTINCT s.name FROM vfolder_attachment a
      JOIN kernels k ON k.id = a.kernel JOIN sessions s ON s.id = k.session_id
     WHERE a.vfolder = ${id} AND k.status NOT IN ('TERMINATED', 'CANCELLED')
     ORDER BY s.name LIMIT ${limit}`;
  return rows.map(({ name }) => name ?? '(unnamed)');
}

/**
 * Names of the sessions that have something below a path of their nodes mounted, and have not ended.
 * @param group of their agents; null for all.
 */
export async function selectSessionsBelow(
  sql: Db,
  path: string,
  group: string | null,
  limit: number,
): Promise<string[]> {
  const rows = await sql<{ name: string | null }[]>`
    SELECT DISTINCT s.name FROM kernels k JOIN sessions s ON s.id = k.session_id
     WHERE k.status NOT IN ('TERMINATED', 'CANCELLED')
       AND (${group}::text IS NULL OR k.scaling_group = ${group})
       AND jsonb_typeof(k.vfolder_mounts) = 'array'
       AND EXISTS (SELECT FROM jsonb_array_elements(k.vfolder_mounts) AS m
                    WHERE starts_with(m->>'host_path', ${`${path}/`}))
     ORDER BY s.name LIMIT ${limit}`;
  return rows.map(({ name }) => name ?? '(unnamed)');
}

/** A project in which somebody wants a folder, and whether they belong to it. */
export interface ProjectOfFolder {
  readonly id: string;
  readonly domain_name: string;
  readonly type: 'general' | 'model-store';
  readonly is_member: boolean;
}

export async function selectProject(
  sql: Db,
  id: string,
  userId: string,
): Promise<ProjectOfFolder | null> {
  const [row] = await sql<ProjectOfFolder[]>`
    SELECT g.id, g.domain_name, g.type,
           EXISTS (SELECT FROM association_groups_users m
                    WHERE m.group_id = g.id AND m.user_id = ${userId}) AS is_member
      FROM groups g WHERE g.id = ${id} AND g.is_active`;
  return row ?? null;
}

/** The active user who is to own a folder. */
export async function selectOwner(
  sql: Db,
  email: string,
): Promise<{ readonly uuid: string; readonly domain_name: string } | null> {
  const [row] = await sql<{ uuid: string; domain_name: string }[]>`
    SELECT uuid, domain_name FROM users WHERE email = ${email} AND status = 'active'`;
  return row ?? null;
}
