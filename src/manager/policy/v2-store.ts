/** SQL of the newer lists of resource policies. */
import type { Fragment, Sql } from 'postgres';
import type { Listed, PageWish } from '../graphql/page.ts';
import { selectListPage } from '../graphql/page-store.ts';
import type { V2FieldTable, V2OrderTable, V2Query } from '../graphql/v2-filter-store.ts';
import { type V2ListShape, v2Source } from '../graphql/v2-list-store.ts';
import { type PolicyKind, type PolicyRows, tableOf } from './manage-store.ts';

/** Input field → column, of those that hold numbers. */
const NUMBERS: Readonly<Record<PolicyKind, Readonly<Record<string, string>>>> = {
  keypair: {
    maxSessionLifetime: 'max_session_lifetime',
    maxConcurrentSessions: 'max_concurrent_sessions',
    maxContainersPerSession: 'max_containers_per_session',
    idleTimeout: 'idle_timeout',
    maxConcurrentSftpSessions: 'max_concurrent_sftp_sessions',
    maxPendingSessionCount: 'max_pending_session_count',
  },
  user: {
    maxVfolderCount: 'max_vfolder_count',
    maxConcurrentLogins: 'max_concurrent_logins',
    maxQuotaScopeSize: 'max_quota_scope_size',
    maxSessionCountPerModelSession: 'max_session_count_per_model_session',
    maxCustomizedImageCount: 'max_customized_image_count',
  },
  project: {
    maxVfolderCount: 'max_vfolder_count',
    maxQuotaScopeSize: 'max_quota_scope_size',
    maxNetworkCount: 'max_network_count',
  },
};

function fields(sql: Sql, kind: PolicyKind): V2FieldTable {
  const numbers = Object.entries(NUMBERS[kind]).map(
    ([name, column]) => [name, { kind: 'number', column: sql`p.${sql(column)}` }] as const,
  );
  return {
    ...Object.fromEntries(numbers),
    name: { kind: 'text', column: sql`p.name` },
    createdAt: { kind: 'time', column: sql`p.created_at` },
    keypair: {
      kind: 'nested',
      exists: (condition: Fragment) =>
        sql`exists (select from keypairs k where k.resource_policy = p.name and ${condition})`,
      fields: { userId: { kind: 'uuid', column: sql`k."user"` } },
    },
  };
}

/** Members of the orders' enums are the columns' names in capitals. */
const orders = (sql: Sql, kind: PolicyKind): V2OrderTable =>
  Object.fromEntries(
    ['name', 'created_at', ...Object.values(NUMBERS[kind])].map((column) => [
      column.toUpperCase(),
      sql`p.${sql(column)}`,
    ]),
  );

const policies = (kind: PolicyKind): V2ListShape => ({
  columns: (sql) => sql`p.*`,
  from: (sql) => sql`${sql(tableOf(kind))} p`,
  fields: (sql) => fields(sql, kind),
  orders: (sql) => orders(sql, kind),
  newest: (sql) => sql`p.created_at`,
  key: (sql) => sql`p.name`,
  keyType: 'text',
});

/** @throws BackendError InvalidGraphQLParameters for a filter that is too large, InvalidCursor. */
export function selectPoliciesV2<K extends PolicyKind>(
  sql: Sql,
  kind: K,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<PolicyRows[K]>> {
  const source = v2Source(sql, policies(kind), query, wish, sql`true`);
  return selectListPage(sql, source, wish);
}
