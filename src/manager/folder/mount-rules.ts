/** Where folders are mounted in a session, and what may not be: pure. */
import { posix } from 'node:path';
import { BackendError } from '../../common/errors.ts';
import type { FolderPermission } from './rules.ts';

/** A folder that somebody wants in a session. */
export interface MountWish {
  /** Name or id. */
  readonly folder: string;
  /** A directory of it; null is the whole folder. */
  readonly subpath: string | null;
  /** Where in the session; null is below /home/work, by name. Relative ones are below it too. */
  readonly target: string | null;
  /** Null is what the folder allows. */
  readonly permission: FolderPermission | null;
}

/** A folder in a session as sessions and kernels store it; upstream's names. */
export interface FolderMount {
  readonly name: string;
  /** `<quota scope>/<id without dashes>`. */
  readonly vfid: string;
  /** `.` for the whole folder. */
  readonly vfsubpath: string;
  /** The folder itself on the file system that proxies and agents share, without the subpath. */
  readonly host_path: string;
  readonly kernel_path: string;
  readonly mount_perm: FolderPermission;
  readonly usage_mode: string;
}

export const WORK_PATH = '/home/work';
/** Nothing is mounted over these. */
const RESERVED = new Set([
  ...['/', '/home', WORK_PATH, '/usr', '/var', '/opt', '/root', '/tmp', '/mnt', '/media', '/srv'],
]);
/** Nor over these, or anywhere below. */
const RESERVED_TREES = [
  ...[
    '/bin',
    '/sbin',
    '/lib',
    '/lib32',
    '/lib64',
    '/boot',
    '/dev',
    '/etc',
    '/proc',
    '/sys',
    '/run',
  ],
  ...['/home/config', '/opt/kernel', '/opt/backend.ai', '/usr/bin', '/usr/lib', '/usr/sbin'],
];

const refuse = (message: string) => new BackendError('InvalidAPIParameters', message);
const isWithin = (path: string, tree: string): boolean =>
  path === tree || path.startsWith(tree === '/' ? '/' : `${tree}/`);

/**
 * The directory of a folder that a subpath names, without `.` and `..`; `.` for the folder itself.
 * @throws BackendError InvalidAPIParameters when it leaves the folder.
 */
export function normalizeSubpath(name: string, subpath: string | null): string {
  if (subpath === null || subpath === '') return '.';
  const path = posix.normalize(subpath).replace(/\/+$/, '') || '.';
  if (!posix.isAbsolute(subpath) && path !== '..' && !path.startsWith('../') && !/\0/.test(path)) {
    return path;
  }
  throw refuse(`The subpath '${subpath}' is not inside folder '${name}'.`);
}

/**
 * Where a folder is mounted in a session.
 * @throws BackendError InvalidAPIParameters for places that belong to the session's system.
 */
export function targetOf(name: string, target: string | null): string {
  if (target === null || target === '') {
    return name === '.linuxbrew' ? '/home/linuxbrew/.linuxbrew' : `${WORK_PATH}/${name}`;
  }
  const path = posix.resolve(WORK_PATH, target);
  // Colons and commas separate fields in the languages of container engines.
  if (/[\p{Cc}:,]/u.test(path)) {
    throw refuse(
      `'${target}' cannot be a mount point: it has colons, commas or control characters.`,
    );
  }
  if (RESERVED.has(path) || RESERVED_TREES.some((tree) => isWithin(path, tree))) {
    throw refuse(`Folder '${name}' cannot be mounted at '${path}', which belongs to the system.`);
  }
  return path;
}

/** @throws BackendError VFolderPermissionError when more is asked for than the folder gives. */
export function permissionOf(
  name: string,
  allowed: FolderPermission,
  wanted: FolderPermission | null,
): FolderPermission {
  if (wanted === null) return allowed;
  if (wanted === 'ro' || allowed !== 'ro') return wanted;
  throw new BackendError(
    'VFolderPermissionError',
    `Folder '${name}' is read-only for you; it cannot be mounted as ${wanted}.`,
  );
}

const overlap = (a: string, b: string): boolean => isWithin(a, b) || isWithin(b, a);
const overlapSub = (a: string, b: string): boolean => a === '.' || b === '.' || overlap(a, b);

/**
 * Leaves out what is mounted already, and refuses what would hide something else.
 * @throws BackendError InvalidAPIParameters naming both folders.
 */
export function withoutOverlaps(mounts: readonly FolderMount[]): FolderMount[] {
  const kept: FolderMount[] = [];
  for (const mount of mounts) {
    const same = kept.find(
      ({ vfid, vfsubpath }) => vfid === mount.vfid && overlapSub(vfsubpath, mount.vfsubpath),
    );
    if (same !== undefined) continue;
    const other = kept.find(({ kernel_path }) => overlap(kernel_path, mount.kernel_path));
    if (other !== undefined) {
      throw refuse(
        `Folder '${mount.name}' at '${mount.kernel_path}' and folder '${other.name}' at '${other.kernel_path}' overlap. Mount one of them elsewhere.`,
      );
    }
    kept.push(mount);
  }
  return kept;
}
