/** Files that are being uploaded: they grow in a folder of their own and take their place when whole. */
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, rename, rm, rmdir, unlink } from 'node:fs/promises';
import { errorCode } from '../common/errors.ts';
import type { Random } from '../common/random.ts';
import { entriesOf } from './files/entries.ts';
import {
  findPlace,
  inheritOwner,
  makeFolderLikeParent,
  OpenFolder,
  splitPath,
} from './files/place.ts';
import { mustBeSynced } from './files/safety.ts';
import { StorageError } from './problems.ts';

/** In the uploaded file's folder; goes away with the last upload. */
export const STAGING_FOLDER = '.upload';
/** A staging file that nothing was written to for so long after its token expired is deleted. */
const KEEP_MS = 24 * 3_600_000;
const FOLDER_MODE = 0o755;
const FILE_MODE = 0o644;
/** Of making a staging file beside uploads that end; a folder that is gone fails all of them. */
const MAX_ATTEMPTS = 100;
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;

export interface UploadTarget {
  /** The folder that is uploaded to. */
  readonly root: string;
  /** Of the file, inside of it. */
  readonly path: string;
  /** Bytes of the whole file. */
  readonly size: number;
  /** Whether it is a tar whose files take their places below `path`. */
  readonly unpacks?: boolean;
}

export async function openStagingFolder(root: string): Promise<OpenFolder> {
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
async function checkTarget({ root, path, unpacks }: UploadTarget): Promise<void> {
  try {
    await using place = await findPlace(root, path, { followLast: false });
    if (place.name === '.' && !unpacks) {
      throw new StorageError('InvalidSubpath', 'The path of an upload names no file.');
    }
  } catch (error) {
    if (!(error instanceof StorageError) || error.problem !== 'FileNotFound') throw error;
    // Missing folders are made when the upload is complete; what `..` means among them is known now.
    if (!splitPath(path).includes('..')) return;
    throw new StorageError('InvalidSubpath', `There is no way by ${JSON.stringify(path)}.`);
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

/** @param staleBefore milliseconds of the epoch; what is older goes. */
async function makeStagingFile(root: string, session: string, staleBefore: number): Promise<void> {
  await using folder = await makeStagingFolder(root);
  await deleteStale(folder, staleBefore);
  const path = folder.entry(session);
  const file = await open(path, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, FILE_MODE);
  await file.close();
  await inheritOwner(path, folder);
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
  for (let attempt = 1; ; attempt += 1) {
    try {
      await makeStagingFile(target.root, session, nowMs - tokenLifetimeMs - KEEP_MS);
      break;
    } catch (error) {
      // Another upload was the last one, and took the folder away before the file was in it.
      if (errorCode(error) !== 'ENOENT' || attempt === MAX_ATTEMPTS) throw error;
    }
  }
  if (target.size === 0) await finishUpload(target, session, null);
  return session;
}

/**
 * Opens a staging file for writing at its end.
 * @returns null when there is none: it was finished, deleted, or never begun.
 */
export async function openStaging(root: string, session: string): Promise<FileHandle | null> {
  try {
    await using folder = await openStagingFolder(root);
    const file = await open(folder.entry(session), O_RDWR | O_NOFOLLOW | O_NONBLOCK);
    const info = await file.stat();
    // Somebody in a session may have put another file there, to have it written to.
    if (info.isFile() && info.nlink === 1) return file;
    await file.close();
    return null;
  } catch (error) {
    if (['ENOENT', 'ELOOP', 'ENXIO'].includes(errorCode(error))) return null;
    throw error;
  }
}

/**
 * Whether the upload took its place already, as far as the file there tells: it has the right size and
 * was written after the upload began. Then a client whose last answer got lost is told so.
 */
export async function isFinished(target: UploadTarget, begunMs: number): Promise<boolean> {
  try {
    await using place = await findPlace(target.root, target.path, { followLast: false });
    const info = await lstat(place.path);
    return info.isFile() && info.size === target.size && info.mtimeMs >= begunMs;
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || error instanceof StorageError) return false;
    throw error;
  }
}

/** An archive that was unpacked, or cannot be. */
export async function discardArchive(root: string, session: string): Promise<void> {
  {
    await using staging = await openStagingFolder(root);
    await rm(staging.entry(session), { force: true });
  }
  await removeEmptyStagingFolder(root);
}

/**
 * Puts the complete file in its place, making folders that are missing, and replacing what was there.
 * @param file the opened staging file; null for an empty one, which needs no disk.
 */
export async function finishUpload(
  target: UploadTarget,
  session: string,
  file: FileHandle | null,
): Promise<void> {
  const { root, path } = target;
  {
    await using folder = await openStagingFolder(root);
    await using place = await findPlace(root, path, {
      followLast: false,
      makeMissing: makeFolderLikeParent(FOLDER_MODE),
    });
    if (place.name === '.') {
      throw new StorageError('InvalidSubpath', 'The path of an upload names no file.');
    }
    if (file && (await mustBeSynced(place.path, place.folder))) await file.datasync();
    await rename(folder.entry(session), place.path);
    await inheritOwner(place.path, place.folder);
  }
  await removeEmptyStagingFolder(root);
}

async function removeEmptyStagingFolder(root: string): Promise<void> {
  await using folder = await OpenFolder.open(root);
  try {
    await rmdir(folder.entry(STAGING_FOLDER));
  } catch (error) {
    // Other uploads are going on, or have just removed it.
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(errorCode(error))) throw error;
  }
}
