/** Lists of the newer schema as SQL: each describes its rows once, for every place it is shown in. */
import type { Fragment, Sql } from 'postgres';
import type { PageWish } from './page.ts';
import type { ListSource } from './page-store.ts';
import {
  type V2FieldTable,
  type V2OrderTable,
  type V2Query,
  v2FilterToSql,
  v2OrderTerms,
} from './v2-filter-store.ts';

/** How a list's rows are read, filtered and ordered; newest first unless ordered. */
export interface V2ListShape {
  readonly columns: (sql: Sql) => Fragment;
  readonly from: (sql: Sql) => Fragment;
  readonly fields: (sql: Sql) => V2FieldTable;
  readonly orders: (sql: Sql) => V2OrderTable;
  /** When a row was made. */
  readonly newest: (sql: Sql) => Fragment;
  readonly key: (sql: Sql) => Fragment;
  readonly keyType: ListSource['keyType'];
}

/**
 * The rows of `scope` that are asked for.
 * @param more a condition besides the filter, such as the parent's: rows at cursors need not fulfil it.
 * @throws BackendError InvalidGraphQLParameters for a filter that is too large.
 */
export function v2Source(
  sql: Sql,
  shape: V2ListShape,
  { filter, orderBy }: V2Query,
  { page: { mode } }: PageWish,
  scope: Fragment,
  more: Fragment | null = null,
): ListSource {
  const asked = v2FilterToSql(sql, filter, shape.fields(sql));
  const newest = [{ column: shape.newest(sql), descending: true }];
  return {
    columns: shape.columns(sql),
    from: shape.from(sql),
    scope,
    filter: more === null ? asked : sql`${asked} and ${more}`,
    order: v2OrderTerms(mode, orderBy, shape.orders(sql), newest),
    key: shape.key(sql),
    keyType: shape.keyType,
  };
}
