/** Request signing: HMAC over the request line and four headers, never over the body. */
import { createHash, createHmac } from 'node:crypto';

export const API_VERSION = 'v9.20250722';

const EMPTY_BODY_HASH = createHash('sha256').update('').digest('hex');

export interface SignedParts {
  readonly method: string;
  /** Path and query exactly as they go over the wire. */
  readonly target: string;
  /** Text of the `Date` header, ISO 8601. */
  readonly date: string;
  /** Authority: host, and the port unless it is the scheme's own. */
  readonly host: string;
  /** Media type without parameters. */
  readonly contentType: string;
  readonly version: string;
}

/** @returns the signature in lower-case hex. */
export function signature(parts: SignedParts, secretKey: string): string {
  const canonical = [
    parts.method,
    parts.target,
    parts.date,
    `host:${parts.host}`,
    `content-type:${parts.contentType.toLowerCase()}`,
    `x-backendai-version:${parts.version}`,
    EMPTY_BODY_HASH,
  ].join('\n');
  const day = parts.date.slice(0, 10).replaceAll('-', '');
  const dayKey = createHmac('sha256', secretKey).update(day).digest();
  const key = createHmac('sha256', dayKey).update(parts.host).digest();
  return createHmac('sha256', key).update(canonical).digest('hex');
}

export interface Credential {
  readonly accessKey: string;
  readonly secretKey: string;
}

/** ISO 8601 in UTC with microseconds, as the official clients write it. */
export const dateHeader = (now: Date): string => now.toISOString().replace('Z', '000+00:00');

/**
 * The headers of a request: version and date, and the signature unless `credential` is null.
 * Content-Type is left to the caller, since streams sign one they do not send.
 */
export function requestHeaders(
  request: { method: string; url: URL; contentType: string },
  credential: Credential | null,
  now: Date,
): Record<string, string> {
  const date = dateHeader(now);
  const headers: Record<string, string> = {
    Date: date,
    'X-BackendAI-Version': API_VERSION,
  };
  if (credential !== null) {
    const hex = signature(
      {
        method: request.method,
        target: `${request.url.pathname}${request.url.search}`,
        date,
        host: request.url.host,
        contentType: request.contentType,
        version: API_VERSION,
      },
      credential.secretKey,
    );
    headers.Authorization = `BackendAI signMethod=HMAC-SHA256, credential=${credential.accessKey}:${hex}`;
  }
  return headers;
}
