/** Which project a folder is: a number that XFS keeps with it, and hands down to what is made inside. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { libc } from '../../../common/libc.ts';
import { StorageError } from '../../problems.ts';

/** FS_IOC_FSGETXATTR: reads a `struct fsxattr`, seven numbers of 32 bits. */
const GET_ATTRIBUTES = 0x801c581f;
const ATTRIBUTES = 7;
const FLAGS_AT = 0;
const PROJECT_AT = 3;
/** FS_XFLAG_PROJINHERIT */
const HANDS_DOWN = 0x200;

/** Null for a folder that is in no project, or does not hand it down. */
export async function projectOf(path: string): Promise<number | null> {
  const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;
  const folder = await open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  try {
    const attributes = new Int32Array(ATTRIBUTES);
    if (libc()?.ioctl(folder.fd, GET_ATTRIBUTES, attributes) !== 0) {
      throw new StorageError('QuotaCommandFailed', `The file system of ${path} has no projects.`);
    }
    const id = (attributes[PROJECT_AT] ?? 0) >>> 0;
    return id === 0 || ((attributes[FLAGS_AT] ?? 0) & HANDS_DOWN) === 0 ? null : id;
  } finally {
    await folder.close();
  }
}
