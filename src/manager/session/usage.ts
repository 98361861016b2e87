/** Whether anybody's sessions still run, and removing finished ones with their owner. */
import type { Db } from '../db/connect.ts';
import * as store from './usage-store.ts';

export type { ActiveUse } from './usage-store.ts';

/** How many sessions of `owner` wait, run or end. */
export function countUnfinishedSessions(sql: Db, owner: store.SessionOwner): Promise<number> {
  return store.countUnfinished(sql, owner);
}

/** Removes the history of `owner`'s sessions; the caller has made sure that none is unfinished. */
export function deleteSessionHistory(sql: Db, owner: store.SessionOwner): Promise<void> {
  return store.deleteSessions(sql, owner);
}

/** How many sessions of each domain or project hold resources, and which; nothing where none does. */
export async function activeUseOf(
  sql: Db,
  owners: { readonly kind: 'domain' | 'project'; readonly ids: readonly string[] },
): Promise<Map<string, store.ActiveUse>> {
  const rows = await store.selectActiveUse(sql, owners);
  return new Map(rows.map((row) => [row.id, row]));
}
