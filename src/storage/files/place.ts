/**
 * Finding a path below a folder without races. Each part of the path is opened relative to the opened
 * part before it and never followed by the system when it is a link: links are read and walked here,
 * so that nobody who changes the tree meanwhile can lead the walk out of the folder.
 *
 * Instead of openat(2), which Bun does not offer, names below `/proc/self/fd/<n>` are used: the system
 * resolves them from the opened folder itself. Where there is no /proc (macOS) the folder's path stands
 * in for it, and only the checks without the races are left.
 */
import { constants } from 'node:fs';
import { type FileHandle, lchown, lstat, mkdir, open, readlink } from 'node:fs/promises';
import { errorCode } from '../../common/errors.ts';
import { StorageError } from '../problems.ts';

/** Opens without reading: works on anything, has no side effects. Not among Node's constants. */
export const O_PATH = process.platform === 'linux' ? 0o10000000 : 0;
const { O_DIRECTORY, O_NOFOLLOW, O_RDONLY, O_NONBLOCK } = constants;
/** For whatever there is, links themselves included. */
export const ANYTHING = O_PATH | O_NOFOLLOW | O_NONBLOCK;
const FOLDER = ANYTHING | O_DIRECTORY;

const MAX_PATH_BYTES = 4096;
const MAX_LINKS = 40;
/** Of looking at an entry that somebody exchanges for another one meanwhile. */
const MAX_ATTEMPTS = 10;

/** An opened folder. */
export class OpenFolder implements AsyncDisposable {
  /** A path that names the opened folder, whatever happened to its own path since. */
  readonly path: string;
  readonly #handle: FileHandle;

  private constructor(handle: FileHandle, path: string | Buffer) {
    this.#handle = handle;
    this.path = O_PATH === 0 ? String(path) : `/proc/self/fd/${handle.fd}`;
  }

  /** @throws ENOENT, or ENOTDIR also for links. */
  static async open(path: string | Buffer): Promise<OpenFolder> {
    return new OpenFolder(await open(path, FOLDER), path);
  }

  /** The path of an entry; the last part of it may still be a link. */
  entry(name: string): string {
    return `${this.path}/${name}`;
  }

