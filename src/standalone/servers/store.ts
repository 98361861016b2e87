/** The statements that find out what a PostgreSQL server is and holds, before a cluster's data goes there. */
import type { Sql } from 'postgres';

/** As PostgreSQL numbers it: 160004 is 16.4. */
export async function serverVersion(sql: Sql): Promise<number> {
  const [row] = await sql<{ version: number }[]>`
    SELECT current_setting('server_version_num')::int AS version`;
  return row?.version ?? 0;
}

/** @returns how many tables there are, and how many users of a cluster. */
export async function contents(sql: Sql): Promise<{ tables: number; users: number }> {
  const [row] = await sql<{ tables: number; hasUsers: boolean }[]>`
    SELECT count(*)::int AS tables, coalesce(bool_or(relname = 'users'), false) AS "hasUsers"
      FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm') AND relnamespace = 'public'::regnamespace`;
  const { tables = 0, hasUsers = false } = row ?? {};
  if (!hasUsers) return { tables, users: 0 };
  const [counted] = await sql<{ users: number }[]>`SELECT count(*)::int AS users FROM users`;
  return { tables, users: counted?.users ?? 0 };
}

/** In which text is kept: `UTF8`, anywhere but in very old databases. */
export async function encoding(sql: Sql): Promise<string> {
  const [row] = await sql<{ encoding: string }[]>`
    SELECT current_setting('server_encoding') AS encoding`;
  return row?.encoding ?? '';
}

/** Whether the cluster's tables can be made there by this role. */
export async function mayCreateTables(sql: Sql): Promise<boolean> {
  const [row] = await sql<{ may: boolean }[]>`
    SELECT has_schema_privilege('public', 'CREATE')
       AND has_database_privilege(current_database(), 'CREATE') AS may`;
  return row?.may ?? false;
}

/** Which of the databases exist, and whether this role may make more. */
export async function databases(
  sql: Sql,
  names: readonly string[],
): Promise<{ present: string[]; mayCreate: boolean }> {
  const [row] = await sql<{ present: string[]; mayCreate: boolean }[]>`
    SELECT (SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user) AS "mayCreate",
           coalesce((SELECT array_agg(datname::text) FROM pg_database
                      WHERE datname = ANY(${[...names]})), '{}') AS present`;
  return { present: row?.present ?? [], mayCreate: row?.mayCreate ?? false };
}

/** Of one key of the embedded configuration store's table, which may not be there. */
export async function configEntry(sql: Sql, key: string): Promise<string | null> {
  const [table] = await sql<{ present: boolean }[]>`
    SELECT to_regclass('public.config_entries') IS NOT NULL AS present`;
  if (table?.present !== true) return null;
  const [row] = await sql<{ value: string }[]>`
    SELECT value FROM config_entries WHERE key = ${key}`;
  return row?.value ?? null;
}

export async function countRows(sql: Sql, table: string): Promise<number> {
  const [row] = await sql<{ count: number }[]>`SELECT count(*)::int AS count FROM ${sql(table)}`;
  return row?.count ?? 0;
}
