/** Lists a folder the way `ls -l` would, for the client's file browser. */
import { lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode, errorMessage } from '../../common/errors.ts';
import type { FileListing } from '../../common/protocol/execution.ts';

/** Entries in one listing; more would not fit one message. */
const MAX_ENTRIES = 5000;

const TYPE_LETTERS: ReadonlyMap<number, string> = new Map([
  [0o010000, 'p'],
  [0o020000, 'c'],
  [0o040000, 'd'],
  [0o060000, 'b'],
  [0o100000, '-'],
  [0o120000, 'l'],
  [0o140000, 's'],
]);

/** `st_mode` in `ls -l` notation, e.g. `drwxr-xr-x`. */
export function modeText(mode: number): string {
  const bits = ['r', 'w', 'x', 'r', 'w', 'x', 'r', 'w', 'x'];
  const text = bits.map((letter, index) => (mode & (0o400 >> index) ? letter : '-'));
  const special = [
    { bit: 0o4000, at: 2, letter: 's' },
    { bit: 0o2000, at: 5, letter: 's' },
    { bit: 0o1000, at: 8, letter: 't' },
  ];
  for (const { bit, at, letter } of special) {
    if (mode & bit) text[at] = text[at] === 'x' ? letter : letter.toUpperCase();
  }
  return (TYPE_LETTERS.get(mode & 0o170000) ?? '?') + text.join('');
}

/** The entries of an existing folder; what could not be read is told in `errors`. */
export async function listFolder(path: string): Promise<FileListing> {
  const listing: FileListing = { entries: [], errors: '', abspath: path };
  const problems: string[] = [];
  try {
    for await (const { name } of await opendir(path)) {
      if (listing.entries.length >= MAX_ENTRIES) {
        problems.push(`Only the first ${MAX_ENTRIES} entries are listed.`);
        break;
      }
      try {
        const info = await lstat(join(path, name));
        listing.entries.push({
          mode: modeText(info.mode),
          size: info.size,
          ctime: info.ctimeMs / 1000,
          mtime: info.mtimeMs / 1000,
          atime: info.atimeMs / 1000,
          filename: name,
        });
      } catch (error) {
        problems.push(`${name}: ${errorMessage(error)}`);
      }
    }
  } catch (error) {
    const isAbsent = errorCode(error) === 'ENOENT';
    problems.push(isAbsent ? `There is no folder ${path}.` : errorMessage(error));
  }
  listing.entries.sort((a, b) => (a.filename < b.filename ? -1 : 1));
  listing.errors = problems.slice(0, 20).join('\n');
  return listing;
}