  stat() {
    return this.#handle.stat();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}

/** A name in an opened folder. Whether there is something of that name is another question. */
export interface Place extends AsyncDisposable {
  readonly folder: OpenFolder;
  /** `.` when the place is the root itself. */
  readonly name: string;
  /** For system calls that do not follow links; valid until the place is disposed of. */
  readonly path: string;
  /** The names that lead here from the root, links resolved. */
  readonly trail: readonly string[];
}

export interface WalkOptions {
  /** Whether a link at the end of the path leads on. */
  readonly followLast: boolean;
  /** Called with the path of each missing folder on the way, to make it; absent: the walk fails. */
  readonly makeMissing?: (path: string, parent: OpenFolder) => Promise<void>;
}

const refuse = (path: string, why: string): StorageError =>
  new StorageError('InvalidSubpath', `The path ${JSON.stringify(path)} ${why}.`);

/** @param name the part of the path that is something else. */
export const notFolder = (path: string, name: string): StorageError =>
  refuse(path, `leads through ${JSON.stringify(name)}, which is not a folder`);

/** @throws StorageError when `path` can't be a path inside a folder. */
export function splitPath(path: string): string[] {
  if (path.includes('\0')) throw refuse(path, 'contains a zero byte');
  if (path.startsWith('/')) throw refuse(path, 'is absolute; name it from the folder on');
  if (Buffer.byteLength(path) >= MAX_PATH_BYTES) throw refuse(path, 'is too long');
  return path.split('/').filter((part) => part !== '' && part !== '.');
}

async function lstatIfThere(path: string) {
  try {
    return await lstat(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

async function readlinkIfThere(path: string): Promise<string | null> {
  try {
    return await readlink(path);
  } catch (error) {
    if (['ENOENT', 'EINVAL'].includes(errorCode(error))) return null;
    throw error;
  }
}

class Walk {
  readonly #root: string;
  readonly #asked: string;
  readonly #options: WalkOptions;
  #folder: OpenFolder;
  #trail: string[] = [];
  #links = 0;

  constructor(root: string, asked: string, options: WalkOptions, folder: OpenFolder) {
    this.#root = root;
    this.#asked = asked;
    this.#options = options;
    this.#folder = folder;
  }

  async run(): Promise<Place> {
    try {
      return await this.#steps(splitPath(this.#asked));
    } catch (error) {
      await this.#folder[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #steps(names: string[]): Promise<Place> {
    for (;;) {
      const name = names.shift();
      if (name === undefined) return this.#place('.');
      if (name === '..') {
        await this.#up();
        continue;
      }
      const isLast = names.length === 0;
      if (isLast && !this.#options.followLast) return this.#place(name);
      const found = await this.#look(name, isLast);
      if (found === 'end') return this.#place(name);
      if (found === 'folder') this.#trail.push(name);
      else names.unshift(...found);
    }
  }

  #place(name: string): Place {
    const folder = this.#folder;
    return {
      folder,
      name,
      path: name === '.' ? `${folder.path}/.` : folder.entry(name),
      trail: name === '.' ? this.#trail : [...this.#trail, name],
      [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
    };
  }

  /** Enters a folder; gives the parts of a link. */
  async #look(name: string, isLast: boolean): Promise<'folder' | 'end' | string[]> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const found = await this.#tryLook(name, isLast);
      if (found !== 'exchanged') return found;
    }
    throw refuse(this.#asked, 'leads through an entry that is being exchanged all the time');
  }

  async #tryLook(
    name: string,
    isLast: boolean,
  ): Promise<'folder' | 'end' | 'exchanged' | string[]> {
    const path = this.#folder.entry(name);
    try {
      await this.#enter(await OpenFolder.open(path));
      return 'folder';
    } catch (error) {
      const code = errorCode(error);
      if (code === 'ENOENT') return isLast ? 'end' : await this.#missing(path);
      // Depending on the system a link in place of a folder is the one or the other.
      if (code !== 'ENOTDIR' && code !== 'ELOOP') throw error;
    }
    // By now there may be something else than what could not be opened.
    const info = await lstatIfThere(path);
    if (info === null || info.isDirectory()) return 'exchanged';
    if (info.isSymbolicLink()) return (await this.#follow(path)) ?? 'exchanged';
    if (isLast) return 'end';
    throw notFolder(this.#asked, name);
  }

  async #enter(folder: OpenFolder): Promise<void> {
    const previous = this.#folder;
    this.#folder = folder;
    await previous[Symbol.asyncDispose]();
  }

  async #missing(path: string): Promise<'folder'> {
    const { makeMissing } = this.#options;
    if (!makeMissing) throw missing(this.#asked);
    await makeMissing(path, this.#folder);
    await this.#enter(await OpenFolder.open(path));
    return 'folder';
  }

  /** The parts of a link's target; null when it is no link any more. */
  async #follow(path: string): Promise<string[] | null> {
    this.#links += 1;
    if (this.#links > MAX_LINKS) throw refuse(this.#asked, 'leads through too many links');
    const target = await readlinkIfThere(path);
    if (target?.startsWith('/')) throw refuse(this.#asked, 'leads out of the folder by a link');
    return target === null ? null : splitPath(target);
  }

  /** One folder up: from the root again, since what lies above an opened folder may change. */
  async #up(): Promise<void> {
    if (this.#trail.length === 0) throw refuse(this.#asked, 'leads out of the folder');
    const trail = this.#trail.slice(0, -1);
    await this.#enter(await OpenFolder.open(this.#root));
    for (const name of trail) await this.#enter(await OpenFolder.open(this.#folder.entry(name)));
    this.#trail = trail;
  }
}

/**
 * Finds the place of `path` below the folder `root`, whose own path is trusted.
 * @throws StorageError InvalidSubpath when it leads out of the folder, FileNotFound when a folder on
 * the way is missing; ENOENT when there is no `root`.
 */
export async function findPlace(
  root: string,
  path: string,
  options: WalkOptions = { followLast: true },
): Promise<Place> {
  return await new Walk(root, path, options, await OpenFolder.open(root)).run();
}

/**
 * Opens the regular file at `path`, the last part of which is not followed. Devices, pipes and sockets are not even opened for a moment,
 * since that alone may do something.
 * @throws StorageError when there is none.
 */
export async function openRegularFile(path: string | Buffer, asked: string): Promise<FileHandle> {
  let found: FileHandle;
  try {
    found = await open(path, ANYTHING);
  } catch (error) {
    if (errorCode(error) === 'ELOOP') throw notRegular(asked);
    if (errorCode(error) !== 'ENOENT') throw error;
    throw missing(asked);
  }
  try {
    if (!(await found.stat()).isFile()) throw notRegular(asked);
    if (O_PATH === 0) return await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    return await open(`/proc/self/fd/${found.fd}`, O_RDONLY);
  } finally {
    await found.close();
  }
}

export const missing = (asked: string): StorageError =>
  new StorageError('FileNotFound', `There is no ${JSON.stringify(asked)}.`);

export const notRegular = (asked: string): StorageError =>
  new StorageError('UnsupportedFileType', `${JSON.stringify(asked)} is not a regular file.`);

/** Makes folders on the way that belong to whoever owns the folder around them. */
export const makeFolderLikeParent =
  (mode: number) =>
  async (path: string, parent: OpenFolder): Promise<void> => {
    try {
      await mkdir(path, { mode });
    } catch (error) {
      // Somebody else made it just now.
      if (errorCode(error) === 'EEXIST') return;
      throw error;
    }
    await inheritOwner(path, parent);
  };

/** As root: gives a new entry to the owner of the folder it is in, who would else be locked out. */
export async function inheritOwner(path: string, parent: OpenFolder): Promise<void> {
  if (process.getuid?.() !== 0) return;
  const { uid, gid } = await parent.stat();
  if (uid !== 0 || gid !== 0) await lchown(path, uid, gid);
}
