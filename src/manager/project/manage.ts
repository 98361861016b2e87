/** Making, changing and removing projects, and who belongs to them. */
import type { TransactionSql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import type { Random } from '../../common/random.ts';
import type { SlotMap } from '../../common/slots.ts';
import { type Change, type ChangeContext, change } from '../audit/service.ts';
import { followMemberships, forgetElement, giveRoles } from '../authz/system-roles.ts';
import type { Db } from '../db/connect.ts';
import type { HostPermissions } from '../db/json.ts';
import type { GroupRow } from '../db/rows.generated.ts';
import { countUnfinishedSessions, deleteSessionHistory } from '../session/usage.ts';
import * as store from './manage-store.ts';

const ENTITY = 'project';
/** Users taken out of a project by one mutation. */
const MAX_UNASSIGNED = 1000;

/** What an administrator says about a project; undefined leaves it as it is. */
export interface ProjectWishes
  extends Omit<
    store.ProjectChanges,
    'total_resource_slots' | 'allowed_vfolder_hosts' | 'container_registry'
  > {
  readonly totalResourceSlots?: SlotMap;
  readonly allowedVfolderHosts?: HostPermissions;
  readonly containerRegistry?: unknown;
}

function toColumns(wishes: ProjectWishes): store.ProjectChanges {
  const { totalResourceSlots, allowedVfolderHosts, containerRegistry, ...rest } = wishes;
  return {
    ...rest,
    ...(totalResourceSlots && { total_resource_slots: { json: totalResourceSlots } }),
    ...(allowedVfolderHosts && { allowed_vfolder_hosts: { json: allowedVfolderHosts } }),
    ...(containerRegistry !== undefined && {
      container_registry: { json: containerRegistry ?? {} },
    }),
  };
}

function checkName(name: string | undefined): void {
  if (name === undefined) return;
  if (name.trim() === '' || name.length > 64 || /[\p{Cc}/]/u.test(name)) {
    throw new BackendError(
      'InvalidAPIParameters',
      'A project name has 1 to 64 characters, no slash and no control character.',
    );
  }
}

/** Superadmins act in every domain, others in their own. */
const actingDomain = ({ caller }: ChangeContext): string | null =>
  caller.isSuperadmin ? null : caller.domainName;

/**
 * Makes a project. @returns its id.
 * @throws BackendError RepositoryIntegrityError when the name is taken or domain or policy are
 *   unknown; GenericForbidden in a foreign domain.
 */
export function createProject(
  by: ChangeContext,
  name: string,
  wishes: ProjectWishes & {
    readonly domainName: string;
    readonly type: GroupRow['type'];
    readonly resource_policy: string;
  },
): Promise<string> {
  checkName(name);
  const { domainName, type, resource_policy: resourcePolicy, ...rest } = wishes;
  const own = actingDomain(by);
  if (own !== null && own !== domainName) {
    throw new BackendError('GenericForbidden', `Only projects of domain '${own}' are yours.`);
  }
  return change(by, async (tx, note) => {
    const id = by.ctx.random.uuid();
    await store.insertProject(tx, { id, name, domainName, type, resourcePolicy });
    const after = await store.updateProject(tx, id, toColumns(rest));
    await giveRoles(tx, 'project', id);
    note({ entityType: ENTITY, entityId: id, operation: 'create', after });
    return id;
  });
}

async function lockedProject(by: ChangeContext, tx: TransactionSql, id: string): Promise<GroupRow> {
  const row = await store.lockProject(tx, id, actingDomain(by));
  if (row === null)
    throw new BackendError('ProjectNotFound', `There is no project ${id} of yours.`);
  return row;
}

/** Whom to add to a project or take out of it. */
export interface MemberChange {
  readonly mode: string;
  readonly userIds: readonly string[];
}

async function changeMembers(
  by: ChangeContext,
  tx: TransactionSql,
  projectId: string,
  { mode, userIds }: MemberChange,
): Promise<void> {
  const ids = userIds.map((id) => id.toLowerCase());
  if (mode === 'remove') {
    return leaveProject(tx, projectId, ids);
  }
  if (mode !== 'add') {
    throw new BackendError('InvalidUserUpdateMode', `'${mode}' is neither 'add' nor 'remove'.`);
  }
  const known = new Set(await store.selectUserIds(tx, actingDomain(by), ids));
  const stranger = ids.find((id) => !known.has(id));
  if (stranger !== undefined) {
    throw new BackendError('UserNotFound', `There is no user ${stranger} you may add.`);
  }
  await store.addMembers(tx, [projectId], ids);
  await followMemberships(tx, ids);
}

/**
 * Changes a project and its members.
 * @throws BackendError ProjectNotFound also for one of a foreign domain; UserNotFound,
 *   InvalidUserUpdateMode; RepositoryIntegrityError when the name is taken or the policy unknown.
 */
export function modifyProject(
  by: ChangeContext,
  id: string,
  wishes: ProjectWishes & { readonly domainName?: string; readonly members?: MemberChange },
): Promise<void> {
  const { domainName, members, ...rest } = wishes;
  checkName(rest.name);
  return change(by, async (tx, note) => {
    const before = await lockedProject(by, tx, id);
    if (domainName !== undefined && domainName !== before.domain_name) {
      throw new BackendError('InvalidAPIParameters', 'A project stays in its domain.');
    }
    const after = await store.updateProject(tx, id, toColumns(rest));
    if (members) await changeMembers(by, tx, id, members);
    note({
      entityType: ENTITY,
      entityId: id,
      operation: 'update',
      before,
      after: { ...after, ...(members && { members }) },
    });
  });
}

/**
 * Takes users out of a project, for whoever was found to be allowed to.
 * @returns the ids of those who were members, and why the others could not be taken out.
 * @throws BackendError ProjectNotFound.
 */
export function unassignMembers(
  by: ChangeContext,
  projectId: string,
  userIds: readonly string[],
): Promise<{
  readonly removed: string[];
  readonly failed: { readonly userId: string; readonly message: string }[];
}> {
  const wanted = [...new Set(userIds)];
  if (wanted.length > MAX_UNASSIGNED) {
    throw new BackendError('InvalidAPIParameters', `At most ${MAX_UNASSIGNED} users at once.`);
  }
  return change(by, async (tx, note) => {
    const before = await store.lockProject(tx, projectId, null);
    if (before === null) {
      throw new BackendError('ProjectNotFound', `There is no project ${projectId}.`);
    }
    const removed = await store.removeMembers(tx, projectId, wanted);
    await followMemberships(tx, removed);
    if (removed.length > 0) {
      const after = { ...before, members: { mode: 'remove', userIds: removed } };
      note({ entityType: ENTITY, entityId: projectId, operation: 'update', before, after });
    }
    const failed = wanted
      .filter((userId) => !removed.includes(userId))
      .map((userId) => ({ userId, message: 'User is not assigned to this project.' }));
    return { removed, failed };
  });
}

/**
 * Closes a project: nothing new runs in it, everything stays.
 * @throws BackendError ProjectNotFound also for one of a foreign domain.
 */
export function deleteProject(by: ChangeContext, id: string): Promise<void> {
  return change(by, async (tx, note) => {
    const before = await lockedProject(by, tx, id);
    const after = await store.updateProject(tx, id, { is_active: false, integration_id: null });
    note({ entityType: ENTITY, entityId: id, operation: 'delete', before, after });
  });
}

/**
 * Removes a project with the history of its sessions.
 * @throws BackendError ProjectNotFound also for one of a foreign domain;
 *   ProjectHasActiveKernelsError; RepositoryIntegrityError while it owns folders.
 */
export function purgeProject(by: ChangeContext, id: string): Promise<void> {
  return change(by, async (tx, note) => {
    const before = await lockedProject(by, tx, id);
    const owner = { kind: 'project', projectId: id } as const;
    if ((await countUnfinishedSessions(tx, owner)) > 0) {
      throw new BackendError('ProjectHasActiveKernelsError');
    }
    const folders = await store.countFolders(tx, id);
    if (folders > 0) {
      throw new BackendError(
        'RepositoryIntegrityError',
        `The project still owns ${folders} virtual folder(s). Delete them first.`,
      );
    }
    await deleteSessionHistory(tx, owner);
    await store.deleteProject(tx, id);
    await forgetElement(tx, 'project', id);
    note({ entityType: ENTITY, entityId: id, operation: 'purge', before });
  });
}

/**
 * Makes the given projects of the domain the only ones of the user, within the user's change.
 * @throws BackendError ProjectNotFound for one that is not of the domain.
 */
export async function setProjectsOfUser(
  tx: TransactionSql,
  user: {
    readonly userId: string;
    readonly domainName: string;
    readonly projectIds: readonly string[];
  },
): Promise<void> {
  const ids = user.projectIds.map((id) => id.toLowerCase());
  const known = new Set(await store.selectProjectIds(tx, user.domainName, ids));
  const stranger = ids.find((id) => !known.has(id));
  if (stranger !== undefined) {
    throw new BackendError(
      'ProjectNotFound',
      `There is no project ${stranger} in domain '${user.domainName}'.`,
    );
  }
  await store.removeMembershipsExcept(tx, user.userId, ids);
  await store.addMembers(tx, ids, [user.userId]);
  await followMemberships(tx, [user.userId]);
}

/** The active project of that name; null when the domain has none. */
export function projectIdByName(sql: Db, domainName: string, name: string): Promise<string | null> {
  return store.selectProjectIdByName(sql, domainName, name);
}

/**
 * Lets users join a project within another change. @returns those of them who are in it now.
 * @throws BackendError ProjectNotFound.
 */
export async function joinProject(
  tx: TransactionSql,
  projectId: string,
  userIds: readonly string[],
): Promise<string[]> {
  const project = await store.lockProject(tx, projectId, null);
  if (project === null) {
    throw new BackendError('ProjectNotFound', `There is no project ${projectId}.`);
  }
  const ids = await store.selectUserIds(tx, project.domain_name, userIds);
  await store.addMembers(tx, [project.id], ids);
  await followMemberships(tx, ids);
  return ids;
}

/** Takes users out of a project within another change. */
export async function leaveProject(
  tx: TransactionSql,
  projectId: string,
  userIds: readonly string[],
): Promise<void> {
  await store.removeMembers(tx, projectId, userIds);
  await followMemberships(tx, userIds);
}

/** Makes the project in which a new domain keeps its models, within the domain's change. */
export async function addModelStore(
  tx: TransactionSql,
  note: (change: Change) => void,
  random: Random,
  domainName: string,
): Promise<void> {
  const id = random.uuid();
  const name = 'model-store';
  await store.insertProject(tx, {
    id,
    name,
    domainName,
    type: name,
    resourcePolicy: 'default',
  });
  const after = await store.updateProject(tx, id, { description: 'Model Store' });
  await giveRoles(tx, 'project', id);
  note({ entityType: ENTITY, entityId: id, operation: 'create', after });
}
