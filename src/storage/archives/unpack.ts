/**
 * Many small files that were uploaded as one tar: each takes its place as if it had been uploaded by
 * itself. Nothing that the archive says leads out of the folder. Runs in a worker.
 */
import {
  closeSync,
  constants,
  fdatasyncSync,
  lchownSync,
  openSync,
  readSync,
  renameSync,
  statfsSync,
  unlinkSync,
} from 'node:fs';
import type { Header } from 'tar-stream';
import { errorCode, errorMessage } from '../../common/errors.ts';
import { libc } from '../../common/libc.ts';
import { readTar } from '../../common/tar.ts';
import { lstatNow, ownerFor, writeNow } from '../files/blocking.ts';
import { entriesOf } from '../files/entries.ts';
import { OpenFolders } from '../files/open-folders.ts';
import { makeFolderLikeParent, type OpenFolder, splitPath } from '../files/place.ts';
import { isLocalFileSystem } from '../files/safety.ts';
import { StorageError } from '../problems.ts';
import { openStagingFolder } from '../staging.ts';

/** Names in a row that runs before this one may have left. */
const MAX_TAKEN = 1000;
/** Of one file. Larger ones are uploaded by themselves. */
const MAX_FILE_BYTES = 4 * 1024 * 1024;
/** Files that are written before they take their places: what must be on the disk is synced together. */
const WINDOW_FILES = 512;
const WINDOW_BYTES = 32 * 1024 * 1024;
/** More files than these are synced with all else that the file system has not written yet. */
const MAX_SYNCED_SINGLY = 16;
const PIECE_BYTES = 1024 * 1024;
const FILE_MODE = 0o644;
const FOLDER_MODE = 0o755;
const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants;

export interface UnpackOptions {
  /** The folder, and the path inside of it that names of the archive begin at. */
  readonly root: string;
  readonly into: string;
  /** The upload: its staging file's name begins those of the files while they grow. */
  readonly session: string;
}

/** @throws StorageError for a name that is empty, climbs, or that no file can have. */
function checkedParts(name: string): string[] {
  const parts = splitPath(name);
  const isPossible = parts.length > 0 && !parts.includes('..') && !name.includes('\0');
  if (isPossible) return parts;
  throw new StorageError(
    'InvalidSubpath',
    `The archive has a file called ${JSON.stringify(name)}.`,
  );
}

/** @throws StorageError for what cannot be unpacked. */
function check({ name, type, size }: Header): void {
  if (type !== 'file' && type !== 'contiguous-file') {
    throw new StorageError(
      'UnsupportedFileType',
      `${JSON.stringify(name)} of the archive is a ${type}; only files can be unpacked.`,
    );
  }
  checkedParts(name);
  if (size <= MAX_FILE_BYTES) return;
  throw new StorageError(
    'TooLarge',
    `${JSON.stringify(name)} of the archive has ${size} bytes; files over ${MAX_FILE_BYTES} are uploaded by themselves.`,
  );
}

function* piecesOf(archive: number): Generator<Buffer> {
  for (let at = 0; ; ) {
    const piece = Buffer.allocUnsafe(PIECE_BYTES);
    const bytes = readSync(archive, piece, 0, PIECE_BYTES, at);
    if (bytes === 0) return;
    yield piece.subarray(0, bytes);
    at += bytes;
  }
}

/** A file that is written, and where it goes. */
interface Grown {
  readonly path: string;
  /** Path of the folder that it goes into, and its name there. */
  readonly folder: string;
  readonly name: string;
}

class Unpacking implements AsyncDisposable {
  readonly #options: UnpackOptions;
  readonly #staging: OpenFolder;
  readonly #folders: OpenFolders;
  readonly #isLocal: boolean;
  /** Open for as long as files are written: the system tells it of writes that fail later on. */
  readonly #fileSystem: number;
  #grown: Grown[] = [];
  #grownBytes = 0;
  #count = 0;

  constructor(options: UnpackOptions, staging: OpenFolder) {
    this.#options = options;
    this.#staging = staging;
    this.#folders = new OpenFolders(options.root, makeFolderLikeParent(FOLDER_MODE));
    this.#isLocal = isLocalFileSystem(statfsSync(staging.path).type);
    this.#fileSystem = openSync(staging.path, O_RDONLY | O_DIRECTORY);
  }

