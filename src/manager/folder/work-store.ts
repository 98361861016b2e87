/** SQL about work on whole folders that a storage proxy does: deleting and copying them. */
import type { Db } from '../db/connect.ts';

export type WorkKind = 'delete' | 'clone';

export interface WorkRecord {
  /** The folder that is deleted, or the copy that is made. */
  readonly vfolder: string;
  readonly kind: WorkKind;
  readonly host: string;
  readonly name: string;
  readonly quota_scope_id: string;
  readonly unmanaged_path: string | null;
  /** The proxy's id of its task; null until it was asked. */
  readonly storage_task: string | null;
  /** The folder that is copied. */
  readonly source: string | null;
  readonly source_host: string | null;
  readonly source_quota_scope_id: string | null;
}

export async function insertWork(
  sql: Db,
  folderId: string,
  kind: WorkKind,
  source: string | null,
): Promise<void> {
  await sql`INSERT INTO folder_work (vfolder, kind, source) VALUES (${folderId}, ${kind}, ${source})
    ON CONFLICT (vfolder) DO UPDATE
      SET kind = excluded.kind, source = excluded.source, storage_task = NULL, touched_at = now()`;
}

export async function selectWork(sql: Db, folderId: string): Promise<WorkRecord | null> {
  const [row] = await sql<WorkRecord[]>`
    SELECT w.vfolder, w.kind, f.host, f.name, f.quota_scope_id, f.unmanaged_path, w.storage_task,
           w.source, s.host AS source_host, s.quota_scope_id AS source_quota_scope_id
      FROM folder_work w JOIN vfolders f ON f.id = w.vfolder
      LEFT JOIN vfolders s ON s.id = w.source
     WHERE w.vfolder = ${folderId}`;
  return row ?? null;
}

/** Notes that a manager looks after the work, and the proxy's task if it is known. */
export async function touchWork(
  sql: Db,
  folderId: string,
  storageTask: string | null,
): Promise<void> {
  await sql`UPDATE folder_work SET touched_at = now(), storage_task = ${storageTask}
             WHERE vfolder = ${folderId}`;
}

export async function deleteWork(sql: Db, folderId: string): Promise<void> {
  await sql`DELETE FROM folder_work WHERE vfolder = ${folderId}`;
}

/** Work that was not touched for `graceSec`, longest first, and for how many seconds. */
export async function selectIdleWork(
  sql: Db,
  graceSec: number,
  limit: number,
): Promise<readonly { readonly vfolder: string; readonly idleSec: number }[]> {
  return await sql<{ vfolder: string; idleSec: number }[]>`
    SELECT vfolder, extract(epoch FROM now() - touched_at)::float8 AS "idleSec" FROM folder_work
     WHERE touched_at < now() - make_interval(secs => ${graceSec})
     ORDER BY touched_at LIMIT ${limit}`;
}

/** Marks work as looked after. @returns the folders of which nobody has done so meanwhile. */
export async function takeWork(
  sql: Db,
  folderIds: readonly string[],
  graceSec: number,
): Promise<string[]> {
  if (folderIds.length === 0) return [];
  const rows = await sql<{ vfolder: string }[]>`
    UPDATE folder_work SET touched_at = now()
     WHERE vfolder = ANY(${[...folderIds]})
       AND touched_at < now() - make_interval(secs => ${graceSec})
    RETURNING vfolder`;
  return rows.map(({ vfolder }) => vfolder);
}
