/** What may be stored as dotfiles, and how a list of them changes. Pure. */
import { BackendError } from '../../common/errors.ts';
import { homePathParts } from '../../common/home-path.ts';
import { type Dotfile, packDotfiles } from './format.ts';

/** Largest list. Entries. */
const MAX_ENTRIES = 100;
/** Largest packed list. Bytes. */
const MAX_PACKED_BYTES = 64 * 1024;

/** Sessions make these themselves. */
const RESERVED: ReadonlySet<string> = new Set([
  '.terminfo',
  '.jupyter',
  '.ssh',
  '.ssh/authorized_keys',
  '.local',
  '.config',
]);

export type DotfileChange = (files: readonly Dotfile[]) => Dotfile[];

/**
 * @throws BackendError InvalidAPIParameters for a path outside the home folder, or one that sessions
 *   use themselves.
 */
function checkPath(path: string): void {
  const parts = homePathParts(path.replace(/\/+$/, ''));
  if (parts === null) {
    throw new BackendError(
      'InvalidAPIParameters',
      `'${path}' is no path of a file in the home folder. Use one such as '.vimrc' or '.config/app/x'.`,
    );
  }
  if (!RESERVED.has(parts.join('/'))) return;
  throw new BackendError(
    'InvalidAPIParameters',
    `The path '${path}' is reserved for internal operations.`,
  );
}

const missing = (path: string) =>
  new BackendError('DotfileNotFound', `There is no dotfile '${path}'.`);

/** @throws BackendError DotfileAlreadyExists, DotfileCreationFailed, InvalidAPIParameters. */
export const add =
  (file: Dotfile): DotfileChange =>
  (files) => {
    checkPath(file.path);
    if (files.some(({ path }) => path === file.path)) {
      throw new BackendError('DotfileAlreadyExists', `'${file.path}' exists already.`);
    }
    if (files.length >= MAX_ENTRIES) {
      throw new BackendError(
        'DotfileCreationFailed',
        `Dotfile creation limit reached: there are ${files.length} already.`,
      );
    }
    return [...files, file];
  };

/** @throws BackendError DotfileNotFound. */
export const replace =
  (file: Dotfile): DotfileChange =>
  (files) => {
    checkPath(file.path);
    if (!files.some(({ path }) => path === file.path)) throw missing(file.path);
    return files.map((old) => (old.path === file.path ? file : old));
  };

/** @throws BackendError DotfileNotFound. */
export const remove =
  (path: string): DotfileChange =>
  (files) => {
    const rest = files.filter((file) => file.path !== path);
    if (rest.length === files.length) throw missing(path);
    return rest;
  };

/** @throws BackendError DotfileNotFound. */
export function find(files: readonly Dotfile[], path: string): Dotfile {
  const found = files.find((file) => file.path === path);
  if (found) return found;
  throw missing(path);
}

/** @throws BackendError DotfileCreationFailed when the list has no room in its column. */
export function packWithinLimit(files: readonly Dotfile[]): Uint8Array {
  const packed = packDotfiles(files);
  if (packed.byteLength <= MAX_PACKED_BYTES) return packed;
  throw new BackendError(
    'DotfileCreationFailed',
    `No leftover space for dotfile storage: the files would take ${packed.byteLength} bytes together; at most ${MAX_PACKED_BYTES} are kept.`,
  );
}
