/** The SQL about sessions that clients reach through an app proxy. */
import type { Db } from '../db/connect.ts';
import { liveSessionStatuses } from './status.ts';

const reachable = liveSessionStatuses.filter((status) => status !== 'TERMINATING');

/**
 * Of the given sessions those that have not ended, nor begun to end, and where their apps are: the host
 * of the main kernel, null before it has one.
 */
export async function liveSessionHosts(
  sql: Db,
  ids: readonly string[],
): Promise<Map<string, string | null>> {
  const rows = await sql<{ id: string; host: string | null }[]>`
    SELECT s.id, k.kernel_host AS host FROM sessions s
      LEFT JOIN kernels k ON k.session_id = s.id AND k.cluster_role = 'main'
     WHERE s.id = ANY(${[...ids]}::uuid[]) AND s.status::text = ANY(${reachable})`;
  return new Map(rows.map(({ id, host }) => [id, host]));
}
