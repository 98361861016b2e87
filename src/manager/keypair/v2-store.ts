/** SQL of the newer lists of keypairs. */
import type { Fragment, Sql } from 'postgres';
import type { Listed, PageWish } from '../graphql/page.ts';
import { type ListSource, selectListPage, selectListPages } from '../graphql/page-store.ts';
import {
  type V2FieldTable,
  type V2OrderTable,
  type V2Query,
  v2FilterToSql,
  v2OrderTerms,
} from '../graphql/v2-filter-store.ts';
import { columns, type KeypairRecord, type KeypairScope, visible } from './store.ts';

const fields = (sql: Sql): V2FieldTable => ({
  isActive: { kind: 'boolean', column: sql`k.is_active` },
  isAdmin: { kind: 'boolean', column: sql`k.is_admin` },
  accessKey: { kind: 'text', column: sql`k.access_key` },
  resourcePolicy: { kind: 'text', column: sql`k.resource_policy` },
  userId: { kind: 'uuid', column: sql`k."user"` },
  createdAt: { kind: 'time', column: sql`k.created_at` },
  lastUsed: { kind: 'time', column: sql`k.last_used` },
});

const orders = (sql: Sql): V2OrderTable => ({
  CREATED_AT: sql`k.created_at`,
  LAST_USED: sql`k.last_used`,
  ACCESS_KEY: sql`k.access_key`,
  IS_ACTIVE: sql`k.is_active`,
  RESOURCE_POLICY: sql`k.resource_policy`,
});

function listSource(
  sql: Sql,
  scope: KeypairScope,
  query: V2Query,
  mode: PageWish['page']['mode'],
  more: Fragment,
): ListSource {
  const newestFirst = [{ column: sql`k.created_at`, descending: true }];
  return {
    columns: columns(sql),
    from: sql`keypairs k join users u on u.uuid = k."user"`,
    scope: visible(sql, scope),
    filter: sql`${v2FilterToSql(sql, query.filter, fields(sql))} and ${more}`,
    order: v2OrderTerms(mode, query.orderBy, orders(sql), newestFirst),
    key: sql`k.access_key`,
    keyType: 'text',
  };
}

/** @throws BackendError InvalidGraphQLParameters for a filter that is too large, InvalidCursor. */
export const selectKeypairsV2 = (
  sql: Sql,
  scope: KeypairScope,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<KeypairRecord>> =>
  selectListPage(sql, listSource(sql, scope, query, wish.page.mode, sql`true`), wish);

/** The keypairs that have each resource policy, by its name. */
export function selectKeypairsOfPolicies(
  sql: Sql,
  scope: KeypairScope,
  policyNames: readonly string[],
  query: V2Query,
  wish: PageWish,
): Promise<Map<string, Listed<KeypairRecord>>> {
  const having = sql`k.resource_policy = parent.id`;
  const source = listSource(sql, scope, query, wish.page.mode, having);
  return selectListPages(sql, source, wish, { ids: policyNames, type: 'text' });
}
