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

const tableRow = v.object({
  table: v.string(),
  updates: v.number(),
  hot: v.number(),
  dead: v.number(),
  live: v.number(),
  mib: v.number(),
  index_mib: v.number(),
  vacuums: v.number(),
});
const indexRow = v.object({ index: v.string(), mib: v.number(), scans: v.number() });
const TABLES = [
  'sessions',
  'kernels',
  'resource_allocations',
  'session_scheduling_history',
  'kernel_scheduling_history',
  'audit_logs',
  'agent_resources',
  'agents',
];

/** Prints what `count` sessions have left of tables: updates in place, dead rows, sizes. */
export async function printTables(sql: Sql, count: number): Promise<void> {
  const rows = v.parse(
    v.array(tableRow),
    await sql`
      SELECT relname AS table, n_tup_upd::float8 AS updates, n_tup_hot_upd::float8 AS hot,
        n_dead_tup::float8 AS dead, n_live_tup::float8 AS live,
        pg_table_size(relid) / 1048576.0::float8 AS mib,
        pg_indexes_size(relid) / 1048576.0::float8 AS index_mib,
        autovacuum_count::float8 AS vacuums
      FROM pg_stat_user_tables WHERE relname = ANY(${TABLES}) ORDER BY pg_table_size(relid) DESC`,
  );
  console.log('  | table | updates | in place | live | dead | MiB | indexes MiB | vacuums |');
  console.log('  |---|---|---|---|---|---|---|---|');
  for (const row of rows) {
    const figures = [
      row.table,
      (row.updates / count).toFixed(2),
      row.updates > 0 ? `${((100 * row.hot) / row.updates).toFixed(0)} %` : '',
      row.live,
      row.dead,
      row.mib.toFixed(1),
      row.index_mib.toFixed(1),
      row.vacuums,
    ];
    console.log(`  | ${figures.join(' | ')} |`);
  }
  const indexes = v.parse(
    v.array(indexRow),
    await sql`
      SELECT indexrelname AS index, pg_relation_size(indexrelid) / 1048576.0::float8 AS mib,
        idx_scan::float8 AS scans
      FROM pg_stat_user_indexes WHERE relname = ANY(${TABLES})
      ORDER BY pg_relation_size(indexrelid) DESC`,
  );
  console.log(
    `  indexes, MiB and scans: ${indexes.map(({ index, mib, scans }) => `${index} ${mib.toFixed(1)} ${scans}`).join('; ')}`,
  );
}
