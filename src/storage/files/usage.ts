/** Counts what a folder holds. */
import { lstat } from 'node:fs/promises';
import { errorCode } from '../../common/errors.ts';
import { StorageError } from '../problems.ts';
import { eachOf, entriesOf } from './entries.ts';
import { OpenFolder } from './place.ts';

/** Deeper trees are refused: each level costs an open folder. */
export const MAX_DEPTH = 512;
const BLOCK_BYTES = 512;

export const tooDeep = (): StorageError =>
  new StorageError(
    'UnsupportedOperation',
    `Folders nested more than ${MAX_DEPTH} deep can't be read as a whole. Move some of them up first.`,
  );

export interface TreeUsage {
  /** Everything but folders. */
  files: number;
  /** Lengths of the files. */
  bytes: number;
  /** What they take on the disk. */
  diskBytes: number;
}

/**
 * Walks the tree; what vanishes meanwhile is not counted.
 * @param signal ends the walk with its reason.
 */
export async function treeUsage(path: string, signal?: AbortSignal): Promise<TreeUsage> {
  const usage: TreeUsage = { files: 0, bytes: 0, diskBytes: 0 };
  await using root = await OpenFolder.open(path);
  await addFolder(root, usage, 0, signal);
  return usage;
}

async function addFolder(
  folder: OpenFolder,
  usage: TreeUsage,
  depth: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (depth > MAX_DEPTH) throw tooDeep();
  const entries = await entriesOf(folder);
  const leaves = entries.filter(({ kind }) => kind !== 'folder');
  await eachOf(leaves, async (entry) => {
    signal?.throwIfAborted();
    try {
      const { size, blocks } = await lstat(entry.path);
      usage.files += 1;
      usage.bytes += size;
      usage.diskBytes += blocks * BLOCK_BYTES;
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  });
  for (const entry of entries) {
    if (entry.kind !== 'folder') continue;
    signal?.throwIfAborted();
    const child = await openIfThere(entry.path);
    if (child === null) continue;
    await using opened = child;
    await addFolder(opened, usage, depth + 1, signal);
  }
}

/** A folder found in a listing; null when it is gone or something else by now. */
export async function openIfThere(path: string | Buffer): Promise<OpenFolder | null> {
  try {
    return await OpenFolder.open(path);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'ELOOP'].includes(errorCode(error))) return null;
    throw error;
  }
}
