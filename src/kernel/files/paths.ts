/** Keeps file operations inside the working folder, whatever paths and symbolic links say. */
import { lstatSync, realpathSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { RunnerError } from '../errors.ts';

/**
 * The real path of `path`, which may be relative to `root` or absolute. Parts that do not exist yet
 * are allowed at its end.
 * @throws RunnerError forbidden when it leads outside `root`.
 */
export function resolveInside(root: string, path: string): string {
  if (path.includes('\0')) throw new RunnerError('bad-request', 'A path cannot hold a NUL byte.');
  const realRoot = realpathSync(root);
  const wanted = resolve(root, path);
  const missing: string[] = [];
  let existing = wanted;
  while (!exists(existing) && dirname(existing) !== existing) {
    missing.unshift(basename(existing));
    existing = dirname(existing);
  }
  let real: string;
  try {
    real = realpathSync(existing);
  } catch {
    // A link to nowhere: following it would create a file at its target.
    throw forbidden(path);
  }
  if (!isInside(realRoot, real)) throw forbidden(path);
  return join(real, ...missing);
}

function forbidden(path: string): RunnerError {
  return new RunnerError('forbidden', `${path} lies outside the working folder.`);
}

function exists(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

function isInside(root: string, path: string): boolean {
  const way = relative(root, path);
  return way === '' || !(isAbsolute(way) || way === '..' || way.startsWith(`..${sep}`));
}
