/** SQL about domains. */
import type { Db } from '../db/connect.ts';
import type { DomainRow } from '../db/rows.generated.ts';

/** Whose domains may be seen; null means all of them. */
export type DomainScope = string | null;

export type DomainRecord = DomainRow & { readonly scaling_groups: string[] };

const withGroups = (sql: Db) => sql`
  ARRAY(SELECT s.scaling_group FROM sgroups_for_domains s
         WHERE s.domain = domains.name ORDER BY s.scaling_group)::text[] AS scaling_groups`;

export async function selectDomain(
  sql: Db,
  scope: DomainScope,
  name: string,
): Promise<DomainRecord | null> {
  const [row] = await sql<DomainRecord[]>`
    SELECT *, ${withGroups(sql)} FROM domains
     WHERE name = ${name} AND ${scope === null ? sql`true` : sql`name = ${scope}`}`;
  return row ?? null;
}

export function selectDomains(sql: Db, scope: DomainScope, limit: number): Promise<DomainRecord[]> {
  return sql<DomainRecord[]>`
    SELECT *, ${withGroups(sql)} FROM domains
     WHERE ${scope === null ? sql`true` : sql`name = ${scope}`}
     ORDER BY name LIMIT ${limit}`;
}
