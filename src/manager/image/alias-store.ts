/** SQL of the list of image aliases, for administrators. */
import type { Sql } from 'postgres';
import type { Listed, PageWish } from '../graphql/page.ts';
import { selectListPage } from '../graphql/page-store.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import { type V2ListShape, v2Source } from '../graphql/v2-list-store.ts';

export interface ImageAliasRow {
  readonly id: string;
  readonly alias: string;
  /** The id of the image. */
  readonly image: string;
}

const aliases: V2ListShape = {
  columns: (sql) => sql`a.id, a.alias, a.image`,
  from: (sql) => sql`image_aliases a`,
  fields: (sql) => ({
    alias: { kind: 'text', column: sql`a.alias` },
    imageId: { kind: 'uuid', column: sql`a.image` },
  }),
  orders: (sql) => ({ ALIAS: sql`a.alias` }),
  newest: (sql) => sql`a.alias`,
  key: (sql) => sql`a.id`,
  keyType: 'uuid',
};

/** @throws BackendError InvalidGraphQLParameters for a filter that is too large, InvalidCursor. */
export function selectAliases(
  sql: Sql,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<ImageAliasRow>> {
  return selectListPage(sql, v2Source(sql, aliases, query, wish, sql`true`), wish);
}

/** The alias of that name; null when there is none. */
export async function selectAlias(sql: Sql, alias: string): Promise<ImageAliasRow | null> {
  const [row] = await sql<ImageAliasRow[]>`
    SELECT id, alias, image FROM image_aliases WHERE alias = ${alias}`;
  return row ?? null;
}
