/** Local files as they go into a folder, or come out of it. */
import { lstat, readdir, stat } from 'node:fs/promises';
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
}

const inner = (base: string, path: string): string => relative(base, path).split(sep).join('/');

/** Everything below a directory, itself first; links to files count as what they point to. */
async function* walk(base: string, directory: string): AsyncGenerator<LocalEntry> {
  yield { path: inner(base, directory), source: directory, isDirectory: true, size: 0 };
  for (const name of (await readdir(directory)).sort()) {
    const source = join(directory, name);
    const info = await stat(source).catch(() => null);
    // A link to a directory could lead around in circles.
    const isLink = (await lstat(source)).isSymbolicLink();
    if (info === null || (isLink && info.isDirectory())) continue;
    if (info.isDirectory()) yield* walk(base, source);
    else if (info.isFile()) {
      yield { path: inner(base, source), source, isDirectory: false, size: info.size };
    }
  }
}

/**
 * The files and directories to upload, directories before what they hold.
 * @throws UserError for what is missing, outside `basedir`, or a directory without `recursive`.
 */
export async function localEntries(
  names: readonly string[],
  options: { readonly basedir: string; readonly cwd: string; readonly recursive: boolean },
): Promise<LocalEntry[]> {
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
    const info = await stat(source).catch(() => null);
    if (info === null) throw new UserError(`${name}: no such file.`);
    if (!info.isDirectory()) {
      entries.push({ path, source, isDirectory: false, size: info.size });
      continue;
    }
    if (!options.recursive) {
      throw new UserError(`${name} is a directory.`, { hint: 'Use -r to upload directories.' });
    }
    for await (const entry of walk(base, source)) {
      if (entries.length >= MAX_FILES) throw new UserError(`More than ${MAX_FILES} files.`);
      entries.push(entry);
    }
  }
  return entries;
}
