/** Whose sessions a query may touch, and in what status; the table `sessions` is called `s` in it. */
import type { Fragment } from 'postgres';
import type { Db } from '../db/connect.ts';
import { mayBeOver } from './status.ts';

/** Whose sessions are seen. */
export type SessionVisibility =
  | { readonly kind: 'all' }
  | { readonly kind: 'domain'; readonly domainName: string }
  | { readonly kind: 'owner'; readonly userId: string }
  | { readonly kind: 'none' };

/** The condition that a session is seen. */
export function visible(sql: Db, visibility: SessionVisibility): Fragment {
  switch (visibility.kind) {
    case 'all':
      return sql`true`;
    case 'domain':
      return sql`s.domain_name = ${visibility.domainName}`;
    case 'owner':
      return sql`s.user_uuid = ${visibility.userId}::uuid`;
    case 'none':
      return sql`false`;
  }
}

/**
 * The condition that a session is not over. Spelled out as in the index of live names, which leads a query
 * that says so to these few, however many have ended. A list of statuses that comes as a parameter does not.
 */
export const isLive = (sql: Db): Fragment =>
  sql`s.status NOT IN ('ERROR', 'TERMINATED', 'CANCELLED')`;

/** The condition that a session has one of the statuses; null: any. */
export function hasStatus(sql: Db, statuses: readonly string[] | null): Fragment {
  if (statuses === null) return sql`true`;
  const listed = sql`s.status = ANY(${sql.array([...statuses])}::text[])`;
  return mayBeOver(statuses) ? listed : sql`${isLive(sql)} AND ${listed}`;
}

/**
 * The condition that a session belongs to the user of a keypair, as all sessions of the keypair do: users are
 * in the indexes, keypairs are not. Of a keypair that was removed its sessions tell, which is looked up only then.
 */
export const ofKeysUser = (sql: Db, accessKey: string): Fragment =>
  sql`s.user_uuid = coalesce((SELECT "user" FROM keypairs WHERE access_key = ${accessKey}),
    (SELECT o.user_uuid FROM sessions o WHERE o.access_key = ${accessKey} LIMIT 1))`;