  /** Files that did not take their places go away. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { path } of this.#grown) unlinkIfThere(path);
    closeSync(this.#fileSystem);
    await this.#folders[Symbol.asyncDispose]();
  }

  file({ name }: Header, content: Buffer): Promise<void> | undefined {
    const parts = checkedParts(name);
    const last = parts.pop() ?? '';
    const folder = [...splitPath(this.#options.into), ...parts].join('/');
    const { path, fd } = this.#newFile();
    this.#grown.push({ path, folder, name: last });
    try {
      writeNow(fd, content);
    } finally {
      closeSync(fd);
    }
    this.#grownBytes += content.length;
    const isFull = this.#grown.length >= WINDOW_FILES || this.#grownBytes >= WINDOW_BYTES;
    return isFull ? this.place() : undefined;
  }

  /** A name may be taken by what a run left that was killed. */
  #newFile(): { readonly path: string; readonly fd: number } {
    for (let attempt = 1; ; attempt += 1) {
      this.#count += 1;
      const path = this.#staging.entry(`${this.#options.session}.${this.#count}`);
      try {
        const fd = openSync(path, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, FILE_MODE);
        return { path, fd };
      } catch (error) {
        if (errorCode(error) !== 'EEXIST' || attempt === MAX_TAKEN) throw error;
      }
    }
  }

  /** Has all files that are written so far take their places. */
  async place(): Promise<void> {
    const replacing = this.#isLocal ? await this.#replacing() : this.#grown;
    this.#sync(replacing);
    let at: OpenFolder | null = null;
    let owner: ReturnType<typeof ownerFor> = null;
    for (let grown = this.#grown[0]; grown; grown = this.#grown[0]) {
      const { folder } = await this.#folders.folder(grown.folder);
      if (folder !== at) owner = ownerFor(folder);
      at = folder;
      if (owner) lchownSync(grown.path, owner.uid, owner.gid);
      rename(grown, folder);
      this.#grown.shift();
    }
    this.#grownBytes = 0;
    // Other archives of the volume have their turns.
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Those that take the place of another file. */
  async #replacing(): Promise<Grown[]> {
    const found: Grown[] = [];
    for (const grown of this.#grown) {
      const { folder } = await this.#folders.folder(grown.folder);
      if (lstatNow(folder.entry(grown.name))?.isFile()) found.push(grown);
    }
    return found;
  }

  #sync(files: readonly Grown[]): void {
    if (this.#isLocal && files.length > MAX_SYNCED_SINGLY && this.#syncAll()) return;
    for (const { path } of files) {
      const fd = openSync(path, O_RDONLY | O_NOFOLLOW);
      try {
        fdatasyncSync(fd);
      } finally {
        closeSync(fd);
      }
    }
  }

  /** @returns false where it cannot be done, or did not succeed; then each file tells why. */
  #syncAll(): boolean {
    return libc()?.syncFileSystem(this.#fileSystem) ?? false;
  }
}

function rename({ path, name }: Grown, folder: OpenFolder): void {
  try {
    renameSync(path, folder.entry(name));
  } catch (error) {
    if (errorCode(error) !== 'EISDIR') throw error;
    throw new StorageError(
      'InvalidSubpath',
      `${JSON.stringify(name)} of the archive is a folder here. Delete it, or name the file otherwise.`,
    );
  }
}

function unlinkIfThere(path: string | Buffer): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
}

/**
 * Unpacks a complete archive. When it fails half way the files that came before are there, each whole;
 * it can be unpacked again.
 * @param archive a descriptor of it.
 * @throws StorageError for what is no archive of files, or leads out; what the system refuses.
 */
export async function unpackTar(archive: number, options: UnpackOptions): Promise<void> {
  await using staging = await openStagingFolder(options.root);
  {
    await using unpacking = new Unpacking(options, staging);
    try {
      await readTar(piecesOf(archive), {
        wants(header) {
          check(header);
          return true;
        },
        file: (header, content) => unpacking.file(header, content),
      });
      await unpacking.place();
    } catch (error) {
      if (error instanceof StorageError || errorCode(error) !== '') throw error;
      throw new StorageError('InvalidParameters', `This is no tar archive: ${errorMessage(error)}`);
    }
  }
  // What runs left that were killed half way.
  for (const { name, path, kind } of await entriesOf(staging)) {
    if (kind === 'file' && name.startsWith(`${options.session}.`)) unlinkIfThere(path);
  }
}
