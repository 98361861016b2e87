/** Who may come in, and who we are: authorised keys, the kernel's host key, the key for downloads. */
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errorCode } from '../../common/errors.ts';
import type { Random } from '../../common/random.ts';
import { makeKeyPair } from './key-pair.ts';

const MAX_FILE_BYTES = 256 * 1024;
const MAX_KEYS = 1000;
/** The private key that clients download to come in with; upstream's name. */
export const DOWNLOADED_KEY = 'id_container';

/** Keys that come with `command="…"` and the like would be let in with more than they were meant to. */
const PLAIN_KEY = /^((?:ssh|ecdsa|sk)-\S+\s+([A-Za-z0-9+/=]+))/;

export interface PublicKey {
  /** As on the wire. */
  readonly data: Buffer;
  /** As in a file: kind and base64. */
  readonly text: string;
}

async function textOf(path: string): Promise<string> {
  try {
    if ((await stat(path)).size > MAX_FILE_BYTES) return '';
    return await readFile(path, 'utf8');
  } catch {
    // Absent, or not ours to read: it lets nobody in.
    return '';
  }
}

/** The public keys that the given files let in. */
export async function authorizedKeys(paths: readonly string[]): Promise<PublicKey[]> {
  const texts = await Promise.all(paths.map(textOf));
  const lines = texts.flatMap((text) => text.split('\n')).map((line) => line.trim());
  return lines.slice(0, MAX_KEYS).flatMap((line) => {
    const [, text, data] = PLAIN_KEY.exec(line) ?? [];
    return text === undefined || data === undefined
      ? []
      : [{ text, data: Buffer.from(data, 'base64') }];
  });
}

/** The host key kept at `path`; made when there is none yet. */
export async function hostKey(path: string, random: Random): Promise<string> {
  const known = await readFile(path, 'utf8').catch((error) => {
    if (errorCode(error) !== 'ENOENT') throw error;
    return null;
  });
  if (known !== null) return known;
  const { privateKey } = makeKeyPair('host', random);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFile(path, privateKey, { mode: 0o600, flag: 'wx' });
  return privateKey;
}

/** The file of the keys that may come in. */
export const authorizedKeysFile = (home: string): string => join(home, '.ssh', 'authorized_keys');

/**
 * Without a key of the user's, makes a pair: the private half is what clients download.
 * A folder that can't be written stays as it is: then nobody comes in this way.
 */
export async function ensureUserKey(home: string, random: Random): Promise<void> {
  const path = authorizedKeysFile(home);
  if ((await stat(path).catch(() => null)) !== null) return;
  const { privateKey, publicKey } = makeKeyPair('work@backend.ai', random);
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  // At once: a client that waits for the file must not read half of it.
  const download = join(home, DOWNLOADED_KEY);
  await writeFile(`${download}.new`, privateKey, { mode: 0o600 });
  await rename(`${download}.new`, download);
  await writeFile(path, `${publicKey}\n`, { mode: 0o600 });
}
