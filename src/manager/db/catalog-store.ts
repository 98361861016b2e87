/** Reads PostgreSQL's own catalogue: which tables and columns the migrated database has. */
import type { Db } from './connect.ts';

export interface CatalogColumn {
  readonly table: string;
  readonly column: string;
  /** Type as PostgreSQL prints it, such as `character varying(64)` or `userrole[]`. */
  readonly type: string;
  /** Name of the underlying type without length; arrays start with an underscore. */
  readonly typeName: string;
  /** The labels of an enum type (or of its elements), else null. */
  readonly labels: readonly string[] | null;
  readonly nullable: boolean;
  readonly hasDefault: boolean;
  readonly primaryKey: boolean;
}

/** Every column of every table in schema `public`, by table name and column position. */
export function catalogColumns(sql: Db): Promise<CatalogColumn[]> {
  return sql<CatalogColumn[]>`
    SELECT c.relname AS "table",
           a.attname AS "column",
           format_type(a.atttypid, a.atttypmod) AS "type",
           t.typname AS "typeName",
           (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_enum e
             WHERE e.enumtypid IN (t.oid, t.typelem)) AS "labels",
           NOT a.attnotnull AS "nullable",
           a.atthasdef AS "hasDefault",
           EXISTS (SELECT FROM pg_index i
             WHERE i.indrelid = c.oid AND i.indisprimary AND a.attnum = ANY (i.indkey)) AS "primaryKey"
      FROM pg_class c
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
      JOIN pg_type t ON t.oid = a.atttypid
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
     ORDER BY c.relname, a.attnum`;
}
