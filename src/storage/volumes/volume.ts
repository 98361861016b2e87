/** One volume: quota scopes and folders in upstream's layout, on whatever backend it has. */
import { chmod, chown, mkdir, readdir, readFile, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode, errorMessage, UserError } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import { copyTree } from '../files/copy.ts';
import { removeTree } from '../files/remove.ts';
import { treeUsage } from '../files/usage.ts';
import { type FolderId, formatFolder, formatScope, layoutOf, type QuotaScopeId } from '../ids.ts';
import { StorageError } from '../problems.ts';
import type { OwnerSettings, VolumeSettings } from '../settings.ts';
import { STAGING_FOLDER } from '../staging.ts';
import {
  type Capability,
  type Capacity,
  capabilitiesOf,
  type FolderUsage,
  fileSystemAt,
  type QuotaKeeper,
  type QuotaUsage,
  SCOPE_NAME,
  type VolumeBackend,
} from './backend.ts';

const CURRENT_LAYOUT = '3';
const GROUP_WRITE = 0o020;
const SCOPE_MODE = 0o755;
/** Ours, beside the quota scopes; never the name of one. */
const PRIVATE_FOLDER = '.backend.ai';
/** A folder too large to be counted in this time has an unknown usage. */
const USAGE_TIMEOUT_MS = 30_000;
/** In the folder of a scope that nothing can be moved out of; beside its folders, never the name of one. */
const SCOPE_TRASH = '.trash';

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return false;
    throw error;
  }
}

/** Reads `version.txt`, writing it into a volume that is new. */
async function layoutVersion(path: string, log: Logger): Promise<string> {
  const file = join(path, 'version.txt');
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
  }
  if ((await readdir(path)).length === 0) await writeFile(file, `${CURRENT_LAYOUT}\n`);
  else log.warn('a volume has no version.txt; its layout is taken for version 3', { path });
  return CURRENT_LAYOUT;
}

export class Volume {
  readonly name: string;
  readonly path: string;
  readonly fsprefix: string;
  readonly backend: VolumeBackend;
  readonly capabilities: readonly Capability[];
  readonly #layout: string;
  /** Null also in the old layout, where scopes have no folders of their own to count. */
  readonly #quotaKeeper: QuotaKeeper | null;
  readonly #owner: OwnerSettings | null;

