/** SQL of the newer lists of resource groups. */
import type { Sql } from 'postgres';
import type { ScalingGroupRow } from '../db/rows.generated.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import { selectListPage } from '../graphql/page-store.ts';
import type { V2FieldTable, V2OrderTable, V2Query } from '../graphql/v2-filter-store.ts';
import { type V2ListShape, v2Source } from '../graphql/v2-list-store.ts';

const fields = (sql: Sql): V2FieldTable => ({
  name: { kind: 'text', column: sql`g.name` },
  description: { kind: 'text', column: sql`g.description` },
  isActive: { kind: 'boolean', column: sql`g.is_active` },
  isPublic: { kind: 'boolean', column: sql`g.is_public` },
});

const orders = (sql: Sql): V2OrderTable => ({
  NAME: sql`g.name`,
  CREATED_AT: sql`g.created_at`,
  IS_ACTIVE: sql`g.is_active`,
});

const groups: V2ListShape = {
  columns: (sql) => sql`g.*`,
  from: (sql) => sql`scaling_groups g`,
  fields,
  orders,
  newest: (sql) => sql`g.created_at`,
  key: (sql) => sql`g.name`,
  keyType: 'text',
};

/**
 * Resource groups, newest first unless ordered.
 * @param visible which may be seen, by name and whether those that are not public; null means all.
 * @throws BackendError InvalidGraphQLParameters for a filter that is too large, InvalidCursor.
 */
export function selectGroupsV2(
  sql: Sql,
  visible: { readonly names: readonly string[]; readonly hidden: boolean } | null,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<ScalingGroupRow>> {
  const scope =
    visible === null
      ? sql`true`
      : sql`g.name = ANY (${[...visible.names]}::text[]) AND (g.is_public OR ${visible.hidden})`;
  const source = v2Source(sql, groups, query, wish, scope);
  return selectListPage(sql, source, wish);
}
