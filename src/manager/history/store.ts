/** SQL that removes what has been over for long, and gives its space back. */
import type { Sql } from 'postgres';
import * as v from 'valibot';
import type { Db } from '../db/connect.ts';
import { terminalStatuses } from '../session/status.ts';

const removed = v.object({ sessions: v.number(), kernels: v.number() });
export type RemovedSessions = v.InferOutput<typeof removed>;

/**
 * Removes up to `limit` sessions that ended before a time, the longest ended first, with their
 * kernels and the history of how both were scheduled.
 */
export async function deleteEndedSessions(
  tx: Db,
  before: Date,
  limit: number,
): Promise<RemovedSessions> {
  const rows = await tx<{ id: string }[]>`
    SELECT s.id FROM sessions s
     WHERE s.status = ANY (${[...terminalStatuses]}) AND s.terminated_at < ${before}
       -- Counted, as what exists is looked for in the whole table.
       AND 0 = (SELECT count(*) FROM kernels k WHERE k.session_id = s.id
            AND (k.status <> ALL (${[...terminalStatuses]}) OR k.terminated_at >= ${before}))
     ORDER BY s.terminated_at
     LIMIT ${limit}
       FOR UPDATE SKIP LOCKED`;
  const ids = rows.map(({ id }) => id);
  if (ids.length === 0) return { sessions: 0, kernels: 0 };
  await tx`DELETE FROM kernel_scheduling_history WHERE session_id = ANY (${ids}::uuid[])`;
  await tx`DELETE FROM session_scheduling_history WHERE session_id = ANY (${ids}::uuid[])`;
  const kernels = await tx`DELETE FROM kernels WHERE session_id = ANY (${ids}::uuid[])`;
  const sessions = await tx`DELETE FROM sessions WHERE id = ANY (${ids}::uuid[])`;
  return { sessions: sessions.count, kernels: kernels.count };
}

/** Removes up to `limit` reported errors from before a time. @returns how many. */
export async function deleteErrors(sql: Db, before: Date, limit: number): Promise<number> {
  const { count } = await sql`
    DELETE FROM error_logs WHERE id IN (
      SELECT id FROM error_logs WHERE created_at < ${before} ORDER BY created_at LIMIT ${limit})`;
  return count;
}

/**
 * Gives the space of removed rows back: to the tables, or with `full`, which locks each table
 * meanwhile, to the file system. It may take as long as it takes.
 */
export async function vacuum(sql: Sql, full: boolean): Promise<void> {
  const connection = await sql.reserve();
  try {
    await connection`SET statement_timeout = 0`;
    // Not within a transaction, which even a prepared statement's protocol would not be.
    await connection.unsafe(full ? 'VACUUM FULL' : 'VACUUM');
    await connection`RESET statement_timeout`;
  } finally {
    connection.release();
  }
}
