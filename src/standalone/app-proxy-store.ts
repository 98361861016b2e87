/** Tells the manager's database where the cluster's app proxy is. */
import type { Sql } from 'postgres';

/**
 * Points resource groups at the app proxy: those that pointed at it before, wherever it was then,
 * and the first one unless somebody gave it another.
 */
export async function pointGroupsAt(sql: Sql, url: string, token: string): Promise<void> {
  await sql`
    UPDATE scaling_groups SET wsproxy_addr = ${url}, wsproxy_api_token = ${token}
     WHERE wsproxy_api_token = ${token}
        OR (name = 'default' AND coalesce(wsproxy_addr, '') = '')`;
}
