/**
 * The SQL of calls to `callback_url`: they are written with the transition that they tell of, so that
 * none is lost, and are gone once delivered or given up.
 */
import * as v from 'valibot';
import type { Db } from '../db/connect.ts';
import { jsonText } from '../db/json.ts';

/** One call that has to be made. */
export interface NewCallback {
  readonly sessionId: string;
  readonly url: string;
  /** Upstream's name of the event without its `session_`, e.g. `started`. */
  readonly event: string;
}

/** Adds calls, in order, that show the sessions as they are in this transaction. */
export async function insertCallbacks(
  tx: Db,
  callbacks: readonly NewCallback[],
  now: Date,
): Promise<void> {
  if (callbacks.length === 0) return;
  const rows = callbacks.map((callback, place) => ({ ...callback, place }));
  await tx`
    INSERT INTO session_callbacks (session_id, url, body, created_at, next_at)
    SELECT s.id, c.url, jsonb_build_object('type', 'session_lifecycle', 'event', c.event,
        'session_id', s.id, 'when', ${now.toISOString()}::text, 'status_history', s.status_history,
        'result', s.result, 'status_data', s.status_data), ${now}, ${now}
    FROM jsonb_to_recordset(${jsonText(rows)}::text::jsonb)
        AS c("sessionId" uuid, url varchar, event varchar, place int)
      JOIN sessions s ON s.id = c."sessionId"
    ORDER BY c.place`;
}

const dueRow = v.object({
  id: v.string(),
  session_id: v.string(),
  url: v.string(),
  body: v.record(v.string(), v.unknown()),
  attempts: v.number(),
});
export type DueCallback = v.InferOutput<typeof dueRow>;

/**
 * The first call of each session, as far as it is due; a later one waits until that is done with.
 * @param perHost at most so many for one server.
 */
export async function selectDue(
  sql: Db,
  now: Date,
  { perHost, limit }: { readonly perHost: number; readonly limit: number },
): Promise<DueCallback[]> {
  const rows = await sql`
    SELECT id::text, session_id, url, body, attempts FROM (
      SELECT *, row_number() OVER (PARTITION BY split_part(url, '/', 3) ORDER BY next_at, id) AS place
      FROM (SELECT DISTINCT ON (session_id) * FROM session_callbacks ORDER BY session_id, id) AS f
      WHERE next_at <= ${now}
    ) AS due
    WHERE place <= ${perHost} ORDER BY next_at, id LIMIT ${limit}`;
  return v.parse(v.array(dueRow), [...rows]);
}

/**
 * Takes a call for as long as `until`, unless somebody else has taken it.
 * @returns whether it is taken.
 */
export async function takeCallback(
  sql: Db,
  { id, attempts }: DueCallback,
  until: Date,
): Promise<boolean> {
  const rows = await sql`
    UPDATE session_callbacks SET attempts = attempts + 1, next_at = ${until}
    WHERE id = ${id}::bigint AND attempts = ${attempts} RETURNING 1`;
  return rows.length > 0;
}

export async function deleteCallback(sql: Db, id: string): Promise<void> {
  await sql`DELETE FROM session_callbacks WHERE id = ${id}::bigint`;
}

export async function postponeCallback(sql: Db, id: string, nextAt: Date): Promise<void> {
  await sql`UPDATE session_callbacks SET next_at = ${nextAt} WHERE id = ${id}::bigint`;
}

/** Forgets calls older than that. @returns how many. */
export async function deleteOlder(sql: Db, than: Date): Promise<number> {
  const rows = await sql`DELETE FROM session_callbacks WHERE created_at < ${than} RETURNING 1`;
  return rows.length;
}
