/** Making folders, and what their owners change about them. */
import { BackendError, errorMessage } from '../../common/errors.ts';
import { type ChangeContext, change } from '../audit/service.ts';
import type { ManagerContext } from '../context.ts';
import type { VfolderRow } from '../db/rows.generated.ts';
import { createFolder as createOnStorage, deleteFolder } from '../storage/client.ts';
import { type OwnershipType, readVolumeSettings } from '../storage/settings.ts';
import { requireHostPermission } from './hosts.ts';
import * as store from './manage-store.ts';
import { checkName, type FolderPermission, isAutomounted, vfidOf } from './rules.ts';
import { type FolderRecord, findFolder, readFolders } from './service.ts';
import { insertGrant } from './sharing-store.ts';

/** What the audit log calls a folder. */
export const FOLDER_ENTITY = 'vfolder';

/** Who changes something about folders. */
export interface FolderChange extends ChangeContext {
  readonly ctx: ManagerContext;
}

export interface FolderWishes {
  readonly name: string;
  /** `proxy:volume`; null is the default one. */
  readonly host: string | null;
  readonly usageMode: VfolderRow['usage_mode'];
  readonly permission: FolderPermission;
  readonly projectId: string | null;
  /** A path of the hosts in place of a folder on a volume; for administrators. */
  readonly unmanagedPath: string | null;
  readonly cloneable: boolean;
}

function invalid(message: string): BackendError {
  return new BackendError('InvalidAPIParameters', message);
}

/** Where a new folder is kept: the named host, or the default one. */
async function hostFor(by: FolderChange, wanted: string | null): Promise<string> {
  if (wanted !== null && wanted !== '') return wanted;
  const { defaultHost } = await readVolumeSettings(by.ctx.config);
  if (defaultHost !== null) return defaultHost;
  throw invalid(
    'Name the storage host of the folder (host): no default host is configured. GET /folders/_/hosts tells which you may use.',
  );
}

async function requireType(by: FolderChange, type: OwnershipType): Promise<void> {
  const { types } = await readVolumeSettings(by.ctx.config);
  if (types.includes(type)) return;
  throw invalid(
    `Folders of ${type === 'user' ? 'users' : 'projects'} are not enabled on this cluster (volumes/_types/${type}).`,
  );
}

interface Plan {
  readonly owner: store.FolderOwner;
  readonly domainName: string;
  readonly permission: FolderPermission;
  /** The creator writes although others only read. */
  readonly creatorWrites: boolean;
}

async function planForProject(
  by: FolderChange,
  wishes: Parameters<typeof planFor>[1],
  id: string,
): Promise<Plan> {
  const { caller, ctx } = by;
  const project = await store.selectProject(ctx.sql, id, caller.userId);
  const administers =
    caller.isSuperadmin || (caller.role === 'admin' && project?.domain_name === caller.domainName);
  const modelStore =
    project?.type === 'model-store' &&
    (project.is_member || project.domain_name === caller.domainName);
  if (project === null || !(administers || project.is_member || modelStore)) {
    throw new BackendError('ProjectNotFound', `There is no active project ${id} of yours.`);
  }
  if (!administers && project.type !== 'model-store') {
    throw new BackendError(
      'GenericForbidden',
      'Only administrators make folders of a project. Ask one of yours.',
    );
  }
  if (isAutomounted(wishes.name) && wishes.name !== '.local') {
    throw invalid(
      `Folders of projects cannot begin with a dot, but for .local ('${wishes.name}').`,
    );
  }
  const owner = { kind: 'project', projectId: project.id } as const;
  const common = { owner, domainName: project.domain_name };
  if (project.type !== 'model-store') {
    return { ...common, permission: wishes.permission, creatorWrites: false };
  }
  if (wishes.usageMode !== 'model') {
    throw invalid("Folders of a model store hold models: usage_mode must be 'model'.");
  }
  return { ...common, permission: 'ro', creatorWrites: true };
}

/**
 * Whose a new folder is to be, and what others may do with it.
 * @throws BackendError InvalidAPIParameters, GenericForbidden, ProjectNotFound.
 */
