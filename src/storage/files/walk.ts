/** Goes through a tree for an archive: every file opened, one at a time, without leaving the folder. */
import type { Stats } from 'node:fs';
import { type FileHandle, lstat, readlink } from 'node:fs/promises';
import { errorCode } from '../../common/errors.ts';
import { StorageError } from '../problems.ts';
import { type Entry, entriesOf } from './entries.ts';
import { findPlace, type OpenFolder, openRegularFile } from './place.ts';
import { MAX_DEPTH, openIfThere, tooDeep } from './usage.ts';

export type Walked = {
  /** Parts joined by slashes, from where the walk began. */
  readonly name: string;
  readonly info: Stats;
} & (
  | { readonly kind: 'file'; readonly file: FileHandle }
  /** One that holds nothing. */
  | { readonly kind: 'folder' }
  | { readonly kind: 'link'; readonly target: string }
);

export interface WalkTreeOptions {
  /** The folder that nothing leads out of. */
  readonly root: string;
  /** Where in it names begin. */
  readonly top: readonly string[];
  /** Files and folders below `top`; `.` is itself. */
  readonly names: readonly string[];
  /**
   * Files that links inside the folder lead to appear in the links' place. False: links appear as
   * links. Either way those that lead to folders or out are never followed.
   */
  readonly followsLinks: boolean;
}

const joined = (...parts: string[]): string => parts.filter((part) => part !== '').join('/');

/** Passes over what went away or became something else since it was listed. */
async function unlessGone<T>(action: () => Promise<T>): Promise<T | null> {
  try {
    return await action();
  } catch (error) {
    const isGone = error instanceof StorageError || ['ENOENT', 'EINVAL'].includes(errorCode(error));
    if (isGone) return null;
    throw error;
  }
}

class TreeWalk {
  readonly #options: WalkTreeOptions;

  constructor(options: WalkTreeOptions) {
    this.#options = options;
  }

  async *folder(
    folder: OpenFolder,
    name: string,
    trail: readonly string[],
    depth: number,
  ): AsyncGenerator<Walked> {
    if (depth > MAX_DEPTH) throw tooDeep();
    const entries = (await entriesOf(folder)).sort((a, b) => (a.name < b.name ? -1 : 1));
    if (entries.length === 0 && name !== '') {
      yield { kind: 'folder', name, info: await folder.stat() };
    }
    for (const entry of entries) {
      const path = joined(name, entry.name);
      if (entry.kind === 'folder') {
        const child = await openIfThere(entry.path);
        if (child === null) continue;
        await using opened = child;
        yield* this.folder(opened, path, [...trail, entry.name], depth + 1);
        continue;
      }
      const found = await unlessGone(() => this.#leaf(entry, path, [...trail, entry.name]));
      if (found) yield found;
    }
  }

  async #leaf(entry: Entry, name: string, trail: readonly string[]): Promise<Walked | null> {
    if (entry.kind === 'file') return await this.#opened(entry.path, name);
    if (entry.kind !== 'link') return null;
    if (!this.#options.followsLinks) {
      const info = await lstat(entry.path);
      return { kind: 'link', name, info, target: await readlink(entry.path) };
    }
    await using place = await findPlace(this.#options.root, trail.join('/'));
    return await this.#opened(place.path, name);
  }

  async #opened(path: string | Buffer, name: string): Promise<Walked> {
    const file = await openRegularFile(path, name);
    return { kind: 'file', name, file, info: await file.stat() };
  }
}

/**
 * What is in the tree, by name. Whoever takes a file from it closes it.
 * @throws StorageError when one of the names is not there or leads out of the folder.
 */
export async function* walkTree(options: WalkTreeOptions): AsyncGenerator<Walked> {
  const walk = new TreeWalk(options);
  for (const asked of options.names) {
    await using place = await findPlace(options.root, [...options.top, asked].join('/'));
    const name = place.trail.slice(options.top.length).join('/');
    const folder = await openIfThere(place.path);
    if (folder === null) {
      const file = await openRegularFile(place.path, asked);
      yield { kind: 'file', name, file, info: await file.stat() };
      continue;
    }
    await using opened = folder;
    yield* walk.folder(opened, name, place.trail, 0);
  }
}

/**
 * Refuses names before anything is sent.
 * @throws StorageError FileNotFound, InvalidSubpath, or UnsupportedFileType for what is neither a file
 * nor a folder.
 */
export async function checkNames({ root, top, names }: WalkTreeOptions): Promise<void> {
  for (const asked of names) {
    await using place = await findPlace(root, [...top, asked].join('/'), { followLast: false });
    const info = await unlessGone(() => lstat(place.path));
    if (info === null) {
      throw new StorageError('FileNotFound', `There is no ${JSON.stringify(asked)}.`);
    }
    if (info.isFile() || info.isDirectory()) continue;
    throw new StorageError(
      'UnsupportedFileType',
      `${JSON.stringify(asked)} is neither a file nor a folder.`,
    );
  }
}
