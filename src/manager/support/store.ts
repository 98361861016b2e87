/** What the database tells about a cluster's health, without what people wrote or are called. */
import type { Sql } from 'postgres';

const MAX_ROWS = 200;

/** Facts by the name of the file that they go to; each is a list of rows. */
export async function selectFacts(sql: Sql): Promise<Record<string, readonly object[]>> {
  return {
    server: await sql`SELECT version() AS version, pg_database_size(current_database()) AS bytes,
        (SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database()) AS connections`,
    migrations: await sql`SELECT version, name, applied_at FROM schema_migrations ORDER BY version`,
    tables: await sql`SELECT relname AS name, n_live_tup::int AS rows, n_dead_tup::int AS dead,
        pg_total_relation_size(relid) AS bytes, last_autovacuum, last_autoanalyze
      FROM pg_stat_user_tables ORDER BY pg_total_relation_size(relid) DESC`,
    statements: await sql`SELECT state, wait_event_type, wait_event, now() - query_start AS since
      FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    sessions: await sql`SELECT status, session_type, scaling_group_name AS resource_group,
        count(*)::int AS count, min(created_at) AS oldest
      FROM sessions GROUP BY 1, 2, 3 ORDER BY 1, 2, 3`,
    kernels: await sql`SELECT status, agent, count(*)::int AS count
      FROM kernels GROUP BY 1, 2 ORDER BY 1, 2 LIMIT ${MAX_ROWS}`,
    waiting: await sql`SELECT id, scaling_group_name AS resource_group, priority, status_info,
        requested_slots, created_at
      FROM sessions WHERE status = 'PENDING' ORDER BY created_at LIMIT ${MAX_ROWS}`,
    agents: await sql`SELECT id, status, scaling_group AS resource_group, schedulable, version,
        architecture, available_slots, occupied_slots, first_contact, lost_at
      FROM agents ORDER BY id LIMIT ${MAX_ROWS}`,
    failures:
      await sql`SELECT session_id, phase, from_status, to_status, result, error_code, message,
        attempts, created_at, updated_at
      FROM session_scheduling_history WHERE result <> 'SUCCESS'
     ORDER BY updated_at DESC LIMIT ${MAX_ROWS}`,
    errors: await sql`SELECT created_at, severity, source, message, request_status, traceback
      FROM error_logs ORDER BY created_at DESC LIMIT ${MAX_ROWS}`,
  };
}

/** What must not leave the cluster: keys, hashes and tokens that the database keeps, addresses of people. */
export async function selectSecrets(sql: Sql): Promise<string[]> {
  const rows = await sql<{ secret: string }[]>`
    SELECT secret_key AS secret FROM keypairs WHERE secret_key IS NOT NULL
    UNION SELECT access_key FROM keypairs
    UNION SELECT email FROM users
    UNION SELECT password FROM users WHERE password IS NOT NULL
    UNION SELECT password FROM container_registries WHERE password IS NOT NULL
    UNION SELECT wsproxy_api_token FROM scaling_groups WHERE wsproxy_api_token IS NOT NULL`;
  return rows.map(({ secret }) => secret);
}
