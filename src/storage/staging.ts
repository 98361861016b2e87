/** Files that are being uploaded: they grow in a folder of their own and take their place when whole. */
import { constants } from 'node:fs';
import { lstat, open, rename, rmdir, unlink } from 'node:fs/promises';
import { errorCode } from '../common/errors.ts';
import type { Random } from '../common/random.ts';
import { entriesOf } from './files/entries.ts';
import { findPlace, inheritOwner, makeFolderLikeParent, OpenFolder } from './files/place.ts';
import { StorageError } from './problems.ts';

/** In the uploaded file's folder; goes away with the last upload. */
export const STAGING_FOLDER = '.upload';
/** A staging file that nothing was written to for so long after its token expired is deleted. */
const KEEP_MS = 24 * 3_600_000;
const FOLDER_MODE = 0o755;
const FILE_MODE = 0o644;
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants;

export interface UploadTarget {
  /** The folder that is uploaded to. */
  readonly root: string;
  /** Of the file, inside of it. */
  readonly path: string;
  /** Bytes of the whole file. */
  readonly size: number;
}

async function openStagingFolder(root: string): Promise<OpenFolder> {
  await using folder = await OpenFolder.open(root);
  try {
    return await OpenFolder.open(folder.entry(STAGING_FOLDER));
  } catch (error) {
    if (errorCode(error) !== 'ENOTDIR' && errorCode(error) !== 'ELOOP') throw error;
    throw new StorageError(
      'InvalidSubpath',
      `${STAGING_FOLDER} of this folder is not a folder, and uploads need it. Delete it first.`,
    );
  }
}

async function makeStagingFolder(root: string): Promise<OpenFolder> {
  await using folder = await OpenFolder.open(root);
  await makeFolderLikeParent(FOLDER_MODE)(folder.entry(STAGING_FOLDER), folder);
  return await openStagingFolder(root);
}

/** @throws StorageError when the path leads out of the folder or is the folder itself. */
async function checkTarget({ root, path }: UploadTarget): Promise<void> {
  try {
    await using place = await findPlace(root, path, { followLast: false });
    if (place.name === '.') {
      throw new StorageError('InvalidSubpath', 'The path of an upload names no file.');
    }
  } catch (error) {
    // Missing folders are made when the upload is complete.
    if (!(error instanceof StorageError) || error.problem !== 'FileNotFound') throw error;
  }
}

/** @param olderThan milliseconds of the epoch. */
async function deleteStale(folder: OpenFolder, olderThan: number): Promise<void> {
  for (const { path, kind } of await entriesOf(folder)) {
    if (kind !== 'file') continue;
    try {
      if ((await lstat(path)).mtimeMs < olderThan) await unlink(path);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }
}

/**
 * Prepares an upload. A file of no bytes is complete at once, since clients have nothing to send.
 * @param nowMs milliseconds of the epoch; `tokenLifetimeMs` how long the upload may go on.
 * @returns the session: the staging file's name.
 */
export async function beginUpload(
  target: UploadTarget,
  random: Random,
  nowMs: number,
  tokenLifetimeMs: number,
): Promise<string> {
  await checkTarget(target);
  const session = random.uuid().replaceAll('-', '');
  {
    await using folder = await makeStagingFolder(target.root);
    await deleteStale(folder, nowMs - tokenLifetimeMs - KEEP_MS);
    const path = folder.entry(session);
    const file = await open(path, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, FILE_MODE);
    await file.close();
    await inheritOwner(path, folder);
  }
  if (target.size === 0) await finishUpload(target, session);
  return session;
}

/** Puts the complete file in its place, making folders that are missing, and replacing what was there. */
export async function finishUpload({ root, path }: UploadTarget, session: string): Promise<void> {
  {
    await using folder = await openStagingFolder(root);
    await using place = await findPlace(root, path, {
      followLast: false,
      makeMissing: makeFolderLikeParent(FOLDER_MODE),
    });
    if (place.name === '.') {
      throw new StorageError('InvalidSubpath', 'The path of an upload names no file.');
    }
    await rename(folder.entry(session), place.path);
    await inheritOwner(place.path, place.folder);
  }
  await using folder = await OpenFolder.open(root);
  try {
    await rmdir(folder.entry(STAGING_FOLDER));
  } catch (error) {
    // Other uploads are going on, or have just removed it.
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(errorCode(error))) throw error;
  }
}
