/** The files of folders: who may do what with them; the storage proxy does it. */
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import type { Caller } from '../http/route.ts';
import * as storage from '../storage/client.ts';
import { openRemoteFile, type RemoteFile } from '../storage/read-file.ts';
import { requireHostPermission } from './hosts.ts';
import { findManagedFolder, placeOf } from './service.ts';
import { followTask } from './work.ts';

type Parameters2<F extends (...args: never[]) => unknown> = Parameters<F>[2];

/** One page of a directory; `next` is what the next page is asked for with, as `after`. */
export async function listFiles(
  ctx: ManagerContext,
  caller: Caller,
  nameOrId: string,
  { path, ...page }: { readonly path: string; readonly after?: string; readonly limit?: number },
) {
  const folder = await findManagedFolder(ctx.sql, caller, nameOrId, 'read_content');
  const relpath = path === '' ? '.' : path;
  const { items, next } = await storage.listFiles(ctx, placeOf(folder), relpath, page);
  const shown = items.map(({ name, type, stat }) => ({
    name,
    type,
    size: stat.size,
    mode: stat.mode,
    created: stat.created,
    modified: stat.modified,
  }));
  return { items: shown, next };
}

export async function makeDirectories(
  ctx: ManagerContext,
  caller: Caller,
  nameOrId: string,
  wanted: Parameters2<typeof storage.makeDirectories>,
) {
  const folder = await findManagedFolder(ctx.sql, caller, nameOrId, 'write_content', 'updatable');
  return storage.makeDirectories(ctx, placeOf(folder), wanted);
}

export async function requestUpload(
  ctx: ManagerContext,
  caller: Caller,
  nameOrId: string,
  wanted: Parameters2<typeof storage.uploadTicket>,
) {
  const folder = await findManagedFolder(ctx.sql, caller, nameOrId, 'write_content', 'updatable');
  await requireHostPermission(ctx.sql, caller, folder.host, 'upload-file', folder.group);
  return storage.uploadTicket(ctx, placeOf(folder), wanted);
}

export async function requestDownload(
  ctx: ManagerContext,
  caller: Caller,
  nameOrId: string,
  wanted: Parameters2<typeof storage.downloadTicket>,
) {
  const folder = await findManagedFolder(ctx.sql, caller, nameOrId, 'read_content');
  await requireHostPermission(ctx.sql, caller, folder.host, 'download-file', folder.group);
  return storage.downloadTicket(ctx, placeOf(folder), wanted);
}

export async function requestArchive(
  ctx: ManagerContext,
  caller: Caller,
  nameOrId: string,
  wanted: Parameters2<typeof storage.archiveTicket>,
) {
  const folder = await findManagedFolder(ctx.sql, caller, nameOrId, 'read_content');
  await requireHostPermission(ctx.sql, caller, folder.host, 'download-file', folder.group);
  return storage.archiveTicket(ctx, placeOf(folder), wanted);
}

/** One of its files, to be read; null when there is none of that name. */
export async function openFile(
  ctx: ManagerContext,
  caller: Caller,
  nameOrId: string,
  relpath: string,
): Promise<RemoteFile | null> {
  const folder = await findManagedFolder(ctx.sql, caller, nameOrId, 'read_content');
  return openRemoteFile(ctx, placeOf(folder), relpath);
}

export async function renameFile(
  ctx: ManagerContext,
  caller: Caller,
  nameOrId: string,
  wanted: Parameters2<typeof storage.renameFile>,
): Promise<void> {
  const folder = await findManagedFolder(ctx.sql, caller, nameOrId, 'write_content', 'updatable');
  await storage.renameFile(ctx, placeOf(folder), wanted);
}

export async function moveFile(
  ctx: ManagerContext,
  caller: Caller,
  nameOrId: string,
  wanted: Parameters2<typeof storage.moveFile>,
): Promise<void> {
  const folder = await findManagedFolder(ctx.sql, caller, nameOrId, 'write_content', 'updatable');
  await storage.moveFile(ctx, placeOf(folder), wanted);
}

export async function deleteFiles(
  ctx: ManagerContext,
  caller: Caller,
  nameOrId: string,
  wanted: storage.FileDeletion,
): Promise<void> {
  const folder = await findManagedFolder(ctx.sql, caller, nameOrId, 'delete_content', 'updatable');
  await storage.deleteFiles(ctx, placeOf(folder), wanted);
}

/** Begins to delete files. @returns the background task that tells how far it is. */
export async function deleteFilesLater(
  ctx: ManagerContext,
  caller: Caller,
  nameOrId: string,
  wanted: storage.FileDeletion,
): Promise<string> {
  const folder = await findManagedFolder(ctx.sql, caller, nameOrId, 'delete_content', 'updatable');
  const storageTask = await storage.deleteFilesLater(ctx, placeOf(folder), wanted);
  const name = `Deleting files of folder '${folder.name}'`;
  return ctx.tasks.start(caller, name, async (report, signal) => {
    const options = { name, signal, report };
    const { status, message } = await followTask(ctx, folder.host, storageTask, options);
    if (status === 'done') return `The files of folder '${folder.name}' are deleted.`;
    throw new BackendError('VFolderOperationFailed', message || undefined);
  });
}
