/** Local files as they go into a folder, or come out of it. */
import { lstatSync, readdirSync, type Stats, statSync } from 'node:fs';
import { isAbsolute, join, relative, resolve, sep } from 'node:path';
import { UserError } from '../../common/errors.ts';

/** Most files of one copy. */
const MAX_FILES = 1_000_000;

export interface LocalEntry {
  /** Path in the folder, with slashes. */
  readonly path: string;
  /** Absolute path on this machine. */
  readonly source: string;
  readonly isDirectory: boolean;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds of the epoch; 0 for directories. */
  readonly modifiedMs: number;
}

const inner = (base: string, path: string): string => relative(base, path).split(sep).join('/');

/** @returns null when it is gone, or a link to nothing. */
function statIfThere(path: string): Stats | null {
  try {
    return statSync(path);
  } catch {
    return null;
  }
}

const fileEntry = (path: string, source: string, info: Stats): LocalEntry => ({
  ...{ path, source, isDirectory: info.isDirectory(), size: info.size },
  modifiedMs: info.mtimeMs,
});

/** Everything below a directory, itself first; links to files count as what they point to. */
function* walk(path: string, directory: string): Generator<LocalEntry> {
  yield { path, source: directory, isDirectory: true, size: 0, modifiedMs: 0 };
  const listed = readdirSync(directory, { withFileTypes: true });
  for (const item of listed.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const at = path === '' ? item.name : `${path}/${item.name}`;
    const source = join(directory, item.name);
    // Some file systems do not tell the kind in a listing.
    const isTold = item.isDirectory() || item.isFile() || item.isSymbolicLink();
    if ((isTold ? item : lstatSync(source)).isDirectory()) {
      yield* walk(at, source);
      continue;
    }
    const info = statIfThere(source);
    // A link to a directory could lead around in circles.
    if (info?.isFile()) yield fileEntry(at, source, info);
  }
}

/**
 * The files and directories to upload, directories before what they hold.
 * @throws UserError for what is missing, outside `basedir`, or a directory without `recursive`.
 */
export function localEntries(
  names: readonly string[],
  options: { readonly basedir: string; readonly cwd: string; readonly recursive: boolean },
): LocalEntry[] {
  const base = resolve(options.cwd, options.basedir);
  const entries: LocalEntry[] = [];
  for (const name of names) {
    const source = resolve(base, name);
    const path = inner(base, source);
    if (path === '..' || path.startsWith('../') || isAbsolute(path)) {
      throw new UserError(`${name} is not inside the base directory ${base}.`, {
        hint: 'Name another one with --base-dir.',
      });
    }
    const info = statIfThere(source);
    if (info === null) throw new UserError(`${name}: no such file.`);
    if (!info.isDirectory()) {
      entries.push(fileEntry(path, source, info));
      continue;
    }
    if (!options.recursive) {
      throw new UserError(`${name} is a directory.`, { hint: 'Use -r to upload directories.' });
    }
    for (const entry of walk(path, source)) {
      if (entries.length >= MAX_FILES) throw new UserError(`More than ${MAX_FILES} files.`);
      entries.push(entry);
    }
  }
  return entries;
}
