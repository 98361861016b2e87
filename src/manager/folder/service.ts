/** Folders: which ones somebody sees, finding the one that is meant, and what may be done with it. */
import type { Sql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import type { Db } from '../db/connect.ts';
import type { ListPage } from '../graphql/minilang-store.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import type { Caller } from '../http/route.ts';
import { type FolderPlace, folderUsage } from '../storage/client.ts';
import * as lists from './list-store.ts';
import {
  type FolderPermission,
  type FolderPower,
  type FolderStatus,
  isUnmanaged,
  powersOf,
  type StatusSet,
  statusesOf,
  vfidOf,
} from './rules.ts';
import * as store from './store.ts';

export type { FolderRecord, Viewer } from './store.ts';

/** Largest number of folders in one answer. */
const MAX_LISTED = 10_000;
const GONE: readonly FolderStatus[] = ['delete-complete'];
const FOLDER_ID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;

/** The dashed form of a folder's id, written with dashes or without; null for anything else. */
export function parseFolderId(text: string): string | null {
  if (!FOLDER_ID.test(text)) return null;
  const hex = text.replaceAll('-', '').toLowerCase();
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** What `viewer` may do with a folder that was read for them. */
export function folderPowers(
  viewer: store.Viewer,
  folder: store.FolderRecord,
): readonly FolderPower[] {
  const domain = folder.group_domain ?? folder.domain_name;
  const ownDomain = domain === viewer.domainName;
  return powersOf({
    ownership: folder.ownership_type,
    owner: folder.is_mine,
    member: folder.is_member,
    modelStore: folder.group_type === 'model-store' && ownDomain,
    granted: folder.granted,
    permission: folder.permission,
    admin: viewer.isSuperadmin ? 'super' : viewer.role === 'admin' && ownDomain ? 'domain' : null,
  });
}

/** Whether the viewer disposes of a folder: as its owner, or as an administrator of its project. */
export const ownsFolder = (viewer: store.Viewer, folder: store.FolderRecord): boolean =>
  folder.is_mine ||
  (folder.ownership_type === 'group' &&
    folderPowers(viewer, folder).includes('assign_permission_to_others'));

/** The permission with which the viewer uses a folder. */
export function effectivePermission(folder: store.FolderRecord): FolderPermission {
  if (folder.is_mine) return folder.permission;
  if (folder.granted !== null) return folder.granted;
  const guestOfModels = folder.group_type === 'model-store' && !folder.is_member;
  return guestOfModels ? 'ro' : folder.permission;
}

export const placeOf = (folder: store.FolderRecord): FolderPlace => ({
  host: folder.host,
  vfid: vfidOf(folder),
});

/**
 * The folders that a caller uses, newest first.
 * @param options.projectId leaves out those of other projects.
 * @param options.ownerEmail lists on behalf of this user; for superadmins.
 * @throws BackendError InvalidAPIParameters when the owner is unknown or not the caller's to see.
 */
export async function listFolders(
  sql: Db,
  caller: Caller,
  options: { readonly projectId?: string | null; readonly ownerEmail?: string | null } = {},
): Promise<store.FolderRecord[]> {
  const { projectId = null, ownerEmail = null } = options;
  let viewer: store.Viewer | null = caller;
  if (ownerEmail !== null && ownerEmail !== caller.email) {
    if (!caller.isSuperadmin) {
      throw new BackendError(
        'InvalidAPIParameters',
        'Only superadmins list the folders of others (owner_user_email).',
      );
    }
    viewer = await store.selectViewer(sql, caller, ownerEmail);
    if (viewer === null) {
      throw new BackendError('InvalidAPIParameters', `There is no user '${ownerEmail}'.`);
    }
  }
  return store.selectFolders(sql, viewer, 'own', { projectId, notStatuses: GONE }, MAX_LISTED);
}

/** Any of the folders in a caller's reach, as administrators reach them. */
export const readFolders = (
  sql: Db,
  viewer: store.Viewer,
  filter: store.FolderFilter,
): Promise<store.FolderRecord[]> =>
  store.selectFolders(sql, viewer, 'all', filter, filter.ids?.length ?? MAX_LISTED);

function requirePower(caller: store.Viewer, folder: store.FolderRecord, power: FolderPower): void {
  if (folderPowers(caller, folder).includes(power)) return;
  throw new BackendError(
    'GenericForbidden',
    `Folder '${folder.name}' does not give you the permission '${power}'.`,
  );
}

function requireStatus(folder: store.FolderRecord, set: StatusSet): void {
  if (statusesOf(set).includes(folder.status)) return;
  throw new BackendError(
    'VFolderFilterStatusFailed',
    `Folder '${folder.name}' is ${folder.status}; this needs one that is ${statusesOf(set).join(', ')}.`,
  );
}

/**
 * The folder that a name or an id means, when the caller may do what `power` says and it is in a
 * fitting status. Names are looked for among the folders that the caller uses.
 * @throws BackendError VFolderNotFound also for folders out of reach, TooManyVFoldersFound,
 *   GenericForbidden, VFolderFilterStatusFailed.
 */
export async function findFolder(
  sql: Db,
  caller: store.Viewer,
  nameOrId: string,
  power: FolderPower,
  set: StatusSet = 'readable',
): Promise<store.FolderRecord> {
  const id = parseFolderId(nameOrId);
  const named = await (id === null
    ? store.selectFolders(sql, caller, 'own', { names: [nameOrId], notStatuses: GONE }, 100)
    : store.selectFolders(sql, caller, 'all', { ids: [id] }, 1));
  const [first] = named;
  if (first === undefined) {
    throw new BackendError('VFolderNotFound', `There is no folder '${nameOrId}' of yours.`, {
      data: nameOrId,
    });
  }
  const fitting = named.filter(({ status }) => statusesOf(set).includes(status));
  const [found] = fitting;
  if (found === undefined) {
    requireStatus(first, set);
    throw new BackendError('VFolderNotFound', undefined, { data: nameOrId });
  }
  if (fitting.length > 1) {
    throw new BackendError(
      'TooManyVFoldersFound',
      `${fitting.length} folders are named '${nameOrId}'. Use the id of the one you mean.`,
      {
        data: {
          matches: fitting.map(({ id: one, host, group_name }) => ({
            id: one,
            host,
            group: group_name,
          })),
        },
      },
    );
  }
  requirePower(caller, found, power);
  return found;
}

/**
 * A folder whose files are asked for.
 * @throws BackendError VFolderBadRequest for one that lies outside the storage proxies.
 */
export async function findManagedFolder(
  sql: Db,
  caller: store.Viewer,
  nameOrId: string,
  power: FolderPower,
  set: StatusSet = 'readable',
): Promise<store.FolderRecord> {
  const folder = await findFolder(sql, caller, nameOrId, power, set);
  if (!isUnmanaged(folder)) return folder;
  throw new BackendError(
    'VFolderBadRequest',
    `Folder '${folder.name}' points to a path of the hosts; its files are reached in sessions only.`,
  );
}

/** How many files a folder holds and how many bytes; zeros for one outside the storage proxies. */
export async function usageOf(ctx: ManagerContext, folder: store.FolderRecord) {
  if (isUnmanaged(folder)) return { file_count: 0, used_bytes: 0 };
  return folderUsage(ctx, placeOf(folder));
}

/**
 * One page of an older list of folders.
 * @throws BackendError InvalidAPIParameters for a wrong filter or order.
 */
export const listFolderPage = (
  sql: Sql,
  caller: Caller,
  options: Parameters<typeof lists.selectFolderPage>[2],
  page: ListPage,
) => lists.selectFolderPage(sql, caller, options, page);

/** Folders as nodes. @throws BackendError InvalidAPIParameters, InvalidCursor. */
export const listFolderNodes = (
  sql: Sql,
  caller: Caller,
  query: lists.FolderNodeQuery,
  wish: PageWish,
): Promise<Listed<store.FolderRecord>> => lists.selectFolderNodes(sql, caller, query, wish);

/** Folders of the newer schema. @throws BackendError InvalidGraphQLParameters, InvalidCursor. */
export const listFoldersV2 = (
  sql: Sql,
  caller: Caller,
  selection: lists.FolderSelection,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<store.FolderRecord>> =>
  lists.selectFoldersV2(sql, caller, selection, query, wish);

/** The folder with this id, in either notation; null when the caller does not reach it. */
export async function loadFolder(
  sql: Db,
  caller: Caller,
  text: string,
): Promise<store.FolderRecord | null> {
  const id = parseFolderId(text);
  if (id === null) return null;
  const [folder] = await readFolders(sql, caller, { ids: [id] });
  return folder ?? null;
}
