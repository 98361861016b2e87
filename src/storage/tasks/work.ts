/**
 * The three long pieces of work on folders. Each has a first step that is quick, and a long one that
 * can be cut off anywhere and begun again.
 */
import { lstat, mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { errorCode } from '../../common/errors.ts';
import { formatSize } from '../../common/sizes.ts';
import { findDoomed } from '../files/operations.ts';
import { removeTree } from '../files/remove.ts';
import { treeUsage } from '../files/usage.ts';
import { type FolderId, folderId } from '../ids.ts';
import { isOutOfSpace, StorageError } from '../problems.ts';
import type { Volume } from '../volumes/volume.ts';
import type { JournalEntry, Work } from './journal.ts';
import type { Task } from './task.ts';

interface Progress {
  readonly task: Task;
  readonly signal: AbortSignal;
}

type WorkOf<N extends Work['name']> = Extract<Work, { name: N }>;

const idOf = (text: string): FolderId => v.parse(folderId, text);

/** Where a task puts what it deletes of a folder. */
const trashOf = (volume: Volume, folder: FolderId, id: string): string =>
  join(volume.trashPath(folder.scope), id);

async function kindOfPath(path: string): Promise<'folder' | 'leaf' | null> {
  try {
    return (await lstat(path)).isDirectory() ? 'folder' : 'leaf';
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Moves `path` to the trash; nothing there is fine. */
async function discard(path: string, trash: string, name: string): Promise<void> {
  // The trash may lie in a quota scope, which must not come into being with it.
  if ((await kindOfPath(path)) === null) return;
  await mkdir(trash, { recursive: true, mode: 0o700 });
  try {
    await rename(path, join(trash, name));
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}

async function discardFolder(volume: Volume, id: string, { folder }: WorkOf<'delete_vfolder'>) {
  try {
    await discard(volume.folderPath(idOf(folder)), trashOf(volume, idOf(folder), id), 'folder');
  } catch (error) {
    // Overlay file systems cannot move what an image came with, and a quota of files may leave no room
    // for the trash: it is deleted where it is.
    if (errorCode(error) !== 'EXDEV' && !isOutOfSpace(error)) throw error;
  }
}

async function discardFiles(
  volume: Volume,
  id: string,
  { folder, paths, recursive }: WorkOf<'delete_files'>,
): Promise<void> {
  const root = await volume.requireFolder(idOf(folder));
  const trash = trashOf(volume, idOf(folder), id);
  // Everything is looked at before anything is moved: a wrong path refuses the whole request.
  for (const path of paths) await (await findDoomed(root, path))?.[Symbol.asyncDispose]();
  for (const [index, path] of paths.entries()) {
    await using place = await findDoomed(root, path);
    if (place === null) continue;
    if (!recursive && (await kindOfPath(place.path)) === 'folder') continue;
    try {
      await discard(place.path, trash, `${index}`);
    } catch (error) {
      // A quota of files leaves no room for the trash: what is asked for is deleted at once.
      if (!isOutOfSpace(error)) throw error;
      await removeTree(place.path, { attic: trash });
    }
  }
}

async function checkClone(volume: Volume, { folder, target }: WorkOf<'clone_vfolder'>) {
  await volume.requireFolder(idOf(folder));
  const wanted = idOf(target);
  if (await kindOfPath(volume.folderPath(wanted))) {
    throw new StorageError('VFolderExists', `There is a folder ${target} already.`);
  }
  if (wanted.scope) await volume.ensureScope(wanted.scope);
}

/**
 * The first step, done before the request is answered.
 * @throws StorageError when the work cannot be begun.
 */
export async function prepare(volume: Volume, { id, work }: JournalEntry): Promise<void> {
  if (work.name === 'delete_vfolder') await discardFolder(volume, id, work);
  else if (work.name === 'delete_files') await discardFiles(volume, id, work);
  else await checkClone(volume, work);
}

/**
 * The first step again, after the proxy was cut off. Only a deleted folder is moved again, since its
 * id never comes back; a file of the same name may be another one by now.
 */
export async function prepareAgain(volume: Volume, { id, work }: JournalEntry): Promise<void> {
  if (work.name === 'delete_vfolder') await discardFolder(volume, id, work);
}

/** The long step. @throws the signal's reason, or why it failed for good. */
export async function run(volume: Volume, { id, work }: JournalEntry, progress: Progress) {
  if (work.name === 'clone_vfolder') return await clone(volume, id, work, progress);
  const folder = idOf(work.folder);
  const trash = trashOf(volume, folder, id);
  await empty(trash, `${trash}.attic`, progress);
  if (work.name === 'delete_files') return;
  await empty(volume.folderPath(folder), `${trash}.attic`, progress);
  await volume.pruneAbove(folder);
}

async function empty(path: string, attic: string, { task, signal }: Progress): Promise<void> {
  await removeTree(path, { attic, signal, onRemoved: (entries) => task.advance(entries) });
}

/** Deletes everything in the trash but what the noted tasks deal with. */
export async function emptyTrash(
  volume: Volume,
  noted: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<void> {
  for (const trash of await volume.trashPaths()) await emptyOne(trash, noted, signal);
}

async function emptyOne(
  trash: string,
  noted: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<void> {
  const names = await readdir(trash).catch((error: unknown): string[] => {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  });
  for (const name of names) {
    // What a task moved up lies beside its own folder: `<id>.attic`.
    const [id = ''] = name.split('.');
    if (noted.has(id)) continue;
    await removeTree(join(trash, name), { attic: join(trash, `${name}.attic`), signal });
  }
}

async function clone(
  volume: Volume,
  id: string,
  { folder, target }: WorkOf<'clone_vfolder'>,
  { task, signal }: Progress,
): Promise<void> {
  const wanted = idOf(target);
  // An earlier run may have come as far as the last step.
  if (await kindOfPath(volume.folderPath(wanted))) return;
  const source = await volume.requireFolder(idOf(folder));
  const { files, diskBytes } = await treeUsage(source, signal);
  const free = await volume.freeBytes(wanted.scope);
  if (diskBytes > free) {
    throw new StorageError(
      'NotEnoughSpace',
      `The folder takes ${formatSize(diskBytes)}, and ${formatSize(free)} are free on ${volume.name}.`,
    );
  }
  task.expect(files);
  // Beside the folders of its owner, so that the owner's quota counts it from the first byte on.
  const around = wanted.scope ? volume.scopePath(wanted.scope) : volume.privatePath();
  const staging = join(around, `.clone-${id}`);
  const attic = `${staging}.attic`;
  await removeTree(staging, { attic });
  await mkdir(staging, { mode: 0o700 });
  try {
    await volume.copyFolder(source, staging, signal, (copied) => task.advance(copied));
    await volume.makeFolder(wanted, (path) => rename(staging, path));
  } catch (error) {
    await removeTree(staging, { attic });
    throw error;
  }
}
