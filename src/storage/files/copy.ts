/** Copies trees: files, folders and links with owner, mode and time; devices and pipes are left out. */
import { constants } from 'node:fs';
import {
  chmod,
  chown,
  copyFile,
  lchown,
  lstat,
  lutimes,
  mkdir,
  readlink,
  symlink,
  utimes,
} from 'node:fs/promises';
import { errorCode } from '../../common/errors.ts';
import { StorageError } from '../problems.ts';
import { type Entry, eachOf, entriesOf } from './entries.ts';
import { OpenFolder, openRegularFile } from './place.ts';
import { MAX_DEPTH, openIfThere, tooDeep } from './usage.ts';

const { COPYFILE_EXCL, COPYFILE_FICLONE } = constants;
/** Files copied at one time. */
const WIDTH = 8;

export interface CopyOptions {
  /** Told about each file or link. */
  readonly onCopied?: () => void;
  readonly signal?: AbortSignal;
  /** Names at the top that are not copied. */
  readonly except?: ReadonlySet<string>;
}

interface Owned {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  readonly atime: Date;
  readonly mtime: Date;
}

const isRoot = (): boolean => process.getuid?.() === 0;

function targetPath(folder: OpenFolder, entry: Entry): string | Buffer {
  if (typeof entry.path === 'string') return folder.entry(entry.name);
  const name = entry.path.subarray(entry.path.lastIndexOf('/') + 1);
  return Buffer.concat([Buffer.from(`${folder.path}/`), name]);
}

/** Changing the owner clears set-uid bits, so the mode comes after. */
async function likeSource(path: string | Buffer, info: Owned): Promise<void> {
  if (isRoot()) await chown(path, info.uid, info.gid);
  await chmod(path, info.mode & 0o7777);
  await utimes(path, info.atime, info.mtime);
}

async function copyLink(from: Entry, to: string | Buffer): Promise<void> {
  await symlink(await readlink(from.path, { encoding: 'buffer' }), to);
  const info = await lstat(from.path);
  if (isRoot()) await lchown(to, info.uid, info.gid);
  await lutimes(to, info.atime, info.mtime);
}

async function copyRegular(from: Entry, to: string | Buffer): Promise<void> {
  const file = await openRegularFile(from.path, from.name);
  try {
    const info = await file.stat();
    const source = process.platform === 'linux' ? `/proc/self/fd/${file.fd}` : from.path;
    await copyFile(source, to, COPYFILE_EXCL | COPYFILE_FICLONE);
    await likeSource(to, info);
  } finally {
    await file.close();
  }
}

async function copyLeaf(entry: Entry, into: OpenFolder, options: CopyOptions): Promise<void> {
  options.signal?.throwIfAborted();
  const to = targetPath(into, entry);
  try {
    if (entry.kind === 'link') await copyLink(entry, to);
    else await copyRegular(entry, to);
    options.onCopied?.();
  } catch (error) {
    const isGone = error instanceof StorageError || errorCode(error) === 'ENOENT';
    if (!isGone) throw error;
  }
}

async function copyInto(
  from: OpenFolder,
  into: OpenFolder,
  options: CopyOptions,
  depth: number,
): Promise<void> {
  if (depth > MAX_DEPTH) throw tooDeep();
  const all = await entriesOf(from);
  const entries = depth === 0 ? all.filter(({ name }) => !options.except?.has(name)) : all;
  const leaves = entries.filter(({ kind }) => kind === 'file' || kind === 'link');
  await eachOf(leaves, (entry) => copyLeaf(entry, into, options), WIDTH);
  for (const entry of entries) {
    if (entry.kind !== 'folder') continue;
    options.signal?.throwIfAborted();
    const opened = await openIfThere(entry.path);
    if (opened === null) continue;
    await using child = opened;
    const to = targetPath(into, entry);
    await mkdir(to, { mode: 0o700 });
    await using target = await OpenFolder.open(to);
    await copyInto(child, target, options, depth + 1);
    await likeSource(to, await child.stat());
  }
}

/**
 * Copies what is in the folder `from` into the empty folder `to`, which nobody else knows of yet.
 * What vanishes meanwhile is not copied.
 * @throws the signal's reason, or the failure to copy an entry (such as ENOSPC).
 */
export async function copyTree(from: string, to: string, options: CopyOptions = {}): Promise<void> {
  await using source = await OpenFolder.open(from);
  await using target = await OpenFolder.open(to);
  await copyInto(source, target, options, 0);
  await likeSource(to, await source.stat());
}
