/** What can be done with single files and folders inside a folder. Every path is relative to it. */
import { lstat, mkdir, readlink, rename } from 'node:fs/promises';
import { errorCode } from '../../common/errors.ts';
import { StorageError } from '../problems.ts';
import { eachOf, kindOf, type Page, pageOf } from './entries.ts';
import { findPlace, inheritOwner, makeFolderLikeParent, OpenFolder, type Place } from './place.ts';
import { type RemoveOptions, removeEntry } from './remove.ts';

const FOLDER_MODE = 0o755;

export interface ListedFile {
  readonly name: string;
  readonly type: 'FILE' | 'DIRECTORY' | 'SYMLINK';
  readonly stat: {
    readonly mode: number;
    readonly size: number;
    readonly created: string;
    readonly modified: string;
  };
  /** Empty unless it is a link. */
  readonly symlink_target: string;
}

const said = (path: string): string => JSON.stringify(path);

function mustNotBeRoot(place: Place, path: string): void {
  if (place.name !== '.') return;
  throw new StorageError('InvalidSubpath', `${said(path)} is the folder itself, not inside it.`);
}

/** Makes folders missing on the way. */
const forWriting = { followLast: false, makeMissing: makeFolderLikeParent(FOLDER_MODE) };
const asItIs = { followLast: false };

/** @throws EEXIST; StorageError when a parent is missing, or the path leads out. */
export async function makeFolder(
  root: string,
  path: string,
  { parents, existOk }: { readonly parents: boolean; readonly existOk: boolean },
): Promise<void> {
  await using place = await findPlace(root, path, parents ? forWriting : asItIs);
  try {
    await mkdir(place.path, { mode: FOLDER_MODE });
  } catch (error) {
    if (!(existOk && errorCode(error) === 'EEXIST')) throw error;
    // A link to a folder inside counts as the folder.
    await using existing = await findPlace(root, path);
    await using _folder = await OpenFolder.open(existing.path);
    return;
  }
  await inheritOwner(place.path, place.folder);
}

/** A page of the entries of a folder; `next` is the name after which the next page begins. */
export async function listFolder(
  root: string,
  path: string,
  page: Page,
): Promise<{ items: ListedFile[]; next: string | null }> {
  await using place = await findPlace(root, path);
  await using folder = await openListed(place, path);
  const { entries, hasMore } = await pageOf(folder, page);
  const items: (ListedFile | null)[] = [];
  await eachOf([...entries.entries()], async ([at, entry]) => {
    items[at] = await describe(entry.name, entry.path);
  });
  const next = hasMore ? (entries.at(-1)?.name ?? null) : null;
  return { items: items.filter((item) => item !== null), next };
}

async function openListed(place: Place, path: string): Promise<OpenFolder> {
  try {
    return await OpenFolder.open(place.path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    throw new StorageError('FileNotFound', `There is no ${said(path)}.`);
  }
}

/** Null when the entry went away since it was listed. */
async function describe(name: string, path: string | Buffer): Promise<ListedFile | null> {
  try {
    const info = await lstat(path);
    const kind = kindOf(info);
    const target = kind === 'link' ? await readlink(path) : '';
    const type = { file: 'FILE', folder: 'DIRECTORY', link: 'SYMLINK', other: 'FILE' } as const;
    return {
      name,
      type: type[kind],
      stat: {
        mode: info.mode,
        size: info.size,
        created: info.ctime.toISOString(),
        modified: info.mtime.toISOString(),
      },
      symlink_target: target,
    };
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'EINVAL') return null;
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

async function mustExist(place: Place, path: string): Promise<void> {
  if (await exists(place.path)) return;
  throw new StorageError('FileNotFound', `There is no ${said(path)}.`);
}

/** Renames without replacing anything, as well as the system can promise it. */
async function moveTo(from: Place, to: Place, path: string): Promise<void> {
  if (await exists(to.path)) {
    throw new StorageError('InvalidParameters', `There is a ${said(path)} already.`);
  }
  await rename(from.path, to.path);
}

/** Gives the file or folder at `path` another name in the same folder. Links are renamed, not followed. */
export async function renameFile(root: string, path: string, newName: string): Promise<void> {
  if (newName.includes('/') || newName === '' || newName === '.' || newName === '..') {
    throw new StorageError(
      'InvalidParameters',
      `${said(newName)} can't be a name. To put a file elsewhere, move it.`,
    );
  }
  await using from = await findPlace(root, path, asItIs);
  mustNotBeRoot(from, path);
  await mustExist(from, path);
  await moveTo(from, { ...from, name: newName, path: from.folder.entry(newName) }, newName);
}

/** Moves a file or folder; missing folders of the target are made. Onto a folder means into it. */
export async function moveFile(root: string, fromPath: string, toPath: string): Promise<void> {
  await using from = await findPlace(root, fromPath, asItIs);
  mustNotBeRoot(from, fromPath);
  await mustExist(from, fromPath);
  await using to = await findPlace(root, toPath, forWriting);
  const isFolder = to.name === '.' || (await kindAt(to.path)) === 'folder';
  if (!isFolder) return await moveTo(from, to, toPath);
  const inside = `${toPath}/${from.name}`;
  await using into = await findPlace(root, inside, asItIs);
  await moveTo(from, into, inside);
}

async function kindAt(path: string) {
  return (await exists(path)) ? kindOf(await lstat(path)) : null;
}

/**
 * Deletes files; folders only when `recursive`, else they are passed over. What is not there is not
 * missed, so that a repeated request succeeds.
 */
export async function deleteFiles(
  root: string,
  paths: readonly string[],
  options: RemoveOptions & { readonly recursive: boolean },
): Promise<void> {
  for (const path of paths) {
    await using place = await findDoomed(root, path);
    const kind = place && (await kindAt(place.path));
    if (!place || !kind || (kind === 'folder' && !options.recursive)) continue;
    await removeEntry({ name: place.name, path: place.path, kind }, options);
  }
}

/** Where something to be deleted is; null when a folder on the way is missing. */
export async function findDoomed(root: string, path: string): Promise<Place | null> {
  try {
    const place = await findPlace(root, path, asItIs);
    try {
      mustNotBeRoot(place, path);
    } catch (error) {
      await place[Symbol.asyncDispose]();
      throw error;
    }
    return place;
  } catch (error) {
    if (error instanceof StorageError && error.problem === 'FileNotFound') return null;
    throw error;
  }
}
