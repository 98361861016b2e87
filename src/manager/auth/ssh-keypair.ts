/** SSH keypairs as people use them: made here, or brought along and checked. */
import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import * as v from 'valibot';
import { BackendError, errorMessage } from '../../common/errors.ts';

export interface SshKeypair {
  /** One line of an authorized_keys file. */
  readonly publicKey: string;
  /** PEM or OpenSSH text. */
  readonly privateKey: string;
}

const RSA_BITS = 2048;
const OPENSSH_MAGIC = 'openssh-key-v1\0';
const PUBLIC_LINE =
  /^(ssh-rsa|ssh-ed25519|ecdsa-sha2-nistp(?:256|384|521)) ([A-Za-z0-9+/=]+)(?: .*)?$/;

const generate = promisify(generateKeyPair);

const field = (data: Uint8Array): Buffer => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  return Buffer.concat([length, data]);
};
/** An unsigned big number; a leading zero keeps it positive. */
const number = (data: Uint8Array): Buffer =>
  field((data[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.from([0]), data]) : data);
const text = (value: string): Buffer => field(Buffer.from(value));
const bytes = (value: string): Buffer => Buffer.from(value, 'base64url');

const CURVES: Readonly<Record<string, string>> = {
  'P-256': 'nistp256',
  'P-384': 'nistp384',
  'P-521': 'nistp521',
};

const jwk = v.variant('kty', [
  v.object({ kty: v.literal('RSA'), n: v.string(), e: v.string() }),
  v.object({ kty: v.literal('EC'), crv: v.string(), x: v.string(), y: v.string() }),
  v.object({ kty: v.literal('OKP'), crv: v.literal('Ed25519'), x: v.string() }),
]);

/** The public key as SSH writes it on the wire; null for a kind SSH does not use. */
function wireFormat(key: KeyObject): Buffer | null {
  const parsed = v.safeParse(jwk, key.export({ format: 'jwk' }));
  if (!parsed.success) return null;
  const parts = parsed.output;
  if (parts.kty === 'RSA') {
    return Buffer.concat([text('ssh-rsa'), number(bytes(parts.e)), number(bytes(parts.n))]);
  }
  if (parts.kty === 'OKP') return Buffer.concat([text('ssh-ed25519'), field(bytes(parts.x))]);
  const curve = CURVES[parts.crv];
  if (curve === undefined) return null;
  const point = Buffer.concat([Buffer.from([4]), bytes(parts.x), bytes(parts.y)]);
  return Buffer.concat([text(`ecdsa-sha2-${curve}`), text(curve), field(point)]);
}

/** The public half inside an OpenSSH private key file without a passphrase. */
function publicHalf(privateKey: string): Buffer {
  const base64 = privateKey.replace(/-----[^-]+-----/g, '').replace(/\s+/g, '');
  const data = Buffer.from(base64, 'base64');
  const refuse = (why: string): never => {
    throw new BackendError('InvalidSSHPrivateKey', why);
  };
  if (data.subarray(0, OPENSSH_MAGIC.length).toString('latin1') !== OPENSSH_MAGIC) {
    refuse('The private key is damaged.');
  }
  let at = OPENSSH_MAGIC.length;
  const take = (length: number): Buffer => {
    if (at + length > data.length) refuse('The private key is cut off.');
    at += length;
    return data.subarray(at - length, at);
  };
  const next = () => take(take(4).readUInt32BE(0));
  const cipher = next().toString('latin1');
  next();
  next();
  if (cipher !== 'none') refuse('Remove the passphrase of the private key first.');
  if (take(4).readUInt32BE(0) !== 1) refuse('The file holds more than one private key.');
  const half = next();
  if (next().indexOf(half.subarray(-16)) < 0) refuse('The private key is damaged.');
  return half;
}

function publicHalfOf(privateKey: string): Buffer {
  if (privateKey.includes('BEGIN OPENSSH PRIVATE KEY')) return publicHalf(privateKey);
  let half: Buffer | null;
  try {
    half = wireFormat(createPublicKey(createPrivateKey(privateKey)));
  } catch (error) {
    throw new BackendError(
      'InvalidSSHPrivateKey',
      `The private key cannot be read: ${errorMessage(error)}`,
    );
  }
  if (half !== null) return half;
  throw new BackendError('InvalidSSHPrivateKey', 'Use an RSA, ECDSA or Ed25519 key.');
}

/** A new RSA keypair of 2048 bits: the private half in PKCS #1 PEM, which every SSH client reads. */
export async function generateSshKeypair(): Promise<SshKeypair> {
  const { publicKey, privateKey } = await generate('rsa', { modulusLength: RSA_BITS });
  const wire = wireFormat(publicKey);
  if (wire === null) throw new Error('an RSA key has no SSH form');
  return {
    publicKey: `ssh-rsa ${wire.toString('base64')}\n`,
    privateKey: privateKey.export({ format: 'pem', type: 'pkcs1' }).toString(),
  };
}

/**
 * The pair with exactly one newline at the end of each half.
 * @throws BackendError InvalidSSHPublicKey, InvalidSSHPrivateKey or SSHKeypairMismatch.
 */
export function checkSshKeypair(given: SshKeypair): SshKeypair {
  const publicKey = given.publicKey.trim();
  const privateKey = given.privateKey.trim();
  const match = PUBLIC_LINE.exec(publicKey);
  if (match === null) {
    throw new BackendError(
      'InvalidSSHPublicKey',
      'Expected one line of an authorized_keys file: an RSA, ECDSA or Ed25519 key.',
    );
  }
  const wire = Buffer.from(match[2] ?? '', 'base64');
  if (!wire.equals(publicHalfOf(privateKey))) throw new BackendError('SSHKeypairMismatch');
  return { publicKey: `${publicKey}\n`, privateKey: `${privateKey}\n` };
}
