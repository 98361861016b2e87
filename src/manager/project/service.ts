/** Projects: groups of users inside a domain that share limits, folders and resource groups. */

import type { Sql } from 'postgres';
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { SlotMap } from '../../common/slots.ts';
import type { Db } from '../db/connect.ts';
import { slotMapColumn } from '../db/json.ts';
import type { ListQuery } from '../graphql/minilang-store.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import type { Scope } from '../graphql/scalars.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import type { Caller } from '../http/route.ts';
import * as store from './store.ts';
import { selectProjectsOfDomains, selectProjectsOfUsers, selectProjectsV2 } from './v2-store.ts';

export type { ProjectRecord } from './store.ts';

/** Largest number of projects in one answer. */
const MAX_LISTED = 1000;
/** How many names an error message offers. */
const MAX_SUGGESTED = 10;

export interface ProjectOfMember {
  readonly id: string;
  readonly name: string;
  readonly domainName: string;
  readonly type: 'general' | 'model-store';
  readonly resourcePolicy: string;
  /** A missing slot is unlimited. Decimal strings. */
  readonly totalResourceSlots: SlotMap;
}

/**
 * The project in which a session of `userId` is to run.
 * @param request.nameOrId name or id of an active project of `domain`.
 * @param request.anyMember false (default): the user must belong to it; true: administrators act in
 *   projects of others too.
 * @throws BackendError ProjectNotFound, naming the projects the user does belong to.
 */
export async function projectOfMember(
  sql: Db,
  request: {
    readonly userId: string;
    readonly domain: string;
    readonly nameOrId: string;
    readonly anyMember?: boolean;
  },
): Promise<ProjectOfMember> {
  const { userId, domain, nameOrId, anyMember = false } = request;
  const row = await store.selectMembership(sql, domain, userId, nameOrId);
  if (row && (row.is_member || anyMember)) {
    return {
      id: row.id,
      name: row.name,
      domainName: row.domain_name,
      type: row.type,
      resourcePolicy: row.resource_policy,
      totalResourceSlots: v.parse(slotMapColumn, row.total_resource_slots),
    };
  }
  // The same words whether or not the project exists: outsiders can't probe for names.
  const own = await store.selectMemberProjectNames(sql, domain, userId, MAX_SUGGESTED);
  const offer =
    own.length > 0
      ? `The user's projects there: ${own.join(', ')}.`
      : 'The user belongs to no project there; an administrator can add one.';
  throw new BackendError(
    'ProjectNotFound',
    `The user belongs to no active project '${nameOrId}' in domain '${domain}'. ${offer}`,
  );
}

/** Superadmins see all projects, domain admins those of their domain, others their own. */
export function projectScope(caller: Caller): store.ProjectScope {
  if (caller.isSuperadmin) return { kind: 'all' };
  if (caller.role === 'admin') return { kind: 'domain', domainName: caller.domainName };
  return { kind: 'member', userId: caller.userId };
}

export const PROJECT_PERMISSIONS = [
  'read_attribute',
  'read_sensitive_attribute',
  'update_attribute',
  'delete_project',
  'associate_with_user',
] as const;
export type ProjectPermission = (typeof PROJECT_PERMISSIONS)[number];

/** The projects on which `caller` holds a permission: administrators all, members may only read. */
function permittedScope(caller: Caller, permission: ProjectPermission): store.ProjectScope {
  const scope = projectScope(caller);
  return scope.kind !== 'member' || permission === 'read_attribute' ? scope : { kind: 'none' };
}

/**
 * One page of the projects in a part of the cluster on which `caller` holds a permission, by id
 * unless ordered.
 * @throws BackendError InvalidAPIParameters for a wrong filter or order, InvalidCursor.
 */
export const listProjectNodes = (
  sql: Sql,
  caller: Caller,
  query: ListQuery & { readonly within: Scope; readonly permission: ProjectPermission },
  wish: PageWish,
): Promise<Listed<store.ProjectRecord>> =>
  store.selectNodes(sql, permittedScope(caller, query.permission), query, wish);

/** The same of the projects to which each user belongs, by user. */
export const listProjectNodesOfUsers = (
  sql: Sql,
  caller: Caller,
  userIds: readonly string[],
  query: ListQuery,
  wish: PageWish,
): Promise<Map<string, Listed<store.ProjectRecord>>> =>
  store.selectNodesOfUsers(sql, projectScope(caller), userIds, query, wish);

/** The newer list of the projects that `caller` may see, newest first unless ordered. */
export const listProjectsV2 = (
  sql: Sql,
  caller: Caller,
  query: V2Query & { readonly domainName?: string },
  wish: PageWish,
): Promise<Listed<store.ProjectRecord>> => selectProjectsV2(sql, projectScope(caller), query, wish);

/** The same of each domain, by its name. */
export const listProjectsOfDomains = (
  sql: Sql,
  caller: Caller,
  domainNames: readonly string[],
  query: V2Query,
  wish: PageWish,
): Promise<Map<string, Listed<store.ProjectRecord>>> =>
  selectProjectsOfDomains(sql, projectScope(caller), domainNames, query, wish);

/** The same of those to which each user belongs, by the user's id. */
export const listProjectsOfUsers = (
  sql: Sql,
  caller: Caller,
  userIds: readonly string[],
  query: V2Query,
  wish: PageWish,
): Promise<Map<string, Listed<store.ProjectRecord>>> =>
  selectProjectsOfUsers(sql, projectScope(caller), userIds, query, wish);

/** The same of the projects that may use each container registry, by registry. */
export const listProjectNodesOfRegistries = (
  sql: Sql,
  caller: Caller,
  registryIds: readonly string[],
  query: ListQuery,
  wish: PageWish,
): Promise<Map<string, Listed<store.ProjectRecord>>> =>
  store.selectNodesOfRegistries(sql, projectScope(caller), registryIds, query, wish);

/** One project by id; null when there is none that the caller may see. */
export async function findProject(
  sql: Db,
  caller: Caller,
  id: string,
): Promise<store.ProjectRecord | null> {
  const [row] = await store.selectProjects(sql, projectScope(caller), { id }, 1);
  return row ?? null;
}

/** Projects by id, for whoever may see what belongs to them. */
export const projectsById = (sql: Db, ids: readonly string[]): Promise<store.ProjectRecord[]> =>
  store.selectProjects(sql, { kind: 'all' }, { ids }, MAX_LISTED);

/** The projects that `caller` may see, by domain and name; at most 1000. */
export function listProjects(
  sql: Db,
  caller: Caller,
  filter: store.ProjectFilter = {},
): Promise<store.ProjectRecord[]> {
  return store.selectProjects(sql, projectScope(caller), filter, MAX_LISTED);
}

/**
 * One project by id.
 * @throws BackendError ProjectNotFound also for a project that the caller may not see.
 */
export async function getProject(
  sql: Db,
  caller: Caller,
  id: string,
): Promise<store.ProjectRecord> {
  const row = await findProject(sql, caller, id);
  if (row) return row;
  throw new BackendError('ProjectNotFound', `There is no project ${id} you may see.`);
}
