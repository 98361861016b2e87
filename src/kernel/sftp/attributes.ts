/** Attributes of files, as SFTP tells and sets them. */
import type { Stats } from 'node:fs';
import { type FileHandle, lchown, lutimes, open } from 'node:fs/promises';
import type { Attributes } from './wire.ts';

const PERMISSIONS = 0o7777;
const TYPE = 0o170000;
/** File types by their bits, as `ls` shows them. */
const TYPES: ReadonlyMap<number, string> = new Map([
  [0o140000, 's'],
  [0o120000, 'l'],
  [0o100000, '-'],
  [0o060000, 'b'],
  [0o040000, 'd'],
  [0o020000, 'c'],
  [0o010000, 'p'],
]);

const seconds = (ms: number): number => Math.max(0, Math.min(0xffffffff, Math.floor(ms / 1000)));

export const attributesOf = (info: Stats): Attributes => ({
  size: info.size,
  uid: info.uid,
  gid: info.gid,
  mode: info.mode,
  atime: seconds(info.atimeMs),
  mtime: seconds(info.mtimeMs),
});

const triple = (bits: number): string =>
  (bits & 4 ? 'r' : '-') + (bits & 2 ? 'w' : '-') + (bits & 1 ? 'x' : '-');

/** A line as `ls -l` prints it, which is what clients show. */
export function longName(name: string, info: Stats): string {
  const type = TYPES.get(info.mode & TYPE) ?? '?';
  const rights = [6, 3, 0].map((shift) => triple((info.mode >> shift) & 7)).join('');
  const date = info.mtime.toISOString().slice(0, 16).replace('T', ' ');
  const owner = `${String(info.uid).padEnd(8)} ${String(info.gid).padEnd(8)}`;
  return `${type}${rights} ${String(info.nlink).padStart(4)} ${owner} ${String(info.size).padStart(12)} ${date} ${name}`;
}

/** Sets what is given on an open file. */
export async function setOnFile(file: FileHandle, wanted: Attributes): Promise<void> {
  const { size, uid, gid, mode, atime, mtime } = wanted;
  if (size !== undefined) await file.truncate(size);
  if (mode !== undefined) await file.chmod(mode & PERMISSIONS);
  if (uid !== undefined && gid !== undefined) await file.chown(uid, gid);
  if (atime !== undefined && mtime !== undefined) await file.utimes(atime, mtime);
}

/** Sets what is given on whatever a path leads to. */
export async function setOnPath(path: string, wanted: Attributes): Promise<void> {
  const file = await open(path, wanted.size === undefined ? 'r' : 'r+');
  try {
    await setOnFile(file, wanted);
  } finally {
    await file.close();
  }
}

/** Sets owner and times of a link itself; it has no permissions and no size of its own. */
export async function setOnLink(path: string, wanted: Attributes): Promise<void> {
  const { uid, gid, atime, mtime } = wanted;
  if (uid !== undefined && gid !== undefined) await lchown(path, uid, gid);
  if (atime !== undefined && mtime !== undefined) await lutimes(path, atime, mtime);
}
