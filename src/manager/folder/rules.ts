/** The rules of folders that need no database: statuses, names, and what somebody may do. Pure. */
import { BackendError } from '../../common/errors.ts';

export const FOLDER_STATUSES = [
  'ready',
  'performing',
  'cloning',
  'mounted',
  'error',
  'delete-pending',
  'delete-ongoing',
  'delete-complete',
  'delete-error',
] as const;
export type FolderStatus = (typeof FOLDER_STATUSES)[number];

/** In which statuses a folder may be read, changed and so on. */
const STATUS_SETS = {
  readable: ['ready', 'performing', 'cloning', 'mounted', 'error', 'delete-pending'],
  mountable: ['ready', 'performing', 'cloning', 'mounted'],
  updatable: ['ready', 'mounted'],
  deletable: ['ready', 'mounted', 'error'],
  recoverable: ['delete-pending'],
  purgable: ['delete-pending', 'delete-complete'],
} as const satisfies Record<string, readonly FolderStatus[]>;
export type StatusSet = keyof typeof STATUS_SETS;

export const statusesOf = (set: StatusSet): readonly FolderStatus[] => STATUS_SETS[set];

/** Statuses in which a folder is in the trash or beyond. */
export const DEAD_STATUSES = [
  'delete-pending',
  'delete-ongoing',
  'delete-complete',
  'delete-error',
] as const;

/** `ro` reads, `rw` also writes and deletes files, `wd` mounts with deletion too. */
export type FolderPermission = 'ro' | 'rw' | 'wd';

/** What can be done with a folder, each on its own; upstream's names. */
export const FOLDER_POWERS = [
  'clone',
  'assign_permission_to_others',
  'read_attribute',
  'update_attribute',
  'delete_vfolder',
  'read_content',
  'write_content',
  'delete_content',
  'mount_ro',
  'mount_rw',
  'mount_wd',
] as const;
export type FolderPower = (typeof FOLDER_POWERS)[number];

const READ: readonly FolderPower[] = ['clone', 'read_attribute', 'read_content', 'mount_ro'];
const WRITE: readonly FolderPower[] = [...READ, 'write_content', 'delete_content', 'mount_rw'];
const BY_PERMISSION: Readonly<Record<FolderPermission, readonly FolderPower[]>> = {
  ro: READ,
  rw: WRITE,
  wd: [...WRITE, 'mount_wd'],
};

/** How a caller stands to a folder. */
export interface Standing {
  readonly ownership: 'user' | 'group';
  /** The caller is the user who owns it. */
  readonly owner: boolean;
  /** The caller belongs to the project that owns it. */
  readonly member: boolean;
  /** It belongs to the model store of the caller's domain. */
  readonly modelStore: boolean;
  /** What the caller was granted on it personally. */
  readonly granted: FolderPermission | null;
  /** What the folder itself allows. */
  readonly permission: FolderPermission;
  /** The caller is a superadmin, or administers the folder's domain. */
  readonly admin: 'super' | 'domain' | null;
}

/**
 * What a caller may do with a folder; nothing when it is out of reach. Administrators of a domain
 * look after the folders of its users, but do not look into them.
 */
export function powersOf(standing: Standing): readonly FolderPower[] {
  const { ownership, owner, member, modelStore, granted, permission, admin } = standing;
  if (owner || admin === 'super') return FOLDER_POWERS;
  if (ownership === 'group') {
    if (admin === 'domain') return FOLDER_POWERS;
    if (member) return BY_PERMISSION[granted ?? permission];
    return modelStore ? READ : [];
  }
  const asAdmin: readonly FolderPower[] =
    admin === 'domain' ? ['read_attribute', 'update_attribute', 'delete_vfolder'] : [];
  const asGuest = granted === null ? [] : BY_PERMISSION[granted];
  return [...new Set([...asAdmin, ...asGuest])];
}

/** Longest name. Characters. */
const MAX_NAME_LENGTH = 64;
const RESERVED = new Set(['.terminfo', '.jupyter', '.tmux.conf', '.ssh']);
const RESERVED_PATTERNS = [/^\.[a-z0-9]+rc$/, /^\.[a-z0-9]+_profile$/];

/** Folders with such names are mounted into every session of those who can reach them. */
export const isAutomounted = (name: string): boolean => name.startsWith('.');

/** @throws BackendError InvalidAPIParameters saying what is wrong with the name. */
export function checkName(name: string): void {
  const length = [...name].length;
  let why: string | null = null;
  if (name.trim() === '' || name === '.' || name === '..') why = 'a name is needed';
  else if (length > MAX_NAME_LENGTH)
    why = `it has ${length} characters, at most ${MAX_NAME_LENGTH} are allowed`;
  else if (RESERVED.has(name) || RESERVED_PATTERNS.some((pattern) => pattern.test(name))) {
    why = 'it is reserved for internal operations';
  } else if (/[\p{Cc}/\\]/u.test(name) || !name.isWellFormed()) {
    why = 'slashes and control characters are not allowed';
  }
  if (why === null) return;
  throw new BackendError(
    'InvalidAPIParameters',
    `'${name.slice(0, MAX_NAME_LENGTH)}' cannot be a folder's name: ${why}.`,
  );
}

/** The place of a folder below its volume. */
export const vfidOf = (folder: { readonly id: string; readonly quota_scope_id: string }): string =>
  `${folder.quota_scope_id}/${folder.id.replaceAll('-', '')}`;

/** Whether a folder points to a path outside the volumes. */
export const isUnmanaged = (folder: { readonly unmanaged_path: string | null }): boolean =>
  folder.unmanaged_path !== null && folder.unmanaged_path !== '';
