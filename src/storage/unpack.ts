/**
 * Many small files that were uploaded as one tar: each takes its place as if it had been uploaded by
 * itself. Nothing that the archive says leads out of the folder.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, rename, unlink } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { extract, type Header } from 'tar-stream';
import { errorCode, errorMessage } from '../common/errors.ts';
import {
  findPlace,
  inheritOwner,
  makeFolderLikeParent,
  OpenFolder,
  type Place,
  splitPath,
} from './files/place.ts';
import { StorageError } from './problems.ts';

/** Files that are written at a time, each held in memory. */
const WIDTH = 8;
/** Names in a row that runs before this one may have left. */
const MAX_TAKEN = 1000;
/** Of one file. Larger ones are uploaded by themselves. */
const MAX_FILE_BYTES = 4 * 1024 * 1024;
const PIECE_BYTES = 256 * 1024;
const FILE_MODE = 0o644;
const FOLDER_MODE = 0o755;
const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;

export interface UnpackOptions {
  /** The folder, and the path inside of it that names of the archive begin at. */
  readonly root: string;
  readonly into: string;
  /** Where files grow, on the same file system; `prefix` begins names that nobody else uses. */
  readonly staging: OpenFolder;
  readonly prefix: string;
  /** Whether a file must be on the disk before it takes the place. */
  readonly mustBeSynced: (path: string, folder: OpenFolder) => Promise<boolean>;
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

async function contentOf(
  entry: AsyncIterable<unknown> & { readonly header: Header },
): Promise<Buffer> {
  const { name, type, size = 0 } = entry.header;
  if (type !== 'file' && type !== 'contiguous-file') {
    throw new StorageError(
      'UnsupportedFileType',
      `${JSON.stringify(name)} of the archive is a ${type}; only files can be unpacked.`,
    );
  }
  if (size > MAX_FILE_BYTES) {
    throw new StorageError(
      'TooLarge',
      `${JSON.stringify(name)} of the archive has ${size} bytes; files over ${MAX_FILE_BYTES} are uploaded by themselves.`,
    );
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of entry) if (chunk instanceof Uint8Array) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* piecesOf(file: FileHandle): AsyncGenerator<Buffer> {
  for (let at = 0; ; ) {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(PIECE_BYTES), 0, PIECE_BYTES, at);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}

class Unpacking {
  readonly #options: UnpackOptions;
  /** The folder that the last file went into: files of one folder follow each other. */
  #last: { readonly path: string; readonly place: Place; readonly folder: OpenFolder } | null =
    null;
  #count = 0;

  constructor(options: UnpackOptions) {
    this.#options = options;
  }

  #pathOf(parts: readonly string[]): string {
    return [...splitPath(this.#options.into), ...parts].join('/');
  }

  async #folderOf(parts: readonly string[]): Promise<OpenFolder> {
    const path = this.#pathOf(parts);
    if (this.#last?.path === path) return this.#last.folder;
    await this.close();
    const makeMissing = makeFolderLikeParent(FOLDER_MODE);
    const place = await findPlace(this.#options.root, path, { followLast: true, makeMissing });
    try {
      if (place.name !== '.') await makeMissing(place.path, place.folder);
      this.#last = { path, place, folder: await OpenFolder.open(place.path) };
      return this.#last.folder;
    } catch (error) {
      await place[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** To be called when all files that were begun are done. */
  async close(): Promise<void> {
    await this.#last?.folder[Symbol.asyncDispose]();
    await this.#last?.place[Symbol.asyncDispose]();
    this.#last = null;
  }

  /** Whether the file goes into the folder that the last one went into. */
  isBeside(parts: readonly string[]): boolean {
    return this.#last?.path === this.#pathOf(parts.slice(0, -1));
  }

  async begin(
    parts: readonly string[],
    content: Buffer,
  ): Promise<{ readonly done: Promise<void> }> {
    const folder = await this.#folderOf(parts.slice(0, -1));
    return { done: this.#write(folder, parts.at(-1) ?? '', content) };
  }

  /** A name may be taken by what a run left that was killed, or by another one that still goes on. */
  async #newFile(staging: OpenFolder, prefix: string) {
    for (let attempt = 1; ; attempt += 1) {
      this.#count += 1;
      const growing = staging.entry(`${prefix}.${this.#count}`);
      try {
        const file = await open(growing, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, FILE_MODE);
        return { growing, file };
      } catch (error) {
        if (errorCode(error) !== 'EEXIST' || attempt === MAX_TAKEN) throw error;
      }
    }
  }

  async #write(folder: OpenFolder, name: string, content: Buffer): Promise<void> {
    const { staging, prefix, mustBeSynced } = this.#options;
    const target = folder.entry(name);
    const { growing, file } = await this.#newFile(staging, prefix);
    try {
      await file.writeFile(content);
      if (await mustBeSynced(target, folder)) await file.datasync();
      await file.close();
      await rename(growing, target);
    } catch (error) {
      await file.close();
      await unlink(growing);
      throw error;
    }
    await inheritOwner(target, folder);
  }
}

/**
 * Unpacks a complete archive. When it fails half way the files that came before are there, each whole;
 * it can be unpacked again.
 * @throws StorageError for what is no archive of files, or leads out; what the system refuses.
 */
export async function unpackTar(archive: FileHandle, options: UnpackOptions): Promise<void> {
  const unpacking = new Unpacking(options);
  const source = Readable.from(piecesOf(archive), { objectMode: false });
  const reader = extract();
  source.on('error', (error) => reader.destroy(error));
  source.pipe(reader);
  const running = new Set<Promise<void>>();
  try {
    for await (const entry of reader) {
      const parts = checkedParts(entry.header.name);
      const content = await contentOf(entry);
      if (!unpacking.isBeside(parts)) await Promise.all(running);
      if (running.size >= WIDTH) await Promise.race(running);
      const { done } = await unpacking.begin(parts, content);
      running.add(done);
      done.then(
        () => running.delete(done),
        () => {
          // Whoever waits for it is told.
        },
      );
    }
    await Promise.all(running);
  } catch (error) {
    await Promise.allSettled(running);
    if (error instanceof StorageError || errorCode(error) !== '') throw error;
    throw new StorageError('InvalidParameters', `This is no tar archive: ${errorMessage(error)}`);
  } finally {
    source.destroy();
    reader.destroy();
    await unpacking.close();
  }
}
