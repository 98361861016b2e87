/**
 * Long lists of files to be downloaded together. A token travels in an address, and addresses of more
 * than 16 KiB are refused: such a list stays on the volume, and the token names it.
 */
import { mkdir, readdir, readFile, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { errorCode } from '../common/errors.ts';
import { StorageError } from './problems.ts';
import type { Volume } from './volumes/volume.ts';

/** Longer lists, as JSON, do not go into the token. Characters. */
const MAX_IN_TOKEN = 4000;

const list = v.array(v.string());
const folderOf = (volume: Volume): string => volume.privatePath('archives');

export const fitsIntoToken = (files: readonly string[]): boolean =>
  JSON.stringify(files).length <= MAX_IN_TOKEN;

/**
 * Keeps a list, and forgets those whose tokens have expired.
 * @param id a UUID, which the token names.
 * @param expiredMs lists made before are of no use any more; milliseconds of the epoch.
 */
export async function keepList(
  volume: Volume,
  id: string,
  files: readonly string[],
  expiredMs: number,
): Promise<void> {
  const folder = folderOf(volume);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    try {
      if ((await stat(path)).mtimeMs < expiredMs) await unlink(path);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }
  const path = join(folder, `${id}.json`);
  await writeFile(`${path}.new`, JSON.stringify(files), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** @throws StorageError when it is not there any more. */
export async function readList(volume: Volume, id: string): Promise<string[]> {
  try {
    return v.parse(list, JSON.parse(await readFile(join(folderOf(volume), `${id}.json`), 'utf8')));
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw error;
    throw new StorageError(
      'InvalidParameters',
      'The list of files of this token is gone. Ask the manager for another token.',
    );
  }
}
