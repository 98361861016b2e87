/**
 * Deletes trees of any size and depth. Links are deleted, never followed; folders that are nested too
 * deeply to keep all of them open are moved up first.
 */
import { chmod, lstat, mkdir, rename, rmdir, unlink } from 'node:fs/promises';
import { errorCode } from '../../common/errors.ts';
import { StorageError } from '../problems.ts';
import { type Entry, eachOf, entriesOf, kindOf } from './entries.ts';
import { OpenFolder } from './place.ts';

const MAX_OPEN_LEVELS = 64;
/** A folder that is never empty after so many passes is being written to. */
const MAX_PASSES = 100;

export interface RemoveOptions {
  /** A folder of ours on the same file system, for what is moved up; emptied as well. */
  readonly attic: string;
  /** Told about each batch of deleted entries. */
  readonly onRemoved?: (entries: number) => void;
  readonly signal?: AbortSignal;
}

const GONE = new Set(['ENOENT', 'ENOTDIR']);

async function ignoringGone(action: Promise<unknown>): Promise<void> {
  try {
    await action;
  } catch (error) {
    if (!GONE.has(errorCode(error))) throw error;
  }
}

class Removal {
  readonly #options: RemoveOptions;
  #movedUp = 0;

  constructor(options: RemoveOptions) {
    this.#options = options;
  }

  /** Deletes the entry, whatever it is. Gone already is fine. */
  async entry(entry: Entry, depth: number): Promise<void> {
    if (entry.kind !== 'folder') return await ignoringGone(unlink(entry.path));
    if (depth >= MAX_OPEN_LEVELS) return await this.#moveUp(entry);
    await this.#folder(entry, depth);
    await ignoringGone(rmdir(entry.path));
  }

  async #moveUp({ path }: Entry): Promise<void> {
    const { attic } = this.#options;
    await mkdir(attic, { recursive: true, mode: 0o700 });
    this.#movedUp += 1;
    // Restarts begin to count again; a taken name is a folder that is not empty.
    for (let attempt = 0; attempt < 1000; attempt++) {
      try {
        return await rename(path, `${attic}/${this.#movedUp}-${attempt}`);
      } catch (error) {
        if (errorCode(error) === 'ENOENT') return;
        if (!['ENOTEMPTY', 'EEXIST'].includes(errorCode(error))) throw error;
      }
    }
    throw new Error(`no name is left in ${attic}`);
  }

  async #folder(entry: Entry, depth: number): Promise<void> {
    const opened = await openWritable(entry.path);
    if (opened === null) return;
    await using folder = opened;
    await this.contents(folder, depth + 1);
  }

  async contents(folder: OpenFolder, depth: number): Promise<void> {
    for (let pass = 0; pass < MAX_PASSES; pass++) {
      const entries = await entriesOf(folder);
      if (entries.length === 0) return;
      const leaves = entries.filter(({ kind }) => kind !== 'folder');
      await eachOf(leaves, async (leaf) => {
        this.#options.signal?.throwIfAborted();
        await this.entry(leaf, depth);
      });
      this.#options.onRemoved?.(leaves.length);
      for (const entry of entries) {
        if (entry.kind !== 'folder') continue;
        this.#options.signal?.throwIfAborted();
        await this.entry(entry, depth);
        this.#options.onRemoved?.(1);
      }
    }
    throw new StorageError(
      'UnsupportedOperation',
      'The folder is written to while it is being deleted. End what writes to it and try again.',
    );
  }

  /** What was moved up may again be deep. */
  async attic(): Promise<void> {
    for (let pass = 0; this.#movedUp > 0; pass++) {
      if (pass >= 1000) throw new Error('the tree is too deep to be deleted');
      const { attic } = this.#options;
      const before = `${attic}.${pass}`;
      await rename(attic, before);
      this.#movedUp = 0;
      await this.entry({ name: '', path: before, kind: 'folder' }, 0);
    }
  }
}

/** Opens a folder and makes sure that its owner may list and empty it; null when it is gone. */
async function openWritable(path: string | Buffer): Promise<OpenFolder | null> {
  try {
    const folder = await OpenFolder.open(path);
    const { mode, uid } = await folder.stat();
    if ((mode & 0o700) !== 0o700 && uid === process.getuid?.()) {
      await chmod(`${folder.path}/.`, 0o700).catch(() => chmod(folder.path, 0o700));
    }
    return folder;
  } catch (error) {
    if (GONE.has(errorCode(error)) || errorCode(error) === 'ELOOP') return null;
    throw error;
  }
}

/**
 * Deletes `path` and everything below it; nothing there is fine. What is deleted by a failure stays deleted.
 * @throws the signal's reason, or the failure to delete an entry.
 */
export async function removeTree(path: string, options: RemoveOptions): Promise<void> {
  try {
    await removeEntry({ name: path, path, kind: kindOf(await lstat(path)) }, options);
  } catch (error) {
    if (!GONE.has(errorCode(error))) throw error;
  }
}

/** Deletes one entry of an opened folder, found in a listing or named by a place. */
export async function removeEntry(entry: Entry, options: RemoveOptions): Promise<void> {
  const removal = new Removal(options);
  await removal.entry(entry, 0);
  await removal.attic();
}
