/** What the proxy keeps on a volume for as long as tokens are good: it begins with the token's id. */
import { mkdir, readdir, readFile, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { errorCode } from '../../common/errors.ts';
import { StorageError } from '../problems.ts';
import type { Volume } from '../volumes/volume.ts';

/** Longer lists, as JSON, do not go into the token. Characters. */
const MAX_IN_TOKEN = 4000;
/** How often notes of expired tokens are looked for. Milliseconds. */
const FORGET_EVERY_MS = 60_000;

/**
 * `archives`: long lists of files to be downloaded together. A token travels in an address, and
 * addresses of more than 16 KiB are refused. `unpacked`: uploads that are done, of which no file tells.
 */
type Kind = 'archives' | 'unpacked';

const list = v.array(v.string());
/** When a folder of notes was looked through last. Milliseconds of the epoch. */
const lookedThrough = new Map<string, number>();

export const fitsIntoToken = (files: readonly string[]): boolean =>
  JSON.stringify(files).length <= MAX_IN_TOKEN;

async function forget(folder: string, expiredMs: number): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    try {
      if ((await stat(path)).mtimeMs < expiredMs) await unlink(path);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
  }
}

/**
 * Keeps a note, and now and then forgets those whose tokens have expired.
 * @param id hexadecimal digits and dashes, which the token names.
 * @param nowMs milliseconds of the epoch; `lifetimeMs` how long tokens are good.
 */
async function keep(
  volume: Volume,
  kind: Kind,
  { id, text, nowMs, lifetimeMs }: { id: string; text: string; nowMs: number; lifetimeMs: number },
): Promise<void> {
  const folder = volume.privatePath(kind);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, `${id}.json`);
  await writeFile(`${path}.new`, text, { mode: 0o600 });
  await rename(`${path}.new`, path);
  if (nowMs - (lookedThrough.get(folder) ?? 0) < FORGET_EVERY_MS) return;
  lookedThrough.set(folder, nowMs);
  await forget(folder, nowMs - lifetimeMs);
}

/** @returns null when there is none, or none any more. */
async function noted(volume: Volume, kind: Kind, id: string): Promise<string | null> {
  try {
    return await readFile(join(volume.privatePath(kind), `${id}.json`), 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

export const keepList = (
  volume: Volume,
  id: string,
  files: readonly string[],
  when: { nowMs: number; lifetimeMs: number },
): Promise<void> => keep(volume, 'archives', { id, text: JSON.stringify(files), ...when });

/** @throws StorageError when it is not there any more. */
export async function readList(volume: Volume, id: string): Promise<string[]> {
  const text = await noted(volume, 'archives', id);
  if (text !== null) return v.parse(list, JSON.parse(text));
  throw new StorageError(
    'InvalidParameters',
    'The list of files of this token is gone. Ask the manager for another token.',
  );
}

/** Notes that an archive was unpacked, before it goes away. */
export const keepUnpacked = (
  volume: Volume,
  session: string,
  when: { nowMs: number; lifetimeMs: number },
): Promise<void> => keep(volume, 'unpacked', { id: session, text: '{}', ...when });

export const isUnpacked = async (volume: Volume, session: string): Promise<boolean> =>
  (await noted(volume, 'unpacked', session)) !== null;