export async function planFor(
  by: FolderChange,
  wishes: Pick<FolderWishes, 'name' | 'usageMode' | 'permission' | 'projectId'>,
): Promise<Plan> {
  checkName(wishes.name);
  await requireType(by, wishes.projectId === null ? 'user' : 'group');
  if (wishes.projectId !== null) return planForProject(by, wishes, wishes.projectId);
  const { userId, domainName } = by.caller;
  return {
    owner: { kind: 'user', userId },
    domainName,
    permission: wishes.permission,
    creatorWrites: false,
  };
}

/** @throws BackendError InvalidAPIParameters when the owner may have no more, or the name is taken. */
export function requireRoom(limits: store.OwnerLimits, taken: boolean, name: string): void {
  if (limits.max_vfolder_count > 0 && limits.folders >= limits.max_vfolder_count) {
    throw invalid(
      `There are ${limits.folders} folders; the resource policy allows ${limits.max_vfolder_count}. Delete one for good first, or ask an administrator to raise max_vfolder_count.`,
    );
  }
  if (taken) {
    throw invalid(`A folder named '${name}' already exists. Choose another name.`);
  }
}

export const quotaScopeOf = (owner: store.FolderOwner): string =>
  owner.kind === 'user' ? `user:${owner.userId}` : `project:${owner.projectId}`;

/** Takes away from storage what was made for a folder that did not come to be. */
async function undo(ctx: ManagerContext, host: string, vfid: string): Promise<void> {
  try {
    await deleteFolder(ctx, { host, vfid });
  } catch (error) {
    ctx.log.warn('an unused folder stays on storage', { host, vfid, error: errorMessage(error) });
  }
}

/**
 * Makes a folder. @returns its id.
 * @throws BackendError InvalidAPIParameters for a wrong or taken name, without a host, and beyond the
 *   policy's limit; GenericForbidden, InsufficientStoragePermission, ProjectNotFound; what the
 *   storage proxy answers.
 */
export async function createFolder(by: FolderChange, wishes: FolderWishes): Promise<FolderRecord> {
  const { ctx, caller } = by;
  const { unmanagedPath } = wishes;
  const administers = caller.isSuperadmin || caller.role === 'admin';
  if (unmanagedPath !== null && !administers) {
    throw new BackendError(
      'GenericForbidden',
      'Only administrators make folders from a path of the hosts (unmanaged_path).',
    );
  }
  if (unmanagedPath !== null && !/^\/[^\0]*$/.test(unmanagedPath)) {
    throw invalid(`unmanaged_path must be an absolute path, not '${unmanagedPath}'.`);
  }
  const plan = await planFor(by, wishes);
  const host = await hostFor(by, wishes.host);
  await requireHostPermission(ctx.sql, caller, host, 'create-vfolder', wishes.projectId);

  const id = ctx.random.uuid();
  const quotaScopeId = quotaScopeOf(plan.owner);
  const place = { host, vfid: vfidOf({ id, quota_scope_id: quotaScopeId }) };
  // Asked before anything is made, and again under lock when it is.
  const check = async (sql: Parameters<typeof store.lockOwner>[0]) => {
    const limits = await store.lockOwner(sql, plan.owner);
    if (limits === null) throw new BackendError('ObjectNotFound', 'The owner has no policy.');
    const taken = await store.isNameTaken(sql, wishes.name, caller.userId, plan.owner);
    requireRoom(limits, taken, wishes.name);
    return limits;
  };
  const limits = await check(ctx.sql);
  if (unmanagedPath === null) {
    const quotaBytes = Number(limits.max_quota_scope_size);
    await createOnStorage(ctx, place, {
      mode: limits.container_uid === null ? 0o755 : 0o775,
      quotaBytes: quotaBytes > 0 ? quotaBytes : null,
    });
  }
  try {
    await change(by, async (tx, note) => {
      await check(tx);
      const after = await store.insertFolder(tx, {
        id,
        name: wishes.name,
        host,
        domainName: plan.domainName,
        quotaScopeId,
        usageMode: wishes.usageMode,
        permission: plan.permission,
        creator: caller.email,
        creatorId: caller.userId,
        owner: plan.owner,
        unmanagedPath,
        cloneable: wishes.cloneable,
        status: 'ready',
      });
      if (plan.creatorWrites) await insertGrant(tx, id, caller.userId, 'wd');
      note({ entityType: FOLDER_ENTITY, entityId: id, operation: 'create', after });
    });
  } catch (error) {
    if (unmanagedPath === null) await undo(ctx, host, place.vfid);
    throw error;
  }
  return readBack(by, id);
}

