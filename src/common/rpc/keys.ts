/** Ed25519 keys of a node (manager or agent): making them, keeping them in a file, using them. */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { chmod, link, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errorCode, errorMessage, UserError } from '../errors.ts';

/** The 12 bytes that precede the raw key in the SPKI form of every Ed25519 public key. */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');
const RAW_KEY_BYTES = 32;

export interface NodeKeys {
  /** Base64url of the raw 32 bytes; also serves as the key's id. */
  readonly publicKey: string;
  /** @returns the base64url signature of `data`. */
  sign(data: Uint8Array): string;
  /** The private key as PKCS #8 PEM. */
  toPem(): string;
}

function fromPrivateKey(privateKey: KeyObject): NodeKeys {
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  return {
    publicKey: spki.subarray(SPKI_PREFIX.length).toString('base64url'),
    sign: (data) => sign(null, data, privateKey).toString('base64url'),
    toPem: () => privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** A fresh pair of keys. */
export const generateKeys = (): NodeKeys =>
  fromPrivateKey(generateKeyPairSync('ed25519').privateKey);

/** @throws Error when the text is not an Ed25519 private key in PEM. */
export function keysFromPem(pem: string): NodeKeys {
  const key = createPrivateKey(pem);
  if (key.asymmetricKeyType !== 'ed25519') {
    throw new Error(`expected an Ed25519 key, found ${key.asymmetricKeyType ?? 'an unknown kind'}`);
  }
  return fromPrivateKey(key);
}

/** Whether `signature` (base64url) over `data` was made with the key pair of `publicKey`. */
export function verifySignature(publicKey: string, data: Uint8Array, signature: string): boolean {
  const raw = Buffer.from(publicKey, 'base64url');
  // Of the many spellings that decode to one key only one counts: a key is known by its text.
  if (raw.length !== RAW_KEY_BYTES || raw.toString('base64url') !== publicKey) return false;
  const key = createPublicKey({
    key: Buffer.concat([SPKI_PREFIX, raw]),
    format: 'der',
    type: 'spki',
  });
  return verify(null, data, key, Buffer.from(signature, 'base64url'));
}

/** Reads a key file. @throws UserError when it is missing, unreadable or not a key. */
export async function loadKeys(path: string): Promise<NodeKeys> {
  try {
    return keysFromPem(await readFile(path, 'utf8'));
  } catch (error) {
    throw new UserError(`cannot use the key file ${path}: ${errorMessage(error)}`, {
      hint: 'Restore the file from a backup, or remove it to have a new key made.',
      cause: error,
    });
  }
}

/** Writes the private key with mode 0600; an existing file is replaced in one step. */
export const saveKeys = (path: string, keys: NodeKeys): Promise<void> =>
  placeKeys(path, keys, rename);

/** @param place puts the finished draft where it belongs, in one step. */
async function placeKeys(
  path: string,
  keys: NodeKeys,
  place: (draft: string, path: string) => Promise<void>,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${process.pid}.new`;
  try {
    const file = await open(draft, 'w', 0o600);
    try {
      await file.writeFile(keys.toPem());
      await file.sync();
    } finally {
      await file.close();
    }
    await chmod(draft, 0o600);
    await place(draft, path);
  } finally {
    await rm(draft, { force: true });
  }
}

/**
 * The keys kept in `path`; makes and stores new ones when there is no such file. Of several programs
 * that do so at once, all end up with the same.
 */
export async function loadOrCreateKeys(path: string): Promise<NodeKeys> {
  if (await Bun.file(path).exists()) return loadKeys(path);
  const keys = generateKeys();
  try {
    // Unlike a renamed file, a link never takes the place of another one.
    await placeKeys(path, keys, link);
    return keys;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return loadKeys(path);
    throw error;
  }
}
