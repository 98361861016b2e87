/** Fair shares and usage per day, as superadmins see them. */
import type { Sql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import type { Caller } from '../http/route.ts';
import type { Level } from './levels.ts';
import * as store from './list-store.ts';

export type { BucketRow, KeptShare, ShareRow, ShareScope } from './list-store.ts';

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

/**
 * The shares that are kept, of all resource groups, the highest first unless ordered.
 * @throws BackendError GenericForbidden unless the caller is a superadmin;
 *   InvalidGraphQLParameters, InvalidCursor.
 */
export function listKeptShares(
  sql: Sql,
  caller: Caller,
  level: Level,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<store.KeptShare>> {
  requireAdministrator(caller);
  return store.selectKeptShares(sql, level, query, wish);
}

/**
 * One owner's share; its weight is kept for the day on which it may use the group.
 * @throws BackendError GenericForbidden, InvalidAPIParameters when there is no such owner.
 */
export async function getShare(
  sql: Sql,
  caller: Caller,
  level: Level,
  scope: store.ShareScope,
  ownerKey: string,
): Promise<store.ShareRow> {
  requireAdministrator(caller);
  const share = await store.selectShare(sql, level, scope, ownerKey);
  if (share) return share;
  throw new BackendError('InvalidAPIParameters', `There is no ${level} '${ownerKey}' there.`);
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

/**
 * What everybody has used of all resource groups per UTC day, the latest first unless ordered.
 * @throws BackendError GenericForbidden unless the caller is a superadmin.
 */
export function listAllBuckets(
  sql: Sql,
  caller: Caller,
  level: Level,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<store.BucketRow>> {
  requireAdministrator(caller);
  return store.selectBuckets(sql, level, query, wish);
}
