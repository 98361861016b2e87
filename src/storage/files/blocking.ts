/**
 * Calls on single files that block, for workers, which nobody else waits for: handing each call of ten
 * thousand small files to another thread would take ten times as long as the calls.
 */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  type Stats,
  statSync,
  writeSync,
} from 'node:fs';
import { errorCode } from '../../common/errors.ts';
import { ANYTHING, missing, notRegular, O_PATH, type OpenFolder } from './place.ts';

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

/** As `openRegularFile`. @returns the descriptor, and what it tells. @throws StorageError. */
export function openRegularFileNow(
  path: string | Buffer,
  asked: string,
): { readonly fd: number; readonly info: Stats } {
  let found: number;
  try {
    found = openSync(path, ANYTHING);
  } catch (error) {
    if (errorCode(error) === 'ELOOP') throw notRegular(asked);
    if (errorCode(error) !== 'ENOENT') throw error;
    throw missing(asked);
  }
  try {
    const info = fstatSync(found);
    if (!info.isFile()) throw notRegular(asked);
    const fd =
      O_PATH === 0
        ? openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
        : openSync(`/proc/self/fd/${found}`, O_RDONLY);
    return { fd, info };
  } finally {
    closeSync(found);
  }
}

/** The first `size` bytes of a file, or as many as it still has. */
export function readNow(fd: number, size: number): Buffer {
  const content = Buffer.allocUnsafe(size);
  for (let at = 0; at < size; ) {
    const bytes = readSync(fd, content, at, size - at, at);
    if (bytes === 0) return content.subarray(0, at);
    at += bytes;
  }
  return content;
}

/** Writes all of it, also where the system takes a part at a time. */
export function writeNow(fd: number, content: Uint8Array): void {
  for (let at = 0; at < content.length; ) at += writeSync(fd, content, at, content.length - at);
}

/** @returns null when there is nothing. */
export const lstatNow = (path: string | Buffer): Stats | null =>
  lstatSync(path, { throwIfNoEntry: false }) ?? null;

/**
 * As root: who new entries of a folder are given to, who would else be locked out. Null: they stay with
 * whoever makes them.
 */
export function ownerFor(
  folder: OpenFolder,
): { readonly uid: number; readonly gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  const { uid, gid } = statSync(folder.path);
  return uid === 0 && gid === 0 ? null : { uid, gid };
}
