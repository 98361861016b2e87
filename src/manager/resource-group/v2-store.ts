/** SQL of the newer lists of resource groups. */
import type { Sql } from 'postgres';
import type { ScalingGroupRow } from '../db/rows.generated.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import { selectListPage } from '../graphql/page-store.ts';
import {
  type V2FieldTable,
  type V2OrderTable,
  type V2Query,
  v2FilterToSql,
  v2OrderTerms,
} from '../graphql/v2-filter-store.ts';

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
  const newestFirst = [{ column: sql`g.created_at`, descending: true }];
  const source = {
    columns: sql`g.*`,
    from: sql`scaling_groups g`,
    scope:
      visible === null
        ? sql`true`
        : sql`g.name = ANY (${[...visible.names]}::text[]) AND (g.is_public OR ${visible.hidden})`,
    filter: v2FilterToSql(sql, query.filter, fields(sql)),
    order: v2OrderTerms(wish.page.mode, query.orderBy, orders(sql), newestFirst),
    key: sql`g.name`,
    keyType: 'text' as const,
  };
  return selectListPage(sql, source, wish);
}
