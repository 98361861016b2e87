/** SQL about domains. */
import type { Fragment, Sql } from 'postgres';
import type { Db } from '../db/connect.ts';
import type { DomainRow } from '../db/rows.generated.ts';
import {
  type FieldTable,
  filterToSql,
  type ListQuery,
  orderTable,
  orderTerms,
} from '../graphql/minilang-store.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import { selectListPage } from '../graphql/page-store.ts';

/** Whose domains may be seen; null means all of them. */
export type DomainScope = string | null;

export type DomainRecord = DomainRow & { readonly scaling_groups: string[] };

/** Names of its resource groups. */
export const withGroups = (sql: Db) => sql`
  ARRAY(SELECT s.scaling_group FROM sgroups_for_domains s
         WHERE s.domain = domains.name ORDER BY s.scaling_group)::text[] AS scaling_groups`;

export const visible = (sql: Db, scope: DomainScope): Fragment =>
  scope === null ? sql`true` : sql`domains.name = ${scope}`;

export async function selectDomain(
  sql: Db,
  scope: DomainScope,
  name: string,
): Promise<DomainRecord | null> {
  const [row] = await sql<DomainRecord[]>`
    SELECT *, ${withGroups(sql)} FROM domains
     WHERE name = ${name} AND ${visible(sql, scope)}`;
  return row ?? null;
}

export function selectDomains(
  sql: Db,
  scope: DomainScope,
  limit: number,
  names?: readonly string[],
): Promise<DomainRecord[]> {
  return sql<DomainRecord[]>`
    SELECT *, ${withGroups(sql)} FROM domains
     WHERE ${visible(sql, scope)}
       ${names === undefined ? sql`` : sql`AND name = ANY (${[...names]}::text[])`}
     ORDER BY name LIMIT ${limit}`;
}

const nodeFields = (sql: Sql): FieldTable => ({
  id: { kind: 'text', column: sql`domains.name` },
  row_id: { kind: 'text', column: sql`domains.name` },
  name: { kind: 'text', column: sql`domains.name` },
  is_active: { kind: 'boolean', column: sql`domains.is_active` },
  created_at: { kind: 'time', column: sql`domains.created_at` },
  modified_at: { kind: 'time', column: sql`domains.modified_at` },
});

/** @throws BackendError InvalidAPIParameters for a wrong filter or order, InvalidCursor. */
export function selectNodes(
  sql: Sql,
  scope: DomainScope,
  query: ListQuery,
  wish: PageWish,
): Promise<Listed<DomainRecord>> {
  const fields = nodeFields(sql);
  const source = {
    columns: sql`*, ${withGroups(sql)}`,
    from: sql`domains`,
    scope: visible(sql, scope),
    filter: filterToSql(sql, query.filter, fields),
    order: orderTerms(query.order, orderTable(fields)),
    key: sql`domains.name`,
    keyType: 'text' as const,
  };
  return selectListPage(sql, source, wish);
}
