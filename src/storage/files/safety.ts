/** Which files must be on the disk before they take their places. */
import { lstat, statfs } from 'node:fs/promises';
import { errorCode } from '../../common/errors.ts';
import type { OpenFolder } from './place.ts';

/** File systems that report every failure to write at once, since they write to this machine's disks. */
const LOCAL_FILE_SYSTEMS = new Set([
  0xef53, // ext2 to ext4
  0x58465342, // XFS
  0x9123683e, // Btrfs
  0x2fc12fc1, // ZFS
  0x794c7630, // overlay
  0x01021994, // tmpfs
]);

/** @param type as statfs(2) tells it. */
export const isLocalFileSystem = (type: number): boolean => LOCAL_FILE_SYSTEMS.has(type);

/**
 * Whether a complete file must be on the disk before it takes its place: when it replaces another one,
 * of which a power cut must leave the one or the other; and where the storage may still refuse it then,
 * as NFS does when a quota is used up.
 */
export async function mustBeSynced(path: string, folder: OpenFolder): Promise<boolean> {
  const { type } = await statfs(folder.path);
  if (!isLocalFileSystem(Number(type))) return true;
  try {
    return (await lstat(path)).isFile();
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw error;
  }
}
