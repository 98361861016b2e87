/** Multipart bodies: reading uploaded files, and writing several files into one answer. */
import { BackendError } from '../../common/errors.ts';

interface FilePart {
  readonly fieldName: string;
  /** As the client named it; may be a path. */
  readonly fileName: string;
  readonly data: Uint8Array;
}

const malformed = (detail: string) =>
  new BackendError('InvalidAPIParameters', `Malformed multipart body: ${detail}.`);

/** The boundary named by a content type. @throws BackendError when it is not a multipart form. */
export function formBoundary(contentType: string | null): string {
  const match = /^multipart\/form-data\s*;.*?\bboundary=(?:"([^"]+)"|([^;\s]+))/i.exec(
    contentType ?? '',
  );
  const boundary = match?.[1] ?? match?.[2];
  if (!boundary || boundary.length > 200) {
    throw malformed('the content type must be multipart/form-data with a boundary');
  }
  return boundary;
}

function parseHeaders(text: string): Map<string, string> {
  const headers = new Map<string, string>();
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0)
      headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
  }
  return headers;
}

function decodePercent(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * The file name of a Content-Disposition. Python's aiohttp percent-encodes the whole name, slashes
 * included; browsers encode only quotes and line ends. A name in which nothing else was left to
 * encode is taken for the former.
 */
export function dispositionFileName(disposition: string): string | null {
  const extended = /;\s*filename\*=utf-8''([^;\s]+)/i.exec(disposition)?.[1];
  if (extended !== undefined) return decodePercent(extended);
  const quoted = /;\s*filename="((?:[^"\\]|\\.)*)"/i.exec(disposition)?.[1];
  const plain = quoted ?? /;\s*filename=([^;\s]+)/i.exec(disposition)?.[1];
  if (plain === undefined) return null;
  if (/^(?:[\w.~-]|%[0-9A-F]{2})*$/i.test(plain)) return decodePercent(plain);
  return plain.replace(/%(22|0D|0A)/gi, decodePercent).replace(/\\(["\\])/g, '$1');
}

/**
 * The files of a multipart form.
 * @throws BackendError InvalidAPIParameters when the body is malformed, has more than `maxParts`
 *   parts, a part longer than `maxPartBytes`, one that is not a file, or a nested multipart.
 */
export function parseFileParts(
  body: Uint8Array,
  boundary: string,
  limits: { maxParts: number; maxPartBytes: number },
): FilePart[] {
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const parts: FilePart[] = [];
  const opening = Buffer.from(`--${boundary}`);
  const separator = Buffer.from(`\r\n--${boundary}`);
  let at = bytes.indexOf(opening);
  if (at < 0) throw malformed('its first boundary is missing');
  at += opening.length;
  while (bytes.subarray(at, at + 2).toString('latin1') !== '--') {
    if (parts.length === limits.maxParts) {
      throw new BackendError('InvalidAPIParameters', `At most ${limits.maxParts} files at a time.`);
    }
    const headersStart = bytes.indexOf('\r\n', at) + 2;
    const headersEnd = bytes.indexOf('\r\n\r\n', headersStart - 2);
    const end = headersEnd < 0 ? -1 : bytes.indexOf(separator, headersEnd + 2);
    if (headersStart < 2 || headersEnd < 0 || end < 0)
      throw malformed('it ends in the middle of a part');
    const headers = parseHeaders(bytes.subarray(headersStart, headersEnd).toString('utf8'));
    parts.push(readPart(headers, bytes.subarray(headersEnd + 4, end), limits.maxPartBytes));
    at = end + separator.length;
  }
  return parts;
}

function readPart(headers: Map<string, string>, data: Uint8Array, maxBytes: number): FilePart {
  if (/^multipart\//i.test(headers.get('content-type') ?? '')) {
    throw new BackendError('InvalidAPIParameters', 'Nested multipart parts are not supported.');
  }
  const disposition = headers.get('content-disposition') ?? '';
  const fileName = dispositionFileName(disposition);
  if (!fileName) throw malformed('every part must be a file with a name');
  if (data.byteLength > maxBytes) {
    throw new BackendError(
      'InvalidAPIParameters',
      `'${fileName}' has ${data.byteLength} bytes; a file may have at most ${maxBytes}.`,
    );
  }
  const fieldName = /;\s*name="([^"]*)"/i.exec(disposition)?.[1] ?? '';
  return { fieldName, fileName, data };
}

/** A multipart/mixed answer with one part per file. */
export function mixedResponse(parts: readonly Uint8Array[], boundary: string): Response {
  const chunks: Uint8Array[] = [];
  for (const part of parts) {
    chunks.push(
      Buffer.from(
        `--${boundary}\r\nContent-Type: application/x-tar\r\nContent-Encoding: identity\r\n` +
          `Content-Length: ${part.byteLength}\r\n\r\n`,
      ),
      part,
      Buffer.from('\r\n'),
    );
  }
  chunks.push(Buffer.from(`--${boundary}--\r\n`));
  return new Response(Buffer.concat(chunks), {
    headers: { 'Content-Type': `multipart/mixed; boundary="${boundary}"` },
  });
}
