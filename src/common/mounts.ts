/** What is mounted on this machine, and what it mounts when it starts. */
import { readFile, stat } from 'node:fs/promises';
import { basename, isAbsolute, normalize } from 'node:path';
import { BackendError, errorCode } from './errors.ts';

const MOUNTS = '/proc/self/mountinfo';
const MAX_FSTAB_BYTES = 1024 * 1024;

/** Spaces and the like are written as three octal digits. */
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );

/** The mount points at and below a path, in order, out of a text such as /proc/self/mountinfo has. */
export function mountPointsBelow(mountinfo: string, prefix: string): string[] {
  const base = prefix.replace(/\/+$/, '');
  const points = mountinfo
    .split('\n')
    .map((line) => unescaped(line.split(' ')[4] ?? ''))
    .filter((point) => point !== '' && (point === base || point.startsWith(`${base}/`)));
  return [...new Set(points)].sort();
}

/** The mount points of this machine at and below a path. @throws BackendError NotImplementedAPI. */
export async function readMounts(prefix: string): Promise<string[]> {
  try {
    return mountPointsBelow(await readFile(MOUNTS, 'utf8'), prefix);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    throw new BackendError(
      'NotImplementedAPI',
      `This machine does not tell what it has mounted (there is no ${MOUNTS}).`,
    );
  }
}

/**
 * What a file such as /etc/fstab holds. Only files of that name are told: this is no way to read others.
 * @throws BackendError InvalidAPIParameters, ObjectNotFound.
 */
export async function readFstab(path: string): Promise<string> {
  if (!isAbsolute(path) || normalize(path) !== path || basename(path) !== 'fstab') {
    throw new BackendError(
      'InvalidAPIParameters',
      `fstab_path must be the absolute path of a file named fstab, not '${path}'.`,
    );
  }
  try {
    const info = await stat(path);
    if (!info.isFile() || info.size > MAX_FSTAB_BYTES) {
      throw new BackendError(
        'InvalidAPIParameters',
        `${path} is no regular file of at most ${MAX_FSTAB_BYTES} bytes.`,
      );
    }
    return await readFile(path, 'utf8');
  } catch (error) {
    if (!['ENOENT', 'ENOTDIR'].includes(errorCode(error))) throw error;
    throw new BackendError('ObjectNotFound', `There is no ${path} on this machine.`);
  }
}
