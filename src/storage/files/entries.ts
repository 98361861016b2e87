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

type Named = Omit<Entry, 'kind'>;

async function rawNames(folder: OpenFolder): Promise<Named[]> {
  const raw = await readdir(folder.path, { encoding: 'buffer' });
  const prefix = Buffer.from(`${folder.path}/`);
  return raw.map((name) => ({
    name: name.toString('utf8'),
    path: Buffer.concat([prefix, name]),
  }));
}

/** Which part of a folder's entries, in the order of their names, is wanted. */
export interface Page {
  /** The name after which it begins; null for the first. */
  readonly after: string | null;
  /** Entries at the most; 0 for all. Those of the same name count as one. */
  readonly limit: number;
}

/** How many of the sorted names come before the page, and where it ends. */
function bounds(count: number, nameAt: (index: number) => string, page: Page): [number, number] {
  let start = 0;
  for (let end = count; page.after !== null && start < end; ) {
    const middle = (start + end) >> 1;
    if (nameAt(middle) > page.after) end = middle;
    else start = middle + 1;
  }
  let end = page.limit === 0 ? count : Math.min(count, start + page.limit);
  while (end > start && end < count && nameAt(end) === nameAt(end - 1)) end += 1;
  return [start, end];
}

/** The first `limit` names after `after`, in order, and whether there are more: without sorting all. */
function firstNames(names: readonly string[], { after, limit }: Page): [string[], boolean] {
  let first: string[] = [];
  let last: string | null = null;
  let hasMore = false;
  for (const name of names) {
    if (after !== null && name <= after) continue;
    if (last !== null && name > last) {
      hasMore = true;
      continue;
    }
    first.push(name);
    if (first.length < 2 * limit) continue;
    first = first.sort().slice(0, limit);
    last = first.at(-1) ?? null;
    hasMore = true;
  }
  first.sort();
  return [first.slice(0, limit), hasMore || first.length > limit];
}

/** A page of names, and whether there are more. Names alone are sorted: objects take ten times as long. */
export async function pageOf(
  folder: OpenFolder,
  page: Page,
): Promise<{ entries: Named[]; hasMore: boolean }> {
  const names = await readdir(folder.path);
  if (names.some((name) => name.includes('\uFFFD'))) {
    const all = (await rawNames(folder)).sort((a, b) => (a.name < b.name ? -1 : 1));
    const [start, end] = bounds(all.length, (index) => all[index]?.name ?? '', page);
    return { entries: all.slice(start, end), hasMore: end < all.length };
  }
  const everything = { ...page, limit: page.limit === 0 ? names.length + 1 : page.limit };
  const [first, hasMore] = firstNames(names, everything);
  return { entries: first.map((name) => ({ name, path: folder.entry(name) })), hasMore };
}

async function rawEntries(folder: OpenFolder): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const { name, path } of await rawNames(folder)) {
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

/**
 * Runs `action` on all items, a bounded number at a time. The first failure is thrown when those that
 * were begun are done, and no other begins.
 */
export async function eachOf<T>(
  items: readonly T[],
  action: (item: T) => Promise<void>,
  width = 32,
): Promise<void> {
  const waiting = items.values();
  let failed = false;
  const worker = async () => {
    for (const item of waiting) {
      if (failed) return;
      try {
        await action(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const workers = Array.from({ length: Math.min(width, items.length) }, worker);
  const results = await Promise.allSettled(workers);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
