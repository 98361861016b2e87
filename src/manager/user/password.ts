/**
 * Password hashes. Written and read: upstream's `pbkdf2_sha256$rounds$salt$hash` (hexadecimal), the
 * default, and Argon2id in PHC notation, which is as strong at a fraction of the time.
 */
import { pbkdf2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { type Random, systemRandom } from '../../common/random.ts';

const PBKDF2_ROUNDS = 600_000;
const SALT_BYTES = 32;
const HASH_BYTES = 32;
/** A stored hash may not make the server work longer than this. */
const MAX_PBKDF2_ROUNDS = 10_000_000;
/** OWASP's least memory for Argon2id at two passes. KiB. */
const ARGON2_MEMORY_KIB = 19 * 1024;

const derive = promisify(pbkdf2);

export type HashAlgorithm = 'pbkdf2_sha256' | 'argon2id';

/** Hashes a password for storing. PBKDF2 takes about 0.2 s of one core, Argon2id about 0.03 s. */
export async function hashPassword(
  password: string,
  options: { readonly algorithm?: HashAlgorithm; readonly random?: Random } = {},
): Promise<string> {
  if (options.algorithm === 'argon2id') {
    return Bun.password.hash(password, {
      algorithm: 'argon2id',
      memoryCost: ARGON2_MEMORY_KIB,
      timeCost: 2,
    });
  }
  const salt = Buffer.from((options.random ?? systemRandom).bytes(SALT_BYTES));
  const hash = await derive(password, salt, PBKDF2_ROUNDS, HASH_BYTES, 'sha256');
  return ['pbkdf2_sha256', PBKDF2_ROUNDS, salt.toString('hex'), hash.toString('hex')].join('$');
}

const DIGESTS: Readonly<Record<string, string>> = {
  pbkdf2_sha256: 'sha256',
  pbkdf2_sha3_256: 'sha3-256',
};

/**
 * Whether `password` is the one that `stored` was made from. Reads PBKDF2 (SHA-256, SHA3-256),
 * Argon2 and bcrypt; anything else, damaged hashes included, matches no password.
 */
export async function verifyPassword(password: string, stored: string): Promise<boolean> {
  if (stored.startsWith('$')) {
    // bun refuses strings it cannot parse; to us these are hashes that match nothing.
    return Bun.password.verify(password, stored).catch(() => false);
  }
  const [algorithm, roundsText, salt, hash, ...rest] = stored.split('$');
  const digest = DIGESTS[algorithm ?? ''];
  const rounds = Number(roundsText);
  if (!digest || rest.length > 0 || !isHex(salt) || !isHex(hash)) return false;
  if (!Number.isSafeInteger(rounds) || rounds < 1 || rounds > MAX_PBKDF2_ROUNDS) return false;
  const expected = Buffer.from(hash, 'hex');
  const actual = await derive(password, Buffer.from(salt, 'hex'), rounds, expected.length, digest);
  return timingSafeEqual(actual, expected);
}

function isHex(text: string | undefined): text is string {
  return text !== undefined && text.length <= 1024 && /^([0-9a-f]{2})+$/i.test(text);
}

/** Spends the time of a verification, so that unknown accounts don't answer faster. */
export async function burnVerification(password: string): Promise<void> {
  await derive(password, Buffer.alloc(SALT_BYTES), PBKDF2_ROUNDS, HASH_BYTES, 'sha256');
}
