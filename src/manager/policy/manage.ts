/** Listing, making, changing and removing resource policies. */
import type { Sql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import type { ProblemName } from '../../common/problems.ts';
import { type ChangeContext, change } from '../audit/service.ts';
import type { Db } from '../db/connect.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import type { Caller } from '../http/route.ts';
import * as store from './manage-store.ts';
import { selectKeypairPolicy, selectUserPolicy } from './store.ts';
import { selectPoliciesV2 } from './v2-store.ts';

export type { PolicyColumns, PolicyRows } from './manage-store.ts';

/** Largest number of policies in one answer. */
const MAX_LISTED = 1000;

const NOT_FOUND: Readonly<Record<store.PolicyKind, ProblemName>> = {
  keypair: 'KeypairResourcePolicyNotFound',
  user: 'UserResourcePolicyNotFound',
  project: 'ObjectNotFound',
};

const entityOf = (kind: store.PolicyKind): string => `${kind}_resource_policy`;

/** A policy by name; null when there is none. Policies are shared by all tenants. */
export function findPolicy<K extends store.PolicyKind>(
  sql: Db,
  kind: K,
  name: string,
): Promise<store.PolicyRows[K] | null> {
  return store.selectPolicy(sql, kind, name);
}

/** The policy that the caller's own keypair has. */
export const ownKeypairPolicy = (sql: Db, { accessKey }: Caller) =>
  selectKeypairPolicy(sql, accessKey);

/** The policy that the caller's account has. */
export const ownUserPolicy = (sql: Db, { userId }: Caller) => selectUserPolicy(sql, userId);

/** All policies of a kind by name, for administrators; at most 1000. */
export function listPolicies<K extends store.PolicyKind>(
  sql: Db,
  kind: K,
): Promise<store.PolicyRows[K][]> {
  return store.selectPolicies(sql, kind, MAX_LISTED);
}

/** One page of them, newest first unless ordered. @throws as selectPoliciesV2. */
export const listPoliciesV2 = <K extends store.PolicyKind>(
  sql: Sql,
  kind: K,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<store.PolicyRows[K]>> => selectPoliciesV2(sql, kind, query, wish);

function checkName(name: string): void {
  if (name.trim() !== '' && name.length <= 256 && !/\p{Cc}/u.test(name)) return;
  throw new BackendError(
    'InvalidAPIParameters',
    'A policy name has 1 to 256 characters and no control character.',
  );
}

/**
 * Makes a policy.
 * @throws BackendError RepositoryIntegrityError when the name is taken, InvalidAPIParameters for
 *   values that cannot be stored.
 */
export function createPolicy(
  by: ChangeContext,
  kind: store.PolicyKind,
  name: string,
  columns: store.PolicyColumns,
): Promise<void> {
  checkName(name);
  return change(by, async (tx, note) => {
    await store.insertPolicy(tx, kind, name);
    const after = await store.updatePolicy(tx, kind, name, columns);
    note({ entityType: entityOf(kind), entityId: name, operation: 'create', after });
  });
}

/**
 * Changes a policy, at once for everybody who has it.
 * @throws BackendError when there is none, InvalidAPIParameters for values that cannot be stored.
 */
export function modifyPolicy(
  by: ChangeContext,
  kind: store.PolicyKind,
  name: string,
  columns: store.PolicyColumns,
): Promise<void> {
  return change(by, async (tx, note) => {
    const before = await store.lockPolicy(tx, kind, name);
    if (before === null) throw notFound(kind, name);
    const after = await store.updatePolicy(tx, kind, name, columns);
    note({ entityType: entityOf(kind), entityId: name, operation: 'update', before, after });
  });
}

/**
 * Removes a policy.
 * @throws BackendError when there is none, RepositoryIntegrityError while somebody has it.
 */
export function deletePolicy(
  by: ChangeContext,
  kind: store.PolicyKind,
  name: string,
): Promise<void> {
  return change(by, async (tx, note) => {
    const before = await store.lockPolicy(tx, kind, name);
    if (before === null) throw notFound(kind, name);
    await store.deletePolicy(tx, kind, name);
    note({ entityType: entityOf(kind), entityId: name, operation: 'delete', before });
  });
}

const notFound = (kind: store.PolicyKind, name: string): BackendError =>
  new BackendError(NOT_FOUND[kind], `There is no ${kind} resource policy '${name}'.`);
