/** Errors that clients report for their users and administrators to look at. */
import type { Sql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import type { Db } from '../db/connect.ts';
import type { Caller } from '../http/route.ts';
import * as store from './store.ts';

export { severities } from './store.ts';

/** Superadmins reach all entries, domain admins those of their domain, others their own. */
function scopeOf(caller: Caller): store.ErrorLogScope {
  if (caller.isSuperadmin) return { kind: 'all' };
  if (caller.role === 'admin') return { kind: 'domain', domainName: caller.domainName };
  return { kind: 'user', userId: caller.userId };
}

/** Keeps a report under the caller's name. */
export const reportError = (sql: Db, caller: Caller, report: store.ErrorReport): Promise<void> =>
  store.insertEntry(sql, caller.userId, report);

/**
 * A page of the entries within the caller's reach, newest first, and how many there are in all.
 * @param request.page counts from 1. `markRead` remembers that the entries were shown.
 */
export async function listErrors(
  sql: Sql,
  caller: Caller,
  request: { readonly page: number; readonly size: number; readonly markRead: boolean },
): Promise<{ entries: store.ErrorLogEntry[]; total: number }> {
  const scope = scopeOf(caller);
  const offset = (request.page - 1) * request.size;
  const [entries, total] = await Promise.all([
    store.selectEntries(sql, scope, { limit: request.size, offset }),
    store.countEntries(sql, scope),
  ]);
  if (request.markRead && entries.length > 0) {
    await store.markRead(
      sql,
      entries.map(({ id }) => id),
    );
  }
  return { entries, total };
}

/** @throws BackendError ObjectNotFound when no such entry is within reach. */
export async function clearError(sql: Db, caller: Caller, id: string): Promise<void> {
  if (await store.markCleared(sql, scopeOf(caller), id)) return;
  throw new BackendError('ObjectNotFound', `There is no error log '${id}' you may clear.`);
}
