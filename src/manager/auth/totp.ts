/** One-time passwords of authenticator apps (RFC 6238): six digits, SHA-1, steps of 30 seconds. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { type Random, randomString } from '../../common/random.ts';

const STEP_SEC = 30;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
/** 160 bits, as long as the hash: what RFC 4226 recommends. Base32 digits. */
const SECRET_LENGTH = 32;

/** The bytes of base32 text; null when it is none. */
function fromBase32(text: string): Uint8Array | null {
  let bits = 0;
  let value = 0;
  const out: number[] = [];
  for (const char of text.toUpperCase().replace(/=+$/, '')) {
    const digit = ALPHABET.indexOf(char);
    if (digit < 0) return null;
    value = ((value << 5) | digit) & 0xfff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      out.push((value >> bits) & 0xff);
    }
  }
  return out.length === 0 ? null : Uint8Array.from(out);
}

function codeAt(key: Uint8Array, step: number): string {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const mac = createHmac('sha1', key).update(counter).digest();
  const offset = mac.readUInt8(mac.length - 1) & 0xf;
  return String((mac.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

/**
 * The time step whose code `otp` is: the present one or a neighbour, for clocks that differ a
 * little; null when it is none of them.
 * @param secret base32, as shown to the authenticator app.
 */
export function matchingTotpStep(secret: string, otp: string, now: Date): number | null {
  const key = fromBase32(secret);
  if (key === null || !/^\d{6}$/.test(otp)) return null;
  const current = Math.floor(now.getTime() / 1000 / STEP_SEC);
  for (const step of [current, current - 1, current + 1]) {
    if (timingSafeEqual(Buffer.from(codeAt(key, step)), Buffer.from(otp))) return step;
  }
  return null;
}

/** A new secret in base32, as authenticator apps take it. */
export const newTotpSecret = (random: Random): string =>
  randomString(random, SECRET_LENGTH, ALPHABET);

/** The `otpauth://` address that authenticator apps read from a QR code. */
export function provisioningUri(secret: string, account: string, issuer: string): string {
  const label = `${encodeURIComponent(issuer)}:${encodeURIComponent(account)}`;
  return `otpauth://totp/${label}?secret=${secret}&issuer=${encodeURIComponent(issuer)}`;
}
