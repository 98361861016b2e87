/** The content of a whole database as one value, to prove that something changed nothing. */
import type { Sql } from 'postgres';
import * as v from 'valibot';

/** Written behind the answer of any request, whoever it is from and whatever it asks. */
const STATISTICS = ['last_used', 'num_queries'];
const tableNames = v.array(v.object({ name: v.string() }));
const sums = v.array(v.object({ name: v.string(), sum: v.nullable(v.string()) }));

/** A checksum by table; statistics that any request causes are left out. */
export async function databaseState(
  sql: Sql,
  options: { except?: readonly string[] } = {},
): Promise<Record<string, string | null>> {
  const found = v.parse(
    tableNames,
    await sql`SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE c.relkind = 'r' AND n.nspname = 'public' ORDER BY 1`,
  );
  const tables = found.map(({ name }) => name).filter((name) => !options.except?.includes(name));
  const parts = tables.map(
    (name) => sql`SELECT ${name}::text AS name,
                         md5(string_agg(row, ',' ORDER BY row)) AS sum
                    FROM (SELECT (to_jsonb(t) - ${STATISTICS}::text[])::text AS row
                            FROM ${sql(name)} t) AS rows`,
  );
  const union = parts.reduce((all, part) => sql`${all} UNION ALL ${part}`);
  const rows = v.parse(sums, await sql`${union}`);
  return Object.fromEntries(rows.map(({ name, sum }) => [name, sum]));
}
