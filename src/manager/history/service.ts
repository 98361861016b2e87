/** Removes what has been over for long: ended sessions and reported errors. */
import type { Sql } from 'postgres';
import * as store from './store.ts';

export { vacuum } from './store.ts';

/** Rows removed in one transaction: few enough that nobody waits for their locks. */
const BATCH_ROWS = 1000;

export interface ClearedHistory {
  readonly sessions: number;
  readonly kernels: number;
  readonly errors: number;
}

/**
 * Removes sessions that ended, and errors that were reported, before a time.
 * @param onProgress is told after each batch how much is removed so far.
 */
export async function clearHistory(
  sql: Sql,
  before: Date,
  onProgress: (soFar: ClearedHistory) => void = () => undefined,
): Promise<ClearedHistory> {
  let total: ClearedHistory = { sessions: 0, kernels: 0, errors: 0 };
  for (;;) {
    const batch = await sql.begin((tx) => store.deleteEndedSessions(tx, before, BATCH_ROWS));
    if (batch.sessions === 0) break;
    total = {
      ...total,
      sessions: total.sessions + batch.sessions,
      kernels: total.kernels + batch.kernels,
    };
    onProgress(total);
  }
  for (;;) {
    const errors = await store.deleteErrors(sql, before, BATCH_ROWS);
    if (errors === 0) return total;
    total = { ...total, errors: total.errors + errors };
    onProgress(total);
  }
}
