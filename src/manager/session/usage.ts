/** Whether anybody's sessions still run, and removing finished ones with their owner. */
import type { Db } from '../db/connect.ts';
import * as store from './usage-store.ts';

/** How many sessions of `owner` wait, run or end. */
export function countUnfinishedSessions(sql: Db, owner: store.SessionOwner): Promise<number> {
  return store.countUnfinished(sql, owner);
}

/** Removes the history of `owner`'s sessions; the caller has made sure that none is unfinished. */
export function deleteSessionHistory(sql: Db, owner: store.SessionOwner): Promise<void> {
  return store.deleteSessions(sql, owner);
}
