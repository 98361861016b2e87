/** The HMAC request signature: parsing the header, the canonical text, and comparing. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { BackendError } from '../../common/errors.ts';
import { parseRequestDate, type RequestDate } from './date.ts';
import { possibleTargets, rawTarget } from './target.ts';

/** Largest accepted distance between the client's and our clock, exclusive. Milliseconds. */
const DATE_WINDOW_MS = 15 * 60_000;

/** Names after `HMAC-` (lower case) → the name this runtime knows the algorithm by. */
const HASHES: ReadonlyMap<string, string> = new Map([
  ...['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512'].map((h) => [h, h] as const),
  ...['224', '256', '384', '512'].map((bits) => [`sha3_${bits}`, `sha3-${bits}`] as const),
]);

const refuse = (message: string): never => {
  throw new BackendError('InvalidAuthParameters', message);
};

export interface Credential {
  readonly accessKey: string;
  /** Hex digest as the client computed it. */
  readonly signature: string;
  /** Hash algorithm under this runtime's name. */
  readonly hash: string;
}

/** @throws BackendError InvalidAuthParameters for another scheme or a malformed credential. */
export function parseAuthorization(header: string): Credential {
  const space = header.indexOf(' ');
  const scheme = space < 0 ? header : header.slice(0, space);
  if (scheme !== 'BackendAI' && scheme !== 'Sorna') {
    refuse('The Authorization header must use the scheme BackendAI.');
  }
  const params = new Map<string, string>();
  for (const part of header.slice(space + 1).split(',')) {
    const at = part.indexOf('=');
    if (at < 0)
      refuse('The Authorization header is malformed: expected comma-separated key=value.');
    params.set(part.slice(0, at).trim(), part.slice(at + 1).trim());
  }
  const credential = params.get('credential') ?? '';
  const colon = credential.indexOf(':');
  if (colon <= 0) refuse('The credential must have the form ACCESS_KEY:SIGNATURE.');
  const method = params.get('signMethod') ?? '';
  const hash = method.startsWith('HMAC-') ? HASHES.get(method.slice(5).toLowerCase()) : undefined;
  if (hash === undefined)
    return refuse(`The signing method '${method}' is not supported; use HMAC-SHA256.`);
  return { accessKey: credential.slice(0, colon), signature: credential.slice(colon + 1), hash };
}

const seconds = (ms: number): string => `${Math.round(ms / 1000)} seconds`;

/** The date header's text and meaning. @throws BackendError InvalidAuthParameters. */
function signedDate(headers: Headers, now: Date): { text: string; date: RequestDate } {
  const text =
    headers.get('date') ?? headers.get('x-backendai-date') ?? headers.get('x-sorna-date') ?? '';
  if (text === '') refuse('A signed request needs a Date or X-BackendAI-Date header.');
  const date = parseRequestDate(text, now.getUTCFullYear());
  if (date === null) return refuse(`The date header is not a date: '${text.slice(0, 100)}'.`);
  const aheadMs = date.epochMs - now.getTime();
  if (Math.abs(aheadMs) >= DATE_WINDOW_MS) {
    refuse(
      `Date/time sync error: the client's clock is ${seconds(Math.abs(aheadMs))} ` +
        `${aheadMs > 0 ? 'ahead of' : 'behind'} the server's (${now.toISOString()}); at most ` +
        `${seconds(DATE_WINDOW_MS)} are allowed. Set the client's clock, for example with NTP.`,
    );
  }
  return { text, date };
}

/** Host and targets that the signature may cover. A proxy names the original URL in a header. */
function signedLocation(
  request: Request,
  isForwarded: boolean,
): { host: string; targets: string[] } {
  const forwarded = isForwarded ? request.headers.get('x-forwarded-url') : null;
  if (forwarded !== null) {
    const schemeEnd = forwarded.indexOf('://');
    const authority =
      schemeEnd < 0 ? '' : (/^[^/?#]*/.exec(forwarded.slice(schemeEnd + 3))?.[0] ?? '');
    const path = rawTarget(forwarded).split('?', 1)[0] ?? '/';
    return { host: authority, targets: [path] };
  }
  return {
    host: request.headers.get('host') ?? '',
    targets: possibleTargets(rawTarget(request.url)),
  };
}

function mediaType(headers: Headers): string {
  const text = headers.get('content-type')?.split(';', 1)[0]?.trim().toLowerCase();
  return text || 'application/octet-stream';
}

/** The seven lines that are signed. `bodyHash` is that of the empty string in all served versions. */
export function canonicalText(fields: {
  method: string;
  target: string;
  date: string;
  host: string;
  contentType: string;
  versionName: 'x-backendai-version' | 'x-sorna-version';
  version: string;
  bodyHash: string;
}): string {
  return [
    fields.method,
    fields.target,
    fields.date,
    `host:${fields.host}`,
    `content-type:${fields.contentType}`,
    `${fields.versionName}:${fields.version}`,
    fields.bodyHash,
  ].join('\n');
}

/** The hex signature of `text`: the key is derived from the secret, the day and the host. */
export function sign(
  hash: string,
  secret: string,
  day: string,
  host: string,
  text: string,
): string {
  const dayKey = createHmac(hash, secret).update(day).digest();
  const hostKey = createHmac(hash, dayKey).update(host).digest();
  return createHmac(hash, hostKey).update(text).digest('hex');
}

function equal(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

/** What a signature check needs from the request; read before any key is looked up. */
export interface SignedRequest {
  readonly credential: Credential;
  verify(secretKey: string): boolean;
}

/**
 * @param isForwarded whether an `X-Forwarded-URL` header is believed.
 * @throws BackendError InvalidAuthParameters when headers are missing or malformed.
 */
export function readSignedRequest(
  request: Request,
  authorization: string,
  now: Date,
  isForwarded: boolean,
): SignedRequest {
  const { headers } = request;
  const credential = parseAuthorization(authorization);
  const { text: dateText, date } = signedDate(headers, now);
  const modern = headers.get('x-backendai-version');
  const version = modern ?? headers.get('x-sorna-version');
  if (version === null) return refuse('A signed request needs an X-BackendAI-Version header.');
  const bodyHash = createHash(credential.hash).digest('hex');
  const { host, targets } = signedLocation(request, isForwarded);
  const contentType = mediaType(headers);
  return {
    credential,
    verify: (secretKey) =>
      targets.some((target) => {
        const text = canonicalText({
          method: request.method,
          target,
          date: dateText,
          host,
          contentType,
          versionName: modern === null ? 'x-sorna-version' : 'x-backendai-version',
          version,
          bodyHash,
        });
        return equal(sign(credential.hash, secretKey, date.day, host, text), credential.signature);
      }),
  };
}
