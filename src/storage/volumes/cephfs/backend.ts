/**
 * The backend `cephfs`: a mounted CephFS, by the kernel or by ceph-fuse. It counts what is below every
 * folder by itself and limits the folders of quota scopes; both are extended attributes of the folders.
 */
import { errorCode, errorMessage, UserError } from '../../../common/errors.ts';
import { StorageError } from '../../problems.ts';
import type { VolumeSettings } from '../../settings.ts';
import type { QuotaKeeper, QuotaUsage, VolumeBackend } from '../backend.ts';
import { FolderAttributes } from './attributes.ts';

/** Bytes of all files below, and the number of these. */
const BYTES_BELOW = 'ceph.dir.rbytes';
const FILES_BELOW = 'ceph.dir.rfiles';
/** Bytes; absent or 0: no limit. */
const LIMIT = 'ceph.quota.max_bytes';

class CephQuotas implements QuotaKeeper {
  readonly confines = true;
  readonly #attributes: FolderAttributes;

  constructor(attributes: FolderAttributes) {
    this.#attributes = attributes;
  }

  /** @throws StorageError QuotaCommandFailed when the folder lies elsewhere. */
  async count(path: string, attribute: string): Promise<number> {
    const text = await this.#attributes.get(path, attribute);
    if (text !== null && /^\d+$/.test(text)) return Number(text);
    throw new StorageError(
      'QuotaCommandFailed',
      `${path} has no ${attribute}: this path is not on a CephFS mount. Mount it there again.`,
    );
  }

  /** A folder is limited from the moment it is given a limit. */
  async begin(): Promise<void> {}

  async usage(_scope: unknown, path: string): Promise<QuotaUsage> {
    const usedBytes = await this.count(path, BYTES_BELOW);
    const limitBytes = Number((await this.#attributes.get(path, LIMIT)) ?? 0);
    return { usedBytes, limitBytes: limitBytes > 0 ? limitBytes : null };
  }

  async setLimit(_scope: unknown, path: string, limitBytes: number): Promise<void> {
    try {
      await this.#attributes.set(path, LIMIT, `${limitBytes}`);
    } catch (error) {
      throw new StorageError('QuotaCommandFailed', refusal(path, error));
    }
  }

  async unsetLimit(scope: unknown, path: string): Promise<void> {
    await this.setLimit(scope, path, 0);
  }
}

/** Why a limit was not set, and what to do. */
function refusal(path: string, error: unknown): string {
  const code = errorCode(error);
  if (code === 'ENOTSUP' || code === 'EOPNOTSUPP') {
    return `The limit of ${path} was not set: this path is not on a CephFS mount. Mount it there again.`;
  }
  if (code === 'EPERM' || code === 'EACCES') {
    return `The limit of ${path} was not set (${code}): run the proxy as root, and give the CephFS user of the mount the flag p (ceph fs authorize … rwp).`;
  }
  return `The limit of ${path} was not set: ${errorMessage(error)}.`;
}

export function cephfsBackend({
  name,
  path,
}: Pick<VolumeSettings, 'name' | 'path'>): VolumeBackend {
  const attributes = new FolderAttributes();
  /** Also when the path is a link to where it is mounted. */
  const mounted = `${path}/.`;
  const quota = new CephQuotas(attributes);
  return {
    name: 'cephfs',
    quota,
    performance: null,
    capacity: null,
    async folderUsage(folder) {
      const [fileCount, usedBytes] = await Promise.all([
        quota.count(folder, FILES_BELOW),
        quota.count(folder, BYTES_BELOW),
      ]);
      return { fileCount, usedBytes };
    },
    copyTree: null,
    async start() {
      if ((await attributes.get(mounted, BYTES_BELOW)) !== null) return;
      throw new UserError(
        `The volume ${name} is no CephFS: this path is not on a CephFS mount: ${path}.`,
        {
          hint: `Mount the CephFS there, with mount -t ceph or ceph-fuse, or set backend = "vfs" in [volume.${name}].`,
        },
      );
    },
    async hardware() {
      try {
        await quota.count(mounted, BYTES_BELOW);
        return { status: 'healthy', statusInfo: null, metadata: {} };
      } catch (error) {
        return { status: 'unavailable', statusInfo: errorMessage(error), metadata: {} };
      }
    },
    async close() {
      attributes.close();
    },
  };
}
