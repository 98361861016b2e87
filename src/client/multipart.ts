/** Splits a multipart answer into the bodies of its parts. */
import { ConnectionError } from './errors.ts';

const CRLF_CRLF = Buffer.from('\r\n\r\n');

/**
 * @param contentType header with the boundary parameter.
 * @throws ConnectionError when the body is cut off or not multipart.
 */
export function multipartBodies(body: Uint8Array, contentType: string): Uint8Array[] {
  const boundary = /boundary="?([^";]+)"?/i.exec(contentType)?.[1];
  if (boundary === undefined) {
    throw new ConnectionError('', `Expected a multipart answer, got '${contentType}'.`);
  }
  // The first delimiter has no line break before it; adding one makes them all alike.
  const bytes = Buffer.concat([Buffer.from('\r\n'), body]);
  const delimiter = Buffer.from(`\r\n--${boundary}`);
  const parts: Uint8Array[] = [];
  let start = bytes.indexOf(delimiter);
  while (start >= 0) {
    const contentStart = start + delimiter.length;
    if (bytes.subarray(contentStart, contentStart + 2).toString() === '--') return parts;
    const next = bytes.indexOf(delimiter, contentStart);
    const headersEnd = bytes.indexOf(CRLF_CRLF, contentStart);
    if (next < 0 || headersEnd < 0 || headersEnd > next) break;
    parts.push(bytes.subarray(headersEnd + CRLF_CRLF.length, next));
    start = next;
  }
  throw new ConnectionError('', 'The multipart answer was cut off.');
}