/** The folder as its changer now sees it. */
export async function readBack(by: FolderChange, id: string): Promise<FolderRecord> {
  const [folder] = await readFolders(by.ctx.sql, by.caller, { ids: [id] });
  if (folder) return folder;
  throw new BackendError('VFolderNotFound', undefined, { data: id });
}

/** What an owner may change. */
export interface FolderOptions {
  readonly name?: string;
  readonly permission?: FolderPermission;
  readonly cloneable?: boolean;
}

/**
 * Changes name or options of a folder.
 * @throws BackendError as `findFolder`; InvalidAPIParameters for a wrong or taken name;
 *   InsufficientStoragePermission without `modify-vfolder`.
 */
export async function modifyFolder(
  by: FolderChange,
  nameOrId: string,
  options: FolderOptions,
): Promise<void> {
  const { ctx, caller } = by;
  const folder = await findFolder(ctx.sql, caller, nameOrId, 'update_attribute', 'updatable');
  if (options.name !== undefined) checkName(options.name);
  await requireHostPermission(ctx.sql, caller, folder.host, 'modify-vfolder', folder.group);
  await change(by, async (tx, note) => {
    const owner = ownerOf(folder);
    await store.lockOwner(tx, owner);
    const before = await store.lockFolder(tx, folder.id);
    const { name } = options;
    if (name !== undefined && name !== before?.name) {
      const holder = owner.kind === 'user' ? owner.userId : caller.userId;
      if (await store.isNameTaken(tx, name, holder, owner, folder.id)) {
        throw invalid(`A folder named '${name}' already exists. Choose another name.`);
      }
      if (isAutomounted(name) && owner.kind === 'project' && name !== '.local') {
        throw invalid(`Folders of projects cannot begin with a dot, but for .local ('${name}').`);
      }
    }
    const after = await store.updateFolder(tx, folder.id, options);
    note({ entityType: FOLDER_ENTITY, entityId: folder.id, operation: 'update', before, after });
  });
}

export const ownerOf = (
  folder: Pick<VfolderRow, 'ownership_type' | 'user' | 'group'>,
): store.FolderOwner =>
  folder.ownership_type === 'user'
    ? { kind: 'user', userId: folder.user ?? '' }
    : { kind: 'project', projectId: folder.group ?? '' };

/**
 * Gives a personal folder to another user; for superadmins. It stays where it is on storage, and
 * counts there towards the quota of its first owner.
 * @throws BackendError as `findFolder`; UserNotFound; InvalidAPIParameters for a project's folder, and
 *   when the new owner uses a folder of that name.
 */
export async function changeOwner(
  by: FolderChange,
  folderId: string,
  email: string,
): Promise<void> {
  const { ctx, caller } = by;
  const folder = await findFolder(ctx.sql, caller, folderId, 'assign_permission_to_others');
  if (folder.ownership_type === 'group') {
    throw invalid('A folder of a project has no user who owns it.');
  }
  await change(by, async (tx, note) => {
    const person = await store.selectOwner(tx, email);
    if (person === null)
      throw new BackendError('UserNotFound', `There is no active user '${email}'.`);
    const owner = { kind: 'user', userId: person.uuid } as const;
    await store.lockOwner(tx, owner);
    const before = await store.lockFolder(tx, folder.id);
    if (await store.isNameTaken(tx, folder.name, person.uuid, owner, folder.id)) {
      throw invalid(`${email} uses a folder named '${folder.name}' already. Rename one of them.`);
    }
    await store.deleteGrants(tx, folder.id);
    const changes = { user: person.uuid, domain_name: person.domain_name };
    const after = await store.updateFolder(tx, folder.id, changes);
    note({ entityType: FOLDER_ENTITY, entityId: folder.id, operation: 'update', before, after });
  });
}
