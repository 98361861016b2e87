/** Folders for a session: those it asks for, and those that are mounted into all of its owner's. */
import { BackendError, errorMessage } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import type { Caller } from '../http/route.ts';
import { listFiles, makeDirectories, mountPath } from '../storage/client.ts';
import { allowedHosts } from './hosts.ts';
import {
  type FolderMount,
  type MountWish,
  normalizeSubpath,
  permissionOf,
  targetOf,
  withoutOverlaps,
} from './mount-rules.ts';
import { isUnmanaged, statusesOf, vfidOf } from './rules.ts';
import { effectivePermission, type FolderRecord, parseFolderId, placeOf } from './service.ts';
import { selectFolders } from './store.ts';

export type { FolderMount, MountWish } from './mount-rules.ts';

/** Most folders in one session. */
const MAX_MOUNTS = 100;
const MOUNT_PERMISSION = 'mount-in-session';
/** A project's folder of this name gives each member a directory of their own. */
const PER_MEMBER = '.local';

interface SessionOwner {
  readonly owner: Caller;
  readonly projectId: string;
}

interface Chosen {
  readonly folder: FolderRecord;
  /** Null for one that is mounted automatically. */
  readonly wish: MountWish | null;
}

const notFound = (name: string) =>
  new BackendError('VFolderNotFound', `There is no folder '${name}' you may mount.`, {
    data: name,
  });

/** The folder that a wish means: the project's own goes before others of the same name. */
function pick(
  folders: readonly FolderRecord[],
  { folder: name }: MountWish,
  projectId: string,
): FolderRecord {
  const id = parseFolderId(name);
  const named = folders.filter((folder) => (id === null ? folder.name === name : folder.id === id));
  const near = named.filter(({ group }) => group === null || group === projectId);
  const [found, another] = near.length > 0 ? near : named;
  if (found === undefined) throw notFound(name);
  if (another === undefined) return found;
  throw new BackendError(
    'TooManyVFoldersFound',
    `Several folders are named '${name}'. Use the id of the one you mean.`,
  );
}

/** Whether a folder may be used in the project: personal ones, the project's, and shared models. */
function fitsProject(folder: FolderRecord, projectId: string): 'yes' | 'read-only' | 'no' {
  if (folder.group === null || folder.group === projectId) return 'yes';
  return folder.group_type === 'model-store' && folder.usage_mode === 'model' ? 'read-only' : 'no';
}

async function choose(
  ctx: ManagerContext,
  { owner, projectId }: SessionOwner,
  wishes: readonly MountWish[],
): Promise<Chosen[]> {
  const statuses = statusesOf('mountable');
  const names = wishes.map(({ folder }) => folder).filter((name) => parseFolderId(name) === null);
  const ids = wishes.flatMap(({ folder }) => parseFolderId(folder) ?? []);
  const select = (filter: object) =>
    selectFolders(ctx.sql, owner, 'own', { ...filter, statuses }, 10 * MAX_MOUNTS);
  const [byName, byId, automatic] = await Promise.all([
    names.length === 0 ? [] : select({ names }),
    ids.length === 0 ? [] : select({ ids }),
    select({ automounted: true }),
  ]);
  // What is named by id goes before the same by name, of which withoutOverlaps keeps the first.
  const isNamed = ({ folder }: MountWish) => Number(parseFolderId(folder) === null);
  const asked = [...wishes]
    .sort((a, b) => isNamed(a) - isNamed(b))
    .map((wish) => ({ folder: pick([...byName, ...byId], wish, projectId), wish }));
  for (const { folder } of asked) {
    if (fitsProject(folder, projectId) !== 'no') continue;
    throw new BackendError(
      'InvalidAPIParameters',
      `Folder '${folder.name}' belongs to project '${folder.group_name}'; start the session there to mount it.`,
    );
  }
  const known = new Set(asked.map(({ folder }) => folder.id));
  const more = automatic.filter(
    (folder) =>
      !known.has(folder.id) &&
      // Administrators see the folders of all projects, but work in this one.
      (folder.is_mine || folder.granted !== null || folder.group === projectId),
  );
  return [...asked, ...more.map((folder) => ({ folder, wish: null }))];
}

