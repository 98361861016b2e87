/**
 * Goes through a tree for an archive: every file opened, one at a time, without leaving the folder.
 * Its calls on files block; it is for workers.
 */
import { closeSync, lstatSync, readlinkSync, type Stats } from 'node:fs';
import { errorCode } from '../../common/errors.ts';
import { StorageError } from '../problems.ts';
import { lstatNow, openRegularFileNow } from './blocking.ts';
import { type Entry, entriesOf } from './entries.ts';
import { OpenFolders } from './open-folders.ts';
import { findPlace, missing, notRegular, type OpenFolder, splitPath } from './place.ts';
import { MAX_DEPTH, openIfThere, tooDeep } from './usage.ts';

export type Walked = {
  /** Parts joined by slashes, from where the walk began. */
  readonly name: string;
  readonly info: Stats;
} & (
  | { readonly kind: 'file'; readonly fd: number }
  /** A file of more bytes than are wanted. */
  | { readonly kind: 'large' }
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
  /** Files of more bytes are told and not opened; all are opened when it is absent, none with -1. */
  readonly largest?: number;
}

const joined = (...parts: string[]): string => parts.filter((part) => part !== '').join('/');

/** Passes over what went away or became something else since it was listed. */
async function unlessGone<T>(action: () => T | Promise<T>): Promise<T | null> {
  try {
    return await action();
  } catch (error) {
    const isGone = error instanceof StorageError || ['ENOENT', 'EINVAL'].includes(errorCode(error));
    if (isGone) return null;
    throw error;
  }
}

class TreeWalk implements AsyncDisposable {
  readonly #options: WalkTreeOptions;
  readonly #parents: OpenFolders;

  constructor(options: WalkTreeOptions) {
    this.#options = options;
    this.#parents = new OpenFolders(options.root);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parents[Symbol.asyncDispose]();
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

  #leaf(entry: Entry, name: string, trail: readonly string[]): Walked | Promise<Walked> | null {
    if (entry.kind === 'file') return this.#opened(entry.path, name, name);
    if (entry.kind !== 'link') return null;
    if (!this.#options.followsLinks) {
      const info = lstatSync(entry.path);
      return { kind: 'link', name, info, target: readlinkSync(entry.path) };
    }
    return this.#linked(trail.join('/'), name);
  }

  async #linked(path: string, name: string): Promise<Walked> {
    await using place = await findPlace(this.#options.root, path);
    return this.#opened(place.path, name, name);
  }

  #opened(path: string | Buffer, name: string, asked: string): Walked {
    if (this.#options.largest === -1) {
      const info = lstatSync(path);
      if (!info.isFile()) throw notRegular(asked);
      return { kind: 'large', name, info };
    }
    const { fd, info } = openRegularFileNow(path, asked);
    if (info.size <= (this.#options.largest ?? Number.POSITIVE_INFINITY)) {
      return { kind: 'file', name, fd, info };
    }
    closeSync(fd);
    return { kind: 'large', name, info };
  }

  /** One of the names, when it is a regular file. */
  async #file(path: string, asked: string): Promise<Walked | null> {
    const parts = splitPath(path);
    const last = parts.pop();
    if (last === undefined || last === '..') return null;
    const { folder, trail } = await this.#parents.folder(parts.join('/'));
    const name = [...trail.slice(this.#options.top.length), last].join('/');
    return await unlessGone(() => this.#opened(folder.entry(last), name, asked));
  }

  async *named(asked: string): AsyncGenerator<Walked> {
    const { root, top } = this.#options;
    const path = [...top, asked].join('/');
    const file = await this.#file(path, asked);
    if (file) {
      yield file;
      return;
    }
    await using place = await findPlace(root, path);
    const name = place.trail.slice(top.length).join('/');
    const folder = await openIfThere(place.path);
    if (folder === null) {
      yield this.#opened(place.path, name, asked);
      return;
    }
    await using opened = folder;
    yield* this.folder(opened, name, place.trail, 0);
  }
}

/**
 * What is in the tree, by name. Whoever takes a file from it closes it.
 * @throws StorageError when one of the names is not there or leads out of the folder.
 */
export async function* walkTree(options: WalkTreeOptions): AsyncGenerator<Walked> {
  await using walk = new TreeWalk(options);
  for (const asked of options.names) yield* walk.named(asked);
}

/**
 * Refuses names before anything is sent.
 * @throws StorageError FileNotFound, InvalidSubpath, or UnsupportedFileType for what is neither a file
 * nor a folder.
 */
export async function checkNames({ root, top, names }: WalkTreeOptions): Promise<void> {
  await using parents = new OpenFolders(root);
  for (const asked of names) {
    const parts = splitPath([...top, asked].join('/'));
    const last = parts.at(-1);
    const leadsUp = last === undefined || last === '..';
    const path = (leadsUp ? parts : parts.slice(0, -1)).join('/');
    const { folder } = await parents.folder(path);
    const info = lstatNow(leadsUp ? `${folder.path}/.` : folder.entry(last));
    if (info === null) throw missing(asked);
    if (info.isFile() || info.isDirectory()) continue;
    throw new StorageError(
      'UnsupportedFileType',
      `${JSON.stringify(asked)} is neither a file nor a folder.`,
    );
  }
}
