/** What each statement costs PostgreSQL, as `pg_stat_statements` counts it. */
import type { Sql } from 'postgres';
import * as v from 'valibot';

/** What the server has to be started with. */
export const STATEMENT_SETTINGS = {
  shared_preload_libraries: 'pg_stat_statements',
  'pg_stat_statements.track': 'all',
};

const SHOWN = 30;
const SHOWN_CHARS = 90;

const statementRow = v.object({
  query: v.string(),
  calls: v.number(),
  ms: v.number(),
  rows: v.number(),
  blocks: v.number(),
  wal: v.number(),
});

/** Begins to count anew. */
export async function resetStatements(sql: Sql): Promise<void> {
  await sql`CREATE EXTENSION IF NOT EXISTS pg_stat_statements`;
  await sql`SELECT pg_stat_statements_reset()`;
}

/** Prints the dearest statements since `resetStatements`, for each of `count` sessions. */
export async function printStatements(sql: Sql, count: number): Promise<void> {
  const rows = v.parse(
    v.array(statementRow),
    await sql`
      SELECT regexp_replace(query, '\\s+', ' ', 'g') AS query, calls::float8 AS calls,
        total_exec_time AS ms, rows::float8 AS rows,
        (shared_blks_hit + shared_blks_read)::float8 AS blocks, wal_bytes::float8 AS wal
      FROM pg_stat_statements ORDER BY total_exec_time DESC`,
  );
  const totalMs = rows.reduce((sum, { ms }) => sum + ms, 0);
  console.log(`  statements of a session (${(totalMs / count).toFixed(3)} ms):`);
  console.log('  |  ms | calls | rows | blocks | WAL bytes | statement |');
  console.log('  |---|---|---|---|---|---|');
  for (const { query, calls, ms, rows: returned, blocks, wal } of rows.slice(0, SHOWN)) {
    const figures = [
      (ms / count).toFixed(3),
      (calls / count).toFixed(3),
      (returned / count).toFixed(1),
      (blocks / count).toFixed(1),
      (wal / count).toFixed(0),
      query.slice(0, SHOWN_CHARS),
    ];
    console.log(`  | ${figures.join(' | ')} |`);
  }
}
