/** The SQL about sessions that clients reach through an app proxy. */
import type { Db } from '../db/connect.ts';
import { liveSessionStatuses } from './status.ts';

const reachable = liveSessionStatuses.filter((status) => status !== 'TERMINATING');

/** Of the given sessions those that have not ended, nor begun to end. */
export async function liveSessionIds(sql: Db, ids: readonly string[]): Promise<Set<string>> {
  const rows = await sql<{ id: string }[]>`
    SELECT id FROM sessions
     WHERE id = ANY(${[...ids]}::uuid[]) AND status::text = ANY(${reachable})`;
  return new Set(rows.map(({ id }) => id));
}
