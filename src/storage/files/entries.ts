/** What lies in an opened folder, names that are not UTF-8 included. */
import { lstat, readdir } from 'node:fs/promises';
import { errorCode } from '../../common/errors.ts';
import type { OpenFolder } from './place.ts';

export type EntryKind = 'file' | 'folder' | 'link' | 'other';

export interface Entry {
  /** For people; a byte that is no UTF-8 shows as �. */
  readonly name: string;
  /** For system calls that do not follow links; valid as long as the folder is open. */
  readonly path: string | Buffer;
  readonly kind: EntryKind;
}

interface Kinds {
  isFile(): boolean;
  isDirectory(): boolean;
  isSymbolicLink(): boolean;
}

export function kindOf(info: Kinds): EntryKind {
  if (info.isFile()) return 'file';
  if (info.isDirectory()) return 'folder';
  return info.isSymbolicLink() ? 'link' : 'other';
}

/** @returns null when it went away meanwhile. */
async function withoutRace<T>(action: Promise<T>): Promise<T | null> {
  try {
    return await action;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Names and paths only, which is much less work. In no order. */
export async function namesIn(folder: OpenFolder): Promise<Omit<Entry, 'kind'>[]> {
  const names = await readdir(folder.path);
  if (!names.some((name) => name.includes('\uFFFD'))) {
    return names.map((name) => ({ name, path: folder.entry(name) }));
  }
  const raw = await readdir(folder.path, { encoding: 'buffer' });
  const prefix = Buffer.from(`${folder.path}/`);
  return raw.map((name) => ({
    name: name.toString('utf8'),
    path: Buffer.concat([prefix, name]),
  }));
}

async function rawEntries(folder: OpenFolder): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const { name, path } of await namesIn(folder)) {
    const info = await withoutRace(lstat(path));
    if (info) entries.push({ name, path, kind: kindOf(info) });
  }
  return entries;
}

/** In no order. */
export async function entriesOf(folder: OpenFolder): Promise<Entry[]> {
  const found = await readdir(folder.path, { withFileTypes: true });
  if (found.some(({ name }) => name.includes('\uFFFD'))) return await rawEntries(folder);
  const entries: Entry[] = [];
  for (const item of found) {
    const path = folder.entry(item.name);
    const kind = kindOf(item);
    // Some file systems do not tell the kind in a listing.
    const info = kind === 'other' ? await withoutRace(lstat(path)) : item;
    if (info) entries.push({ name: item.name, path, kind: kindOf(info) });
  }
  return entries;
}

/** Runs `action` on all items, a bounded number at a time; the first failure ends it. */
export async function eachOf<T>(
  items: readonly T[],
  action: (item: T) => Promise<void>,
  width = 32,
): Promise<void> {
  for (let start = 0; start < items.length; start += width) {
    await Promise.all(items.slice(start, start + width).map(action));
  }
}
