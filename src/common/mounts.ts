/** What is mounted on this machine, and what it mounts when it starts. */
import { constants } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { basename, isAbsolute, normalize } from 'node:path';
import { BackendError, errorCode } from './errors.ts';

const MOUNTS = '/proc/self/mountinfo';
export const SYSTEM_FSTAB = '/etc/fstab';
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

/** A link only where root alone can have made it: sessions write to files of the machine too. */
const flagsFor = (path: string): number => {
  const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = constants;
  return O_RDONLY | O_NONBLOCK | (path === SYSTEM_FSTAB ? 0 : O_NOFOLLOW);
};

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
  const refusal = new BackendError(
    'InvalidAPIParameters',
    `${path} is no regular file of at most ${MAX_FSTAB_BYTES} bytes.`,
  );
  try {
    await using file = await open(path, flagsFor(path));
    const info = await file.stat();
    if (!info.isFile() || info.size > MAX_FSTAB_BYTES) throw refusal;
    return await file.readFile('utf8');
  } catch (error) {
    if (['ELOOP', 'ENXIO'].includes(errorCode(error))) throw refusal;
    if (!['ENOENT', 'ENOTDIR'].includes(errorCode(error))) throw error;
    throw new BackendError('ObjectNotFound', `There is no ${path} on this machine.`);
  }
}
