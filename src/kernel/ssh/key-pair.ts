/** Makes Ed25519 key pairs in the format of OpenSSH, without loading an SSH library. */
import { generateKeyPairSync } from 'node:crypto';
import type { Random } from '../../common/random.ts';

const KIND = 'ssh-ed25519';
const LINE_LENGTH = 70;
const BLOCK_BYTES = 8;

export interface KeyPair {
  /** The text of a private key file. */
  readonly privateKey: string;
  /** One line of an authorized_keys file. */
  readonly publicKey: string;
}

const uint32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const field = (data: string | Uint8Array): Buffer => {
  const bytes = Buffer.from(data);
  return Buffer.concat([uint32(bytes.length), bytes]);
};

function makeSeed(): { seed: Buffer; point: Buffer } {
  const { d = '', x = '' } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  return { seed: Buffer.from(d, 'base64url'), point: Buffer.from(x, 'base64url') };
}

/** @param comment names the key in the files. */
export function makeKeyPair(comment: string, random: Random): KeyPair {
  const { seed, point } = makeSeed();
  const publicPart = Buffer.concat([field(KIND), field(point)]);
  const check = Buffer.from(random.bytes(4));
  const secret = Buffer.concat([
    ...[check, check, publicPart, field(Buffer.concat([seed, point])), field(comment)],
  ]);
  const padding = Buffer.from(
    Array.from(
      { length: (BLOCK_BYTES - (secret.length % BLOCK_BYTES)) % BLOCK_BYTES },
      (_, at) => at + 1,
    ),
  );
  const file = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    ...['none', 'none', ''].map(field),
    uint32(1),
    field(publicPart),
    field(Buffer.concat([secret, padding])),
  ]).toString('base64');
  const lines = file.match(new RegExp(`.{1,${LINE_LENGTH}}`, 'g')) ?? [];
  const frame = (word: string) => `-----${word} OPENSSH PRIVATE KEY-----`;
  return {
    privateKey: `${[frame('BEGIN'), ...lines, frame('END')].join('\n')}\n`,
    publicKey: `${KIND} ${publicPart.toString('base64')} ${comment}`,
  };
}
