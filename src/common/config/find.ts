/** Where configuration files are looked for: upstream's order. */
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { UserError } from '../errors.ts';

export interface SearchPlaces {
  /** The folder the command runs in. */
  readonly cwd: string;
  /** The user's home folder. */
  readonly home: string;
}

/**
 * The places for `fileName`, first to last: the current folder, its parents up to the home folder,
 * `~/.config/backend.ai/`, `/etc/backend.ai/`.
 */
export function candidatePaths(fileName: string, { cwd, home }: SearchPlaces): string[] {
  const folders: string[] = [];
  let folder = resolve(cwd);
  const top = resolve(home);
  for (;;) {
    folders.push(folder);
    const parent = dirname(folder);
    if (folder === top || parent === folder) break;
    folder = parent;
  }
  folders.push(join(top, '.config', 'backend.ai'), '/etc/backend.ai');
  return [...new Set(folders)].map((path) => join(path, fileName));
}

/** @throws UserError naming the paths tried and how to make a file. */
export function findConfigFile(
  fileName: string,
  explicitPath: string | undefined,
  places: SearchPlaces,
): string {
  const hint =
    `Copy config/${fileName} of the source tree to one of these places and adapt it, ` +
    'or name a file with --config.';
  if (explicitPath !== undefined) {
    const path = resolve(places.cwd, explicitPath);
    if (existsSync(path)) return path;
    throw new UserError(`There is no configuration file ${path}`, { hint });
  }
  const candidates = candidatePaths(fileName, places);
  const found = candidates.find((path) => existsSync(path));
  if (found) return found;
  throw new UserError(
    `No ${fileName} found; looked for\n${candidates.map((path) => `  ${path}`).join('\n')}`,
    { hint },
  );
}