/** Leaves out, or refuses, folders of hosts whose folders the owner may not mount. */
async function checkHosts(
  ctx: ManagerContext,
  { owner, projectId }: SessionOwner,
  chosen: readonly Chosen[],
): Promise<Chosen[]> {
  if (chosen.length === 0) return [];
  const allowed = await allowedHosts(ctx.sql, owner, { projectId });
  return chosen.filter(({ folder, wish }) => {
    const isAllowed =
      folder.host.endsWith(':noop') || allowed.get(folder.host)?.has(MOUNT_PERMISSION);
    if (isAllowed) return true;
    if (wish === null) {
      ctx.log.warn('a folder is not mounted automatically', {
        folder: folder.id,
        host: folder.host,
        missing: MOUNT_PERMISSION,
      });
      return false;
    }
    throw new BackendError(
      'InsufficientStoragePermission',
      `'${MOUNT_PERMISSION}' is not allowed on storage host '${folder.host}', where folder '${folder.name}' is.`,
    );
  });
}

/** The directory of a folder that everybody shares but each has for themselves. */
async function memberSubpath(
  ctx: ManagerContext,
  folder: FolderRecord,
  owner: Caller,
): Promise<string> {
  const own = owner.userId.replaceAll('-', '');
  await makeDirectories(ctx, placeOf(folder), { relpath: own, parents: true, exist_ok: true });
  return own;
}

/** Where the folder is on the hosts. @throws BackendError when it has no such directory. */
async function hostPath(
  ctx: ManagerContext,
  folder: FolderRecord,
  subpath: string,
): Promise<string> {
  if (isUnmanaged(folder)) return folder.unmanaged_path ?? '';
  const path = await mountPath(ctx, placeOf(folder), subpath);
  if (subpath === '.') return path;
  try {
    await listFiles(ctx, placeOf(folder), subpath);
  } catch (error) {
    if (!(error instanceof BackendError) || error.status >= 500) throw error;
    throw new BackendError(
      'InvalidAPIParameters',
      `Folder '${folder.name}' has no directory '${subpath}' (subpath). Make it first.`,
      { cause: error },
    );
  }
  return path;
}

async function toMount(
  ctx: ManagerContext,
  { owner, projectId }: SessionOwner,
  { folder, wish }: Chosen,
): Promise<FolderMount> {
  const { name } = folder;
  const perMember = name === PER_MEMBER && folder.ownership_type === 'group';
  const subpath = perMember
    ? await memberSubpath(ctx, folder, owner)
    : normalizeSubpath(name, wish?.subpath ?? null);
  const foreign = fitsProject(folder, projectId) === 'read-only';
  const allowed = foreign ? 'ro' : effectivePermission(folder);
  return {
    name,
    vfid: vfidOf(folder),
    vfsubpath: subpath,
    host_path: await hostPath(ctx, folder, subpath),
    kernel_path: targetOf(name, wish?.target ?? null),
    mount_perm: permissionOf(name, allowed, wish?.permission ?? null),
    usage_mode: folder.usage_mode,
  };
}

/** One that is mounted automatically must not keep a session from starting. */
async function toMountIfPossible(
  ctx: ManagerContext,
  session: SessionOwner,
  chosen: Chosen,
): Promise<FolderMount[]> {
  try {
    return [await toMount(ctx, session, chosen)];
  } catch (error) {
    if (chosen.wish !== null) throw error;
    ctx.log.warn('a folder is not mounted automatically', {
      folder: chosen.folder.id,
      error: errorMessage(error),
    });
    return [];
  }
}

/**
 * What a session of `owner` in a project mounts: the folders asked for, then those whose names begin
 * with a dot.
 * @throws BackendError VFolderNotFound, TooManyVFoldersFound, VFolderPermissionError,
 *   InsufficientStoragePermission; InvalidAPIParameters for wrong or overlapping places and folders
 *   of other projects; what the storage proxy answers.
 */
export async function resolveMounts(
  ctx: ManagerContext,
  session: SessionOwner,
  wishes: readonly MountWish[],
): Promise<FolderMount[]> {
  if (wishes.length > MAX_MOUNTS) {
    throw new BackendError(
      'InvalidAPIParameters',
      `A session mounts at most ${MAX_MOUNTS} folders; ${wishes.length} are asked for.`,
    );
  }
  const chosen = await checkHosts(ctx, session, await choose(ctx, session, wishes));
  const mounts = await Promise.all(
    chosen.slice(0, MAX_MOUNTS).map((one) => toMountIfPossible(ctx, session, one)),
  );
  return withoutOverlaps(mounts.flat());
}
