/** Randomness as an injected dependency, so that tests can repeat a run. */
import { randomBytes, randomUUID } from 'node:crypto';

export interface Random {
  /** A version-4 UUID, lower case with dashes. */
  uuid(): string;
  /** `count` cryptographically strong random bytes. */
  bytes(count: number): Uint8Array;
}

export const systemRandom: Random = {
  uuid: () => randomUUID(),
  bytes: (count) => new Uint8Array(randomBytes(count)),
};

const ALPHANUMERIC = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
const UPPER_ALPHANUMERIC = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';

/** A random string over `alphabet`, unbiased by rejection sampling. */
export function randomString(random: Random, length: number, alphabet = ALPHANUMERIC): string {
  const limit = 256 - (256 % alphabet.length);
  let out = '';
  while (out.length < length) {
    for (const byte of random.bytes(length - out.length)) {
      if (byte < limit) out += alphabet[byte % alphabet.length];
    }
  }
  return out;
}

/** A new API keypair: 20-character access key (`AKIA…`) and 40-character secret key. */
export function generateKeypair(random: Random): { accessKey: string; secretKey: string } {
  return {
    accessKey: `AKIA${randomString(random, 16, UPPER_ALPHANUMERIC)}`,
    secretKey: randomString(random, 40),
  };
}
