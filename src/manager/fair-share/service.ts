/** Fair shares and usage per day, as superadmins see them. */
import type { Sql } from 'postgres';
import type { Listed, PageWish } from '../graphql/page.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import type { Caller } from '../http/route.ts';
import type { Level } from './levels.ts';
import * as store from './list-store.ts';

export type { BucketRow, ShareRow, ShareScope } from './list-store.ts';

/**
 * The shares in a resource group of everybody who may use it, the highest first unless ordered.
 * @throws BackendError GenericForbidden unless the caller is a superadmin;
 *   InvalidGraphQLParameters, InvalidCursor.
 */
export function listShares(
  sql: Sql,
  caller: Caller,
  level: Level,
  scope: store.ShareScope,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<store.ShareRow>> {
  requireAdministrator(caller);
  return store.selectShares(sql, level, scope, query, wish);
}

/** One owner's share; null when it may not use the group. */
export async function findShare(
  sql: Sql,
  caller: Caller,
  level: Level,
  scope: store.ShareScope,
  ownerKey: string,
): Promise<store.ShareRow | null> {
  const field = { domain: 'domainName', project: 'projectId', user: 'userUuid' }[level];
  const one = {
    page: { mode: 'offset', limit: 1, offset: 0 },
    rows: true,
    count: false,
  } as const;
  const query = { filter: { [field]: { equals: ownerKey } } };
  const { rows } = await listShares(sql, caller, level, scope, query, one);
  return rows[0] ?? null;
}

/**
 * What each owner has used of a resource group per UTC day, the latest first; by owner. The owners are
 * those that the caller sees; their usage is for superadmins.
 * @throws BackendError GenericForbidden.
 */
export function listBuckets(
  sql: Sql,
  caller: Caller,
  level: Level,
  owners: readonly string[],
  scope: store.BucketScope,
  query: V2Query,
  wish: PageWish,
): Promise<Map<string, Listed<store.BucketRow>>> {
  requireAdministrator(caller);
  return store.selectBucketsOf(sql, level, owners, scope, query, wish);
}
