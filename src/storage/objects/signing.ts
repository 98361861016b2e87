/**
 * AWS Signature Version 4 as S3 servers check it: in the address of a request, and of the policy in a
 * form with which a browser uploads.
 */
import { createHash, createHmac } from 'node:crypto';

export interface Signer {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly region: string;
}

export interface PostPolicy {
  readonly bucket: string;
  readonly key: string;
  readonly now: Date;
  readonly expirationSec: number;
  /** Bytes, both included; null: any. */
  readonly sizes: readonly [number, number] | null;
}

const hmac = (key: string | Buffer, text: string): Buffer =>
  createHmac('sha256', key).update(text).digest();

/** `20260102T030405Z` */
const stamp = (now: Date): string => now.toISOString().replace(/[:-]|\.\d{3}/g, '');

const scopeOf = (day: string, region: string): string => `${day}/${region}/s3/aws4_request`;

/** @param day `YYYYMMDD`. @returns 64 hexadecimal digits. */
export function sign(text: string, secret: string, day: string, region: string): string {
  const steps = scopeOf(day, region).split('/');
  const key = steps.reduce<string | Buffer>((last, step) => hmac(last, step), `AWS4${secret}`);
  return hmac(key, text).toString('hex');
}

const encoded = (text: string): string =>
  encodeURIComponent(text).replace(
    /[!'()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );

export interface AddressToSign {
  readonly method: string;
  /** `http://host:port` without a path. */
  readonly endpoint: string;
  readonly bucket: string;
  /** Empty for the bucket itself. */
  readonly key: string;
  readonly query: Readonly<Record<string, string>>;
  readonly now: Date;
  readonly expirationSec: number;
}

/** An address that may be used with the method, and any body, for some seconds. */
export function signedAddress(signer: Signer, address: AddressToSign): string {
  const { host, origin } = new URL(address.endpoint);
  const date = stamp(address.now);
  const day = date.slice(0, 8);
  const path = `/${encoded(address.bucket)}/${address.key.split('/').map(encoded).join('/')}`;
  const query = Object.entries({
    ...address.query,
    'X-Amz-Algorithm': 'AWS4-HMAC-SHA256',
    'X-Amz-Credential': `${signer.accessKey}/${scopeOf(day, signer.region)}`,
    'X-Amz-Date': date,
    'X-Amz-Expires': `${address.expirationSec}`,
    'X-Amz-SignedHeaders': 'host',
  })
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .sort()
    .join('&');
  const request = [address.method, path, query, `host:${host}\n`, 'host', 'UNSIGNED-PAYLOAD'];
  const hash = createHash('sha256').update(request.join('\n')).digest('hex');
  const text = ['AWS4-HMAC-SHA256', date, scopeOf(day, signer.region), hash].join('\n');
  const signature = sign(text, signer.secretKey, day, signer.region);
  return `${origin}${path}?${query}&X-Amz-Signature=${signature}`;
}

/** The fields that the client sends before the field `file`. */
export function postFields(signer: Signer, options: PostPolicy): Record<string, string> {
  const { key, now, expirationSec, sizes } = options;
  const date = stamp(now);
  const day = date.slice(0, 8);
  const signed = {
    'x-amz-algorithm': 'AWS4-HMAC-SHA256',
    'x-amz-credential': `${signer.accessKey}/${scopeOf(day, signer.region)}`,
    'x-amz-date': date,
  };
  const conditions = [
    ...Object.entries({ bucket: options.bucket, key, ...signed }).map(([k, v]) => ({ [k]: v })),
    ...(sizes === null ? [] : [['content-length-range', ...sizes]]),
  ];
  const expiration = new Date(now.getTime() + expirationSec * 1000).toISOString();
  const policy = Buffer.from(JSON.stringify({ expiration, conditions })).toString('base64');
  const signature = sign(policy, signer.secretKey, day, signer.region);
  return { key, ...signed, policy, 'x-amz-signature': signature };
}
