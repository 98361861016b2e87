/**
 * Bodies that hold passwords, as web servers take them over plain HTTP: AES-256-CBC with a key made
 * of the address. It keeps passwords out of logs, nothing more: only HTTPS keeps them secret.
 */
import { createCipheriv } from 'node:crypto';
import { type Random, randomString } from '../common/random.ts';

const IV_CHARS = 16;
const KEY_CHARS = 32;

/** @param endpoint the address that requests go to, without a trailing slash. */
export function sealBody(endpoint: string, json: string, random: Random): string {
  const iv = randomString(random, IV_CHARS);
  const key = `${Buffer.from(endpoint).toString('base64')}${iv}${iv}`.slice(0, KEY_CHARS);
  const cipher = createCipheriv('aes-256-cbc', key, iv);
  return `${iv}:${cipher.update(json, 'utf8', 'base64')}${cipher.final('base64')}`;
}
