/** SQL about domains. */
import type { Db } from '../db/connect.ts';
import type { DomainRow } from '../db/rows.generated.ts';

/** Whose domains may be seen; null means all of them. */
export type DomainScope = string | null;

export async function selectDomain(
  sql: Db,
  scope: DomainScope,
  name: string,
): Promise<DomainRow | null> {
  const [row] = await sql<DomainRow[]>`
    SELECT * FROM domains
     WHERE name = ${name} AND ${scope === null ? sql`true` : sql`name = ${scope}`}`;
  return row ?? null;
}

export function selectDomains(sql: Db, scope: DomainScope, limit: number): Promise<DomainRow[]> {
  return sql<DomainRow[]>`
    SELECT * FROM domains
     WHERE ${scope === null ? sql`true` : sql`name = ${scope}`}
     ORDER BY name LIMIT ${limit}`;
}
