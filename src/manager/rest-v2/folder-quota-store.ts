/** The limits of folders, of which the newer HTTP operations tell and the schema does not. */
import type { Sql } from 'postgres';

export interface FolderQuota {
  readonly id: string;
  /** MiB; null: none. */
  readonly max_size: number | null;
  /** 0: no limit. */
  readonly max_files: number | null;
}

/** @param ids of folders that the caller has been shown. */
export const selectFolderQuotas = (sql: Sql, ids: readonly string[]): Promise<FolderQuota[]> =>
  sql<FolderQuota[]>`SELECT id, max_size, max_files FROM vfolders WHERE id = ANY(${ids}::uuid[])`;
