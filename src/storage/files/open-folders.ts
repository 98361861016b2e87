/** Folders that were opened for one of their entries stay open for the next ones. */
import { errorCode } from '../../common/errors.ts';
import { findPlace, missing, notFolder, OpenFolder, type WalkOptions } from './place.ts';

/** Folders that are open at a time. Files of one folder mostly follow each other. */
const MAX_OPEN = 32;

interface Opened {
  readonly folder: OpenFolder;
  /** The names that lead there from the root, links resolved. */
  readonly trail: readonly string[];
}

export class OpenFolders implements AsyncDisposable {
  readonly #root: string;
  readonly #makeMissing: WalkOptions['makeMissing'];
  /** By path; the one that was asked for last is the last. */
  readonly #open = new Map<string, Opened>();

  /** @param makeMissing makes folders that are not there; absent: asking for them fails. */
  constructor(root: string, makeMissing?: WalkOptions['makeMissing']) {
    this.#root = root;
    this.#makeMissing = makeMissing;
  }

  /**
   * The folder stays open until some others were asked for.
   * @throws StorageError as `findPlace` does, and when there is no folder at the path.
   */
  async folder(path: string): Promise<Opened> {
    const known = this.known(path);
    if (known) return known;
    const makeMissing = this.#makeMissing;
    await using place = await findPlace(this.#root, path, {
      followLast: true,
      ...(makeMissing && { makeMissing }),
    });
    if (place.name !== '.') await makeMissing?.(place.path, place.folder);
    const opened = { folder: await openFolder(place.path, path), trail: place.trail };
    this.#open.set(path, opened);
    const [oldest] = this.#open;
    if (oldest && this.#open.size > MAX_OPEN) {
      this.#open.delete(oldest[0]);
      await oldest[1].folder[Symbol.asyncDispose]();
    }
    return opened;
  }

  /** One that is open already. */
  known(path: string): Opened | null {
    const known = this.#open.get(path);
    if (!known) return null;
    this.#open.delete(path);
    this.#open.set(path, known);
    return known;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { folder } of this.#open.values()) await folder[Symbol.asyncDispose]();
    this.#open.clear();
  }
}

async function openFolder(path: string, asked: string): Promise<OpenFolder> {
  try {
    return await OpenFolder.open(path);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT') throw missing(asked);
    if (code === 'ENOTDIR' || code === 'ELOOP') throw notFolder(asked, asked);
    throw error;
  }
}
