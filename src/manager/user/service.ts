/** Users: who they are and what others may know of them. */

import type { Sql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import type { Db } from '../db/connect.ts';
import type { ListPage, ListQuery } from '../graphql/minilang-store.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import type { Caller } from '../http/route.ts';
import * as store from './store.ts';

export type { UserKey, UserRecord } from './store.ts';

/** Largest number of users in one answer. */
const MAX_LISTED = 1000;

/** Superadmins see all users, domain admins those of their domain, others themselves. */
export function userScope(caller: Caller): store.UserScope {
  if (caller.isSuperadmin) return { kind: 'all' };
  if (caller.role === 'admin') return { kind: 'domain', domainName: caller.domainName };
  return { kind: 'self', userId: caller.userId };
}

/** The users that `caller` may see, oldest first; at most 1000. */
export function listUsers(
  sql: Db,
  caller: Caller,
  filter: store.UserFilter = {},
): Promise<store.UserRecord[]> {
  return store.selectUsers(sql, userScope(caller), filter, MAX_LISTED);
}

/**
 * One page of the users that `caller` may see, and how many match in all.
 * @throws BackendError InvalidAPIParameters for a wrong filter or order.
 */
export function listUserPage(
  sql: Sql,
  caller: Caller,
  filter: store.UserFilter,
  page: ListPage,
): Promise<{ rows: store.UserRecord[]; total: number }> {
  return store.selectPage(sql, userScope(caller), filter, page);
}

/**
 * One page of the users that `caller` may see, by id unless ordered.
 * @throws BackendError InvalidAPIParameters for a wrong filter or order, InvalidCursor.
 */
export const listUserNodes = (
  sql: Sql,
  caller: Caller,
  query: ListQuery,
  wish: PageWish,
): Promise<Listed<store.UserRecord>> => store.selectNodes(sql, userScope(caller), query, wish);

/** The same of the members of each project, by project. */
export const listUserNodesOfProjects = (
  sql: Sql,
  caller: Caller,
  projectIds: readonly string[],
  query: ListQuery,
  wish: PageWish,
): Promise<Map<string, Listed<store.UserRecord>>> =>
  store.selectNodesOfProjects(sql, userScope(caller), projectIds, query, wish);

/** The users with these ids, for whoever was allowed to do something with them. */
export const usersById = (sql: Db, userIds: readonly string[]): Promise<store.UserRecord[]> =>
  store.selectUsers(sql, { kind: 'all' }, { userIds }, MAX_LISTED);

/** One user; null when there is none that the caller may see. */
export const findUser = (
  sql: Db,
  caller: Caller,
  key: store.UserKey,
): Promise<store.UserRecord | null> => store.selectOne(sql, userScope(caller), key);

/** One user; the caller unless another is named. @throws BackendError UserNotFound as above. */
export async function getUser(
  sql: Db,
  caller: Caller,
  key: store.UserKey = caller,
): Promise<store.UserRecord> {
  const row = await findUser(sql, caller, key);
  if (row) return row;
  throw new BackendError('UserNotFound');
}

/** The names and ids of the projects of users, for whoever was allowed to see these. */
export async function projectsOfUsers(
  sql: Db,
  userIds: readonly string[],
): Promise<Map<string, { id: string; name: string }[]>> {
  const rows = await store.selectProjectsOfUsers(sql, userIds);
  return Map.groupBy(rows, ({ user_id }) => user_id);
}
