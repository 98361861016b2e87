/** Paths of files that people have put into the home folder of their sessions. */

export const HOME = '/home/work';
/** Longest path, and longest part of one. Bytes. */
const MAX_PATH_BYTES = 1024;
const MAX_NAME_BYTES = 255;

/**
 * The parts of a path below the home folder: `~/.bashrc`, `.config/x/y`, `/home/work/.vimrc`.
 * @returns null when it lies elsewhere, names the home folder itself or cannot be a file's path.
 */
export function homePathParts(path: string): string[] | null {
  if (path.includes('\0') || Buffer.byteLength(path) > MAX_PATH_BYTES) return null;
  const below = path.startsWith(`${HOME}/`)
    ? path.slice(HOME.length + 1)
    : path.replace(/^~\//, '');
  if (below.startsWith('/') || below.endsWith('/')) return null;
  const parts = below.split('/').filter((part) => part !== '' && part !== '.');
  const isBad = (part: string) => part === '..' || Buffer.byteLength(part) > MAX_NAME_BYTES;
  return parts.length === 0 || parts.some(isBad) ? null : parts;
}
