/** SQL of the newer lists of domains. */
import type { Sql } from 'postgres';
import type { Listed, PageWish } from '../graphql/page.ts';
import { selectListPage } from '../graphql/page-store.ts';
import type { V2FieldTable, V2OrderTable, V2Query } from '../graphql/v2-filter-store.ts';
import { type V2ListShape, v2Source } from '../graphql/v2-list-store.ts';
import { type DomainRecord, type DomainScope, visible, withGroups } from './store.ts';

const fields = (sql: Sql): V2FieldTable => ({
  name: { kind: 'text', column: sql`domains.name` },
  description: { kind: 'text', column: sql`domains.description` },
  isActive: { kind: 'boolean', column: sql`domains.is_active` },
  createdAt: { kind: 'time', column: sql`domains.created_at` },
  modifiedAt: { kind: 'time', column: sql`domains.modified_at` },
  project: {
    kind: 'nested',
    exists: (condition) =>
      sql`exists (select from groups g where g.domain_name = domains.name and ${condition})`,
    fields: {
      name: { kind: 'text', column: sql`g.name` },
      isActive: { kind: 'boolean', column: sql`g.is_active` },
    },
  },
  user: {
    kind: 'nested',
    exists: (condition) =>
      sql`exists (select from users u where u.domain_name = domains.name and ${condition})`,
    fields: {
      username: { kind: 'text', column: sql`u.username` },
      email: { kind: 'text', column: sql`u.email` },
      isActive: { kind: 'boolean', column: sql`(u.status = 'active')` },
    },
  },
});

/** A domain has many projects and users: it stands where the first of them would. */
const orders = (sql: Sql): V2OrderTable => ({
  CREATED_AT: sql`domains.created_at`,
  MODIFIED_AT: sql`domains.modified_at`,
  NAME: sql`domains.name`,
  IS_ACTIVE: sql`domains.is_active`,
  PROJECT_NAME: sql`(select min(g.name) from groups g where g.domain_name = domains.name)`,
  USER_USERNAME: sql`(select min(u.username) from users u where u.domain_name = domains.name)`,
  USER_EMAIL: sql`(select min(u.email) from users u where u.domain_name = domains.name)`,
});

const domains: V2ListShape = {
  columns: (sql) => sql`domains.*, ${withGroups(sql)}`,
  from: (sql) => sql`domains`,
  fields,
  orders,
  newest: (sql) => sql`domains.created_at`,
  key: (sql) => sql`domains.name`,
  keyType: 'text',
};

/**
 * Domains, only those to which a resource group belongs if that is given.
 * @throws BackendError InvalidGraphQLParameters for a filter that is too large, InvalidCursor.
 */
export function selectDomainsV2(
  sql: Sql,
  scope: DomainScope,
  query: V2Query & { readonly resourceGroup?: string },
  wish: PageWish,
): Promise<Listed<DomainRecord>> {
  const { resourceGroup } = query;
  const using =
    resourceGroup === undefined
      ? sql`true`
      : sql`exists (select from sgroups_for_domains s
                     where s.domain = domains.name and s.scaling_group = ${resourceGroup})`;
  const source = v2Source(sql, domains, query, wish, visible(sql, scope), using);
  return selectListPage(sql, source, wish);
}
