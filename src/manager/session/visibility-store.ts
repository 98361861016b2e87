/** Whose sessions a query may touch; the table `sessions` is called `s` in it. */
import type { Fragment } from 'postgres';
import type { Db } from '../db/connect.ts';

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
