/** SQL that changes images. */
import { assignments, type JsonColumn } from '../db/assign-store.ts';
import type { Db } from '../db/connect.ts';
import type { ImageRow } from '../db/rows.generated.ts';

export interface ImageChanges {
  readonly name?: string;
  readonly registry?: string;
  readonly image?: string;
  readonly project?: string;
  readonly tag?: string;
  readonly architecture?: string;
  readonly is_local?: boolean;
  readonly size_bytes?: number;
  readonly type?: ImageRow['type'];
  readonly config_digest?: string;
  readonly accelerators?: string | null;
  readonly labels?: JsonColumn;
  readonly resources?: JsonColumn;
}

/** The row, held until the transaction ends. */
export async function lockImage(sql: Db, id: string): Promise<ImageRow | null> {
  const [row] = await sql<ImageRow[]>`SELECT * FROM images WHERE id = ${id} FOR UPDATE`;
  return row ?? null;
}

export async function updateImage(
  sql: Db,
  id: string,
  changes: ImageChanges,
): Promise<ImageRow | null> {
  const [row] = await sql<ImageRow[]>`
    UPDATE images SET id = id ${assignments(sql, { ...changes })} WHERE id = ${id} RETURNING *`;
  return row ?? null;
}

export async function deleteImage(sql: Db, id: string): Promise<void> {
  await sql`DELETE FROM images WHERE id = ${id}`;
}

/** Live images of a registry, of all when null. */
export async function selectLiveIds(
  sql: Db,
  registry: string | null,
  project: string | null,
): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    SELECT id FROM images
     WHERE status = 'ALIVE' AND ${registry === null ? sql`true` : sql`registry = ${registry}`}
       AND ${project === null ? sql`true` : sql`project = ${project}`}
     ORDER BY id`;
  return rows.map(({ id }) => id);
}
