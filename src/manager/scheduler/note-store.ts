/** The SQL that writes down why sessions wait. */
import type { Db } from '../db/connect.ts';
import { jsonText } from '../db/json.ts';

/** Why a session still waits. */
export interface WaitingNote {
  readonly sessionId: string;
  readonly failed: readonly { readonly name: string; readonly msg: string }[];
  readonly passed: readonly string[];
}

/**
 * Keeps the reasons in `status_data.scheduler` and in the history, where a repeated reason counts
 * up instead of adding a row.
 */
export async function recordWaiting(
  sql: Db,
  notes: readonly WaitingNote[],
  now: Date,
): Promise<void> {
  const rows = jsonText(
    notes.map(({ sessionId, failed, passed }) => ({
      id: sessionId,
      failed,
      passed: passed.map((name) => ({ name })),
      code: failed[0]?.name ?? 'unknown',
      msg: failed.map((item) => item.msg).join(' '),
    })),
  );
  await sql`
    WITH note AS (
      SELECT * FROM jsonb_to_recordset(${rows}::text::jsonb)
        AS c(id uuid, failed jsonb, passed jsonb, code varchar, msg text)
    ), waiting AS (
      UPDATE sessions s SET status_info = 'no-available-instances',
        status_data = coalesce(s.status_data, '{}') || jsonb_build_object('scheduler',
          coalesce(s.status_data->'scheduler', '{}') || jsonb_build_object(
            'failed_predicates', note.failed, 'passed_predicates', note.passed, 'msg', note.msg,
            'retries', coalesce((s.status_data->'scheduler'->>'retries')::int, 0) + 1,
            'last_try', to_jsonb(${now}::timestamptz)))
      FROM note WHERE s.id = note.id AND s.status = 'PENDING'
      RETURNING s.id, note.code, note.msg
    ), latest AS (
      SELECT w.id, w.code, w.msg, h.id AS history_id, h.phase, h.error_code
      FROM waiting w LEFT JOIN LATERAL (
        SELECT * FROM session_scheduling_history h WHERE h.session_id = w.id
        ORDER BY h.created_at DESC, h.id LIMIT 1
      ) h ON true
    ), merged AS (
      UPDATE session_scheduling_history h
      SET attempts = h.attempts + 1, updated_at = ${now}, message = latest.msg
      FROM latest WHERE h.id = latest.history_id AND h.phase = 'schedule-sessions'
        AND h.from_status = 'PENDING' AND h.to_status = 'PENDING' AND h.error_code = latest.code
      RETURNING h.session_id
    )
    INSERT INTO session_scheduling_history (session_id, phase, from_status, to_status, result,
      error_code, message, attempts, created_at, updated_at)
    SELECT id, 'schedule-sessions', 'PENDING', 'PENDING', 'NEED_RETRY', code, msg, 1,
      ${now}::timestamptz, ${now}::timestamptz
    FROM latest WHERE id NOT IN (SELECT session_id FROM merged)`;
}