  private constructor(
    settings: VolumeSettings,
    backend: VolumeBackend,
    layout: string,
    owner: OwnerSettings | null,
  ) {
    this.name = settings.name;
    this.path = settings.path;
    this.fsprefix = settings.fsprefix;
    this.backend = backend;
    this.#layout = layout;
    this.#quotaKeeper = layout === '2' ? null : backend.quota;
    this.capabilities = capabilitiesOf({ ...backend, quota: this.#quotaKeeper });
    this.#owner = owner;
  }

  /** @throws UserError when the volume's folder is not there or cannot be used. */
  static async open(
    settings: VolumeSettings,
    backend: VolumeBackend,
    owner: OwnerSettings | null,
    log: Logger,
  ): Promise<Volume> {
    const { name, path } = settings;
    const hint = `Mount the storage there, or set another path in [volume.${name}].`;
    try {
      if (!(await isFolder(path))) {
        throw new UserError(`The volume ${name} is not there: ${path} is not a folder.`, { hint });
      }
      const layout = await layoutVersion(path, log);
      if (layout !== '2' && layout !== CURRENT_LAYOUT) {
        throw new UserError(
          `The volume ${name} has the layout version ${JSON.stringify(layout)}; 2 and 3 are known.`,
          { hint: `Its version is in ${join(path, 'version.txt')}.` },
        );
      }
      await mkdir(join(path, PRIVATE_FOLDER), { recursive: true, mode: 0o700 });
      await backend.start();
      return new Volume(settings, backend, layout, owner);
    } catch (error) {
      if (error instanceof UserError) throw error;
      throw new UserError(`The volume ${name} cannot be used: ${errorMessage(error)}`, { hint });
    }
  }

  /** A path for what is not in any folder, on the same file system. */
  privatePath(...names: string[]): string {
    return join(this.path, PRIVATE_FOLDER, ...names);
  }

  /** Where what is deleted is moved first, out of everybody's sight. */
  trashPath(scope: QuotaScopeId | null): string {
    if (scope === null || !this.#quotaKeeper?.confines) return this.privatePath('trash');
    return join(this.scopePath(scope), SCOPE_TRASH);
  }

  /** Every folder that `trashPath` may have named; they need not be there. */
  async trashPaths(): Promise<string[]> {
    const shared = this.privatePath('trash');
    if (!this.#quotaKeeper?.confines) return [shared];
    const scopes = (await readdir(this.path)).filter((name) => SCOPE_NAME.test(name));
    return [shared, ...scopes.map((name) => join(this.path, name, SCOPE_TRASH))];
  }

  scopePath(scope: QuotaScopeId): string {
    return this.#layout === '2' ? this.path : join(this.path, scope.hex);
  }

  folderPath(id: FolderId): string {
    const plain = this.#layout === '2' ? { ...id, scope: null } : id;
    return join(this.path, ...layoutOf(plain));
  }

  /** @throws StorageError VFolderNotFound. */
  async requireFolder(id: FolderId): Promise<string> {
    const path = this.folderPath(id);
    if (await isFolder(path)) return path;
    throw new StorageError(
      'VFolderNotFound',
      `There is no folder ${formatFolder(id)} on ${this.name}.`,
    );
  }

  /** @throws StorageError QuotaScopeNotFound. */
  async #requireScope(scope: QuotaScopeId): Promise<string> {
    const path = this.scopePath(scope);
    if (await isFolder(path)) return path;
    throw new StorageError(
      'QuotaScopeNotFound',
      `There is no quota scope ${formatScope(scope)} on ${this.name}.`,
    );
  }

  /**
   * @param limitBytes null: no limit. Without the capability `quota` a limit has no effect.
   * @throws StorageError QuotaScopeExists.
   */
  async createScope(scope: QuotaScopeId, limitBytes: number | null): Promise<void> {
    const path = this.scopePath(scope);
    try {
      await mkdir(path, { mode: SCOPE_MODE });
    } catch (error) {
      if (errorCode(error) !== 'EEXIST') throw error;
      throw new StorageError('QuotaScopeExists', 'Volume already exists with given quota scope.');
    }
    const quota = this.#quotaKeeper;
    if (quota === null) return;
    try {
      await quota.begin(scope, path);
      if (limitBytes !== null) await quota.setLimit(scope, path, limitBytes);
    } catch (error) {
      // A scope without its quota would never get one: it has to look as if it had not been made.
      await rmdir(path);
      throw error;
    }
  }

  /** Makes the scope unless it is there. */
  async ensureScope(scope: QuotaScopeId, limitBytes: number | null = null): Promise<void> {
    if (await isFolder(this.scopePath(scope))) return;
    try {
      await this.createScope(scope, limitBytes);
    } catch (error) {
      const isThere = error instanceof StorageError && error.problem === 'QuotaScopeExists';
      if (!isThere) throw error;
    }
  }

  async scopeUsage(scope: QuotaScopeId): Promise<QuotaUsage> {
    const path = await this.#requireScope(scope);
    const quota = this.#quotaKeeper;
    return quota === null ? { usedBytes: null, limitBytes: null } : quota.usage(scope, path);
  }

  #quota() {
    if (this.#quotaKeeper !== null) return this.#quotaKeeper;
    const reason =
      this.backend.quota === null
        ? `its backend is ${this.backend.name}`
        : 'its layout is version 2, which has no folders of quota scopes';
    throw new StorageError(
      'UnsupportedOperation',
      `The volume ${this.name} has no quotas: ${reason}.`,
    );
  }

  /** Makes the scope when it is missing. */
  async setLimit(scope: QuotaScopeId, limitBytes: number): Promise<void> {
    const quota = this.#quota();
    const path = this.scopePath(scope);
    if (await isFolder(path)) await quota.setLimit(scope, path, limitBytes);
    else await this.createScope(scope, limitBytes);
  }

  async unsetLimit(scope: QuotaScopeId): Promise<void> {
    const path = await this.#requireScope(scope);
    await this.#quota().unsetLimit(scope, path);
  }

  async #giveAway(path: string, mode: number): Promise<void> {
    if (this.#owner) await chown(path, this.#owner.uid, this.#owner.gid);
    // The umask does not apply to what a manager asks for.
    await chmod(path, this.#owner?.groupWrites ? mode | GROUP_WRITE : mode);
  }

  /**
   * Makes the folders above `id` and hands their path to `make`, which makes the folder itself.
   * @throws StorageError QuotaScopeNotFound, VFolderExists.
   */
  async makeFolder(id: FolderId, make: (path: string) => Promise<void>): Promise<void> {
    if (id.scope !== null) await this.#requireScope(id.scope);
    const path = this.folderPath(id);
    await mkdir(join(path, '..'), { recursive: true, mode: SCOPE_MODE });
    try {
      await make(path);
    } catch (error) {
      if (!['EEXIST', 'ENOTEMPTY'].includes(errorCode(error))) throw error;
      throw new StorageError(
        'VFolderExists',
        `There is a folder ${formatFolder(id)} on ${this.name} already.`,
      );
    }
  }

  async createFolder(id: FolderId, mode: number): Promise<void> {
    await this.makeFolder(id, async (path) => {
      await mkdir(path, { mode });
      await this.#giveAway(path, mode);
    });
  }

  /** Deletes the folders above `id` that hold nothing any more, up to the quota scope. */
  async pruneAbove(id: FolderId): Promise<void> {
    const path = this.folderPath(id);
    for (const parent of [join(path, '..'), join(path, '..', '..')]) {
      try {
        await rmdir(parent);
      } catch (error) {
        if (['ENOTEMPTY', 'EEXIST'].includes(errorCode(error))) return;
        if (errorCode(error) !== 'ENOENT') throw error;
      }
    }
  }

  async capacity(): Promise<Capacity> {
    if (this.backend.capacity) return await this.backend.capacity();
    const { blocks, bfree, bsize } = await fileSystemAt(this.path);
    return { capacityBytes: blocks * bsize, usedBytes: (blocks - bfree) * bsize };
  }

  /** Bytes that can still be written, on the storage and by the quota of a scope. */
  async freeBytes(scope: QuotaScopeId | null): Promise<number> {
    const path = scope === null ? this.path : this.scopePath(scope);
    const { bavail, bsize } = await fileSystemAt(path);
    const onStorage = bavail * bsize;
    if (scope === null || this.#quotaKeeper === null) return onStorage;
    const { usedBytes, limitBytes } = await this.#quotaKeeper.usage(scope, path);
    if (limitBytes === null) return onStorage;
    return Math.max(0, Math.min(onStorage, limitBytes - (usedBytes ?? 0)));
  }

  /** Null when counting takes too long. */
  async folderUsage(id: FolderId): Promise<FolderUsage | null> {
    const path = await this.requireFolder(id);
    if (this.backend.folderUsage) return await this.backend.folderUsage(path);
    const limit = AbortSignal.timeout(USAGE_TIMEOUT_MS);
    try {
      const { files, bytes } = await treeUsage(path, limit);
      return { fileCount: files, usedBytes: bytes };
    } catch (error) {
      if (limit.aborted) return null;
      throw error;
    }
  }

  /** What the folder takes on the disk. Bytes. */
  async folderDiskBytes(id: FolderId): Promise<number> {
    const path = await this.requireFolder(id);
    if (this.backend.folderUsage) return (await this.backend.folderUsage(path)).usedBytes;
    return (await treeUsage(path)).diskBytes;
  }

  /**
   * Copies what is in one folder into another, which is empty and which nobody else knows of yet.
   * @param onCopied told how many files more are copied.
   * @throws the signal's reason, or the failure to copy an entry.
   */
  async copyFolder(
    from: string,
    to: string,
    signal: AbortSignal,
    onCopied: (files: number) => void,
  ): Promise<void> {
    if (this.backend.copyTree === null) {
      const except = new Set([STAGING_FOLDER]);
      return await copyTree(from, to, { signal, except, onCopied: () => onCopied(1) });
    }
    await this.backend.copyTree(from, to, signal);
    await removeTree(join(to, STAGING_FOLDER), { attic: `${to}.attic`, signal });
    onCopied((await treeUsage(to, signal)).files);
  }

  close(): Promise<void> {
    return this.backend.close();
  }
}
