/** The newer lists of users, and who may see which. */
import type { Sql } from 'postgres';
import { type AuthzContext, requirePermission } from '../authz/service.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import { requireDomainAdmin } from '../graphql/scope.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import type { Caller } from '../http/route.ts';
import { userScope } from './service.ts';
import type { UserRecord } from './store.ts';
import * as store from './v2-store.ts';

/** The users that the caller may see, newest first unless ordered. */
export const listUsersV2 = (
  sql: Sql,
  caller: Caller,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<UserRecord>> => store.selectUsersV2(sql, userScope(caller), query, wish);

/**
 * The users of a domain.
 * @throws BackendError GenericForbidden unless the caller administers it.
 */
export async function listUsersOfDomain(
  sql: Sql,
  caller: Caller,
  domainName: string,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<UserRecord>> {
  requireDomainAdmin(caller, domainName);
  return store.selectUsersV2(sql, userScope(caller), { ...query, domainName }, wish);
}

/**
 * The members of a project, for all who may read the users in it: members and administrators.
 * @throws BackendError NotEnoughPermission for others.
 */
export async function listUsersOfProject(
  by: AuthzContext & { readonly ctx: { readonly sql: Sql } },
  projectId: string,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<UserRecord>> {
  await requirePermission(by, 'read', 'user', { type: 'project', id: projectId });
  return store.selectUsersV2(by.ctx.sql, { kind: 'all' }, { ...query, projectId }, wish);
}

/** The users of each domain that the caller may see, by its name. */
export const listUsersOfDomains = (
  sql: Sql,
  caller: Caller,
  domainNames: readonly string[],
  query: V2Query,
  wish: PageWish,
): Promise<Map<string, Listed<UserRecord>>> =>
  store.selectUsersOfDomains(sql, userScope(caller), domainNames, query, wish);

/** The members of each project that the caller may see, by its id. */
export const listUsersOfProjects = (
  sql: Sql,
  caller: Caller,
  projectIds: readonly string[],
  query: V2Query,
  wish: PageWish,
): Promise<Map<string, Listed<UserRecord>>> =>
  store.selectUsersOfProjects(sql, userScope(caller), projectIds, query, wish);
