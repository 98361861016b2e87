/** The end of folders and their copies: trash, restoring, deletion for good, purging, cloning. */
import type { TransactionSql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import { change } from '../audit/service.ts';
import type { VfolderRow } from '../db/rows.generated.ts';
import { parseHost } from '../storage/settings.ts';
import { requireHostPermission } from './hosts.ts';
import { FOLDER_ENTITY, type FolderChange, planFor, quotaScopeOf, requireRoom } from './manage.ts';
import * as store from './manage-store.ts';
import {
  type FolderPermission,
  type FolderStatus,
  isUnmanaged,
  type StatusSet,
  statusesOf,
} from './rules.ts';
import { type FolderRecord, findFolder } from './service.ts';
import { insertGrant } from './sharing-store.ts';
import { carryOut } from './work.ts';
import { insertWork } from './work-store.ts';

/** How many sessions an error message names. */
const MAX_NAMED = 5;

/** What is stored while a folder is `mounted`, which follows from the sessions, is `ready`. */
const storedStatuses = (set: StatusSet): FolderStatus[] =>
  statusesOf(set).filter((status) => status !== 'mounted');

async function requireUnmounted(tx: TransactionSql, folder: FolderRecord): Promise<void> {
  const sessions = await store.selectMountingSessions(tx, folder.id, MAX_NAMED);
  if (sessions.length === 0) return;
  throw new BackendError(
    'VFolderDeletionNotAllowed',
    `Folder '${folder.name}' is mounted by ${sessions.join(', ')}. End these sessions first.`,
    { data: { sessions } },
  );
}

/** Moves a folder that was found to another status, within one change. */
async function move(
  by: FolderChange,
  folder: FolderRecord,
  step: {
    readonly from: StatusSet;
    readonly to: FolderStatus;
    readonly operation: 'update' | 'delete';
  },
  more: (tx: TransactionSql) => Promise<void> = async () => {},
): Promise<void> {
  await change(by, async (tx, note) => {
    const before = await store.lockFolder(tx, folder.id);
    await more(tx);
    const after = await store.updateStatus(tx, folder.id, storedStatuses(step.from), step.to);
    if (after === null) {
      throw new BackendError(
        'VFolderFilterStatusFailed',
        `Folder '${folder.name}' is ${before?.status ?? 'gone'} by now.`,
      );
    }
    note({
      entityType: FOLDER_ENTITY,
      entityId: folder.id,
      operation: step.operation,
      before,
      after,
    });
  });
}

/**
 * Moves a folder to the trash.
 * @throws BackendError as `findFolder`; VFolderDeletionNotAllowed while a session mounts it;
 *   InsufficientStoragePermission without `delete-vfolder`.
 */
export async function trashFolder(by: FolderChange, nameOrId: string): Promise<void> {
  const { ctx, caller } = by;
  const folder = await findFolder(ctx.sql, caller, nameOrId, 'delete_vfolder', 'deletable');
  await requireHostPermission(ctx.sql, caller, folder.host, 'delete-vfolder', folder.group);
  const step = { from: 'deletable', to: 'delete-pending', operation: 'delete' } as const;
  await move(by, folder, step, (tx) => requireUnmounted(tx, folder));
}

/** Takes a folder out of the trash. @throws BackendError as `findFolder`, or when its name is taken. */
export async function restoreFolder(by: FolderChange, nameOrId: string): Promise<void> {
  const { ctx, caller } = by;
  const folder = await findFolder(ctx.sql, caller, nameOrId, 'delete_vfolder', 'recoverable');
  await requireHostPermission(ctx.sql, caller, folder.host, 'delete-vfolder', folder.group);
  await move(by, folder, { from: 'recoverable', to: 'ready', operation: 'update' });
}

/** What a deletion for good takes: from the trash only, or, with `force`, from anywhere. */
export interface Deletion {
  readonly force: boolean;
}

/**
 * Begins to delete a folder for good. @returns the background task that tells how far it is.
 * @throws BackendError as `findFolder`; VFolderDeletionNotAllowed while a session mounts it;
 *   InsufficientStoragePermission without `delete-vfolder`.
 */
export async function deleteForever(
  by: FolderChange,
  nameOrId: string,
  { force }: Deletion,
): Promise<string> {
  const { ctx, caller } = by;
  const set = force ? await deletableNow(by, nameOrId) : 'recoverable';
  const folder = await findFolder(ctx.sql, caller, nameOrId, 'delete_vfolder', set);
  await requireHostPermission(ctx.sql, caller, folder.host, 'delete-vfolder', folder.group);
  const step = { from: set, to: 'delete-ongoing', operation: 'delete' } as const;
  await move(by, folder, step, async (tx) => {
    await requireUnmounted(tx, folder);
    await store.deleteGrants(tx, folder.id);
    await insertWork(tx, folder.id, 'delete', null);
  });
  return ctx.tasks.start(caller, `Deleting folder '${folder.name}'`, (report, signal) =>
    carryOut(ctx, folder.id, signal, report),
  );
}

/** Where a folder that is deleted by force is: in the trash or still in use. */
async function deletableNow(by: FolderChange, nameOrId: string): Promise<StatusSet> {
  const { ctx, caller } = by;
  const folder = await findFolder(ctx.sql, caller, nameOrId, 'delete_vfolder', 'readable');
  return folder.status === 'delete-pending' ? 'recoverable' : 'deletable';
}

/**
 * Forgets a folder; for administrators. One in the trash is deleted from storage first.
 * @throws BackendError GenericForbidden, and as `findFolder`.
 */
export async function purgeFolder(by: FolderChange, nameOrId: string): Promise<void> {
  const { ctx, caller } = by;
  if (!caller.isSuperadmin && caller.role !== 'admin') {
    throw new BackendError(
      'InsufficientPrivilege',
      'Only administrators purge folders. Delete it from the trash instead.',
    );
  }
  const folder = await findFolder(ctx.sql, caller, nameOrId, 'delete_vfolder', 'purgable');
  if (folder.status === 'delete-pending' && !isUnmanaged(folder)) {
    await deleteForever(by, folder.id, { force: false });
    return;
  }
  await change(by, async (tx, note) => {
    const before = await store.lockFolder(tx, folder.id);
    if (before === null || !statusesOf('purgable').some((status) => status === before.status)) {
      throw new BackendError('VFolderFilterStatusFailed', `Folder '${folder.name}' has changed.`);
    }
    await store.deleteFolderRow(tx, folder.id);
    note({ entityType: FOLDER_ENTITY, entityId: folder.id, operation: 'purge', before });
  });
}

export interface CloneWishes {
  readonly name: string;
  /** `proxy:volume`; null is where the source is. */
  readonly host: string | null;
  /** Null is that of the source. */
  readonly usageMode: VfolderRow['usage_mode'] | null;
  readonly permission: FolderPermission;
  readonly cloneable: boolean;
  /** Whose the copy is; null: the caller's. */
  readonly projectId: string | null;
}

/**
 * Begins to copy a folder into one of the caller's own, or of a project. @returns the copy's row and the background
 * task that tells how far it is.
 * @throws BackendError as `findFolder` and `createFolder`; GenericForbidden when it is not cloneable;
 *   InvalidAPIParameters for a wrong or taken name, another volume, or beyond the policy's limit;
 *   InsufficientStoragePermission without `create-vfolder`.
 */
export async function cloneFolder(
  by: FolderChange,
  nameOrId: string,
  wishes: CloneWishes,
): Promise<{ readonly copy: VfolderRow; readonly taskId: string }> {
  const { ctx, caller } = by;
  const source = await findFolder(ctx.sql, caller, nameOrId, 'clone', 'updatable');
  if (!source.cloneable) {
    throw new BackendError(
      'GenericForbidden',
      `Folder '${source.name}' may not be cloned. Its owner can allow it (update-options, cloneable).`,
    );
  }
  if (isUnmanaged(source)) {
    throw new BackendError('VFolderBadRequest', 'A path of the hosts cannot be cloned.');
  }
  const usageMode = wishes.usageMode ?? source.usage_mode;
  const plan = await planFor(by, { ...wishes, usageMode });
  const host = wishes.host || source.host;
  parseHost(host);
  if (host !== source.host) {
    throw new BackendError(
      'InvalidAPIParameters',
      `A folder is cloned within its volume: '${source.host}', not '${host}'.`,
    );
  }
  await requireHostPermission(ctx.sql, caller, host, 'create-vfolder', wishes.projectId);
  const { owner } = plan;
  const copy = await change(by, async (tx, note) => {
    const limits = await store.lockOwner(tx, owner);
    if (limits === null) throw new BackendError('ObjectNotFound', 'The owner has no policy.');
    const taken = await store.isNameTaken(tx, wishes.name, caller.userId, owner);
    requireRoom(limits, taken, wishes.name);
    await store.lockFolder(tx, source.id);
    const moved = await store.updateStatus(tx, source.id, storedStatuses('updatable'), 'cloning');
    if (moved === null) {
      throw new BackendError('VFolderFilterStatusFailed', `Folder '${source.name}' is in use.`);
    }
    const after = await store.insertFolder(tx, {
      id: ctx.random.uuid(),
      name: wishes.name,
      host,
      domainName: plan.domainName,
      quotaScopeId: quotaScopeOf(owner),
      usageMode,
      permission: plan.permission,
      creator: caller.email,
      creatorId: caller.userId,
      owner,
      unmanagedPath: null,
      cloneable: wishes.cloneable,
      status: 'cloning',
    });
    if (plan.creatorWrites) await insertGrant(tx, after.id, caller.userId, 'wd');
    await insertWork(tx, after.id, 'clone', source.id);
    note({ entityType: FOLDER_ENTITY, entityId: after.id, operation: 'create', after });
    return after;
  });
  const title = `Cloning folder '${source.name}' into '${wishes.name}'`;
  const taskId = await ctx.tasks.start(caller, title, (report, signal) =>
    carryOut(ctx, copy.id, signal, report),
  );
  return { copy, taskId };
}
