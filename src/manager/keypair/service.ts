/** Keypairs: the credentials of the API, and what a caller may know of them. */

import type { Sql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import type { Db } from '../db/connect.ts';
import type { ListPage } from '../graphql/minilang-store.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import type { Caller } from '../http/route.ts';
import * as store from './store.ts';
import { selectKeypairsOfPolicies, selectKeypairsV2 } from './v2-store.ts';

export type { KeypairRecord } from './store.ts';

/** Largest number of keypairs in one answer. */
const MAX_LISTED = 1000;

export interface ActiveKeypair {
  readonly caller: Caller;
  readonly secretKey: string;
  /** Requests per 15 minutes; null means unlimited. */
  readonly rateLimit: number | null;
  /** CIDR blocks the owner may come from; null means anywhere. */
  readonly allowedClientIp: readonly string[] | null;
}

/** The keypair and the principal it stands for, in one query; null unless both are active. */
export async function findActiveKeypair(sql: Db, accessKey: string): Promise<ActiveKeypair | null> {
  const row = await store.selectActive(sql, accessKey);
  if (row === null) return null;
  const { secretKey, rateLimit, allowedClientIp, ...principal } = row;
  return {
    secretKey,
    rateLimit,
    allowedClientIp,
    caller: { ...principal, isSuperadmin: principal.role === 'superadmin' },
  };
}

/** Adds `count` to the keypair's query counter and notes that it was used now. */
export function countQuery(sql: Db, accessKey: string, count = 1): Promise<void> {
  return store.addQueries(sql, accessKey, count);
}

/** Superadmins see all keypairs, domain admins those of their domain but no superadmin's, others their own. */
export function keypairScope(caller: Caller): store.KeypairScope {
  if (caller.isSuperadmin) return { kind: 'all' };
  if (caller.role === 'admin') return { kind: 'domain', domainName: caller.domainName };
  return { kind: 'user', userId: caller.userId };
}

/** The keypairs that `caller` may see, oldest first; at most 1000. */
export function listKeypairs(
  sql: Db,
  caller: Caller,
  filter: store.KeypairFilter = {},
): Promise<store.KeypairRecord[]> {
  return store.selectMany(sql, keypairScope(caller), filter, MAX_LISTED);
}

/**
 * One page of the keypairs that `caller` may see, and how many match in all.
 * @throws BackendError InvalidAPIParameters for a wrong filter or order.
 */
export function listKeypairPage(
  sql: Sql,
  caller: Caller,
  filter: store.KeypairFilter,
  page: ListPage,
): Promise<{ rows: store.KeypairRecord[]; total: number }> {
  return store.selectPage(sql, keypairScope(caller), filter, page);
}

/** The same in the newer form, newest first unless ordered. @throws as selectKeypairsV2. */
export const listKeypairsV2 = (
  sql: Sql,
  caller: Caller,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<store.KeypairRecord>> => selectKeypairsV2(sql, keypairScope(caller), query, wish);

/** The same of those that have each resource policy, by its name. */
export const listKeypairsOfPolicies = (
  sql: Sql,
  caller: Caller,
  policyNames: readonly string[],
  query: V2Query,
  wish: PageWish,
): Promise<Map<string, Listed<store.KeypairRecord>>> =>
  selectKeypairsOfPolicies(sql, keypairScope(caller), policyNames, query, wish);

/** The caller's own keypairs. */
export const listOwnKeypairs = (
  sql: Sql,
  { userId }: Caller,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<store.KeypairRecord>> =>
  selectKeypairsV2(sql, { kind: 'user', userId }, query, wish);

/** Those of these keypairs that exist, for who signs with them. */
export const keypairsByKey = (
  sql: Db,
  accessKeys: readonly string[],
): Promise<store.KeypairRecord[]> => store.selectByKeys(sql, accessKeys);

/** One keypair; null when there is none that the caller may see. */
export const findKeypair = (
  sql: Db,
  caller: Caller,
  accessKey: string,
): Promise<store.KeypairRecord | null> => store.selectOne(sql, keypairScope(caller), accessKey);

/**
 * One keypair; the caller's own when `accessKey` is null.
 * @throws BackendError AccessKeyNotFound also for a keypair that the caller may not see.
 */
export async function getKeypair(
  sql: Db,
  caller: Caller,
  accessKey: string | null = null,
): Promise<store.KeypairRecord> {
  const wanted = accessKey ?? caller.accessKey;
  const row = await findKeypair(sql, caller, wanted);
  if (row) return row;
  throw new BackendError('AccessKeyNotFound', `There is no keypair '${wanted}' you may see.`);
}

/** The script that the keypair's sessions run first; empty when there is none. */
export function storedBootstrapScript(sql: Db, accessKey: string): Promise<string> {
  return store.selectBootstrapScript(sql, accessKey);
}
