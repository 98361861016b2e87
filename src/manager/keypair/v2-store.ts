/** SQL of the newer lists of keypairs. */
import type { Sql } from 'postgres';
import type { Listed, PageWish } from '../graphql/page.ts';
import { selectListPage, selectListPages } from '../graphql/page-store.ts';
import type { V2FieldTable, V2OrderTable, V2Query } from '../graphql/v2-filter-store.ts';
import { type V2ListShape, v2Source } from '../graphql/v2-list-store.ts';
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

const keypairs: V2ListShape = {
  columns,
  from: (sql) => sql`keypairs k join users u on u.uuid = k."user"`,
  fields,
  orders,
  newest: (sql) => sql`k.created_at`,
  key: (sql) => sql`k.access_key`,
  keyType: 'text',
};

/** @throws BackendError InvalidGraphQLParameters for a filter that is too large, InvalidCursor. */
export const selectKeypairsV2 = (
  sql: Sql,
  scope: KeypairScope,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<KeypairRecord>> =>
  selectListPage(sql, v2Source(sql, keypairs, query, wish, visible(sql, scope)), wish);

/** The keypairs that have each resource policy, by its name. */
export function selectKeypairsOfPolicies(
  sql: Sql,
  scope: KeypairScope,
  policyNames: readonly string[],
  query: V2Query,
  wish: PageWish,
): Promise<Map<string, Listed<KeypairRecord>>> {
  const having = sql`k.resource_policy = parent.id`;
  const source = v2Source(sql, keypairs, query, wish, visible(sql, scope), having);
  return selectListPages(sql, source, wish, { ids: policyNames, type: 'text' });
}
