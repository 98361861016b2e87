/**
 * Reads the heads of HTTP/1.1 messages, strictly: what two servers could understand differently
 * (and so take for the end of one message and the start of a smuggled one) is refused.
 */

/** Longest head of a request or response. Bytes. */
export const MAX_HEAD_BYTES = 64 * 1024;
export const MAX_HEADERS = 200;

export const HEAD_END = Buffer.from('\r\n\r\n');

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const FIELDS = `(?:\\r\\n${TOKEN}:[\\t\\x20-\\x7e\\x80-\\xff]*)*`;
// Whole heads, without the empty line that ends them. No folded lines, no bare CR, LF or NUL, no
// space before a colon.
const REQUEST = new RegExp(`^(${TOKEN}) ([\\x21-\\x7e\\x80-\\xff]+) HTTP/1\\.([01])${FIELDS}$`);
const RESPONSE = new RegExp(
  `^HTTP/1\\.([01]) ([1-9]\\d\\d)(?: [\\t\\x20-\\x7e\\x80-\\xff]*)?${FIELDS}$`,
);
const FIELD = /\r\n([^:]+):[\t ]*([^\r]*)/g;

/** How long the body is: a number of bytes, in chunks, or (responses only) until the connection ends. */
export type BodyLength = number | 'chunked' | 'until-close';

export interface Field {
  readonly name: string;
  /** The name in lower case. */
  readonly key: string;
  /** Without white space around it. */
  readonly value: string;
}

interface Head {
  readonly minorVersion: number;
  readonly fields: readonly Field[];
  /** What `Connection` names, in lower case. */
  readonly connection: ReadonlySet<string>;
}

/** What a request asks for, in whichever version of HTTP. */
export interface AskedFor {
  readonly method: string;
  /** Origin form: begins with a slash, or is `*`. */
  readonly target: string;
  readonly host: string;
  readonly fields: readonly Field[];
  /** Asks for a WebSocket. */
  readonly isWebSocket: boolean;
}

export interface RequestHead extends Head, AskedFor {
  readonly length: Exclude<BodyLength, 'until-close'>;
  /** Whether the client wants to go on with this connection. */
  readonly keepsAlive: boolean;
}

export interface ResponseHead extends Head {
  readonly status: number;
  readonly statusLine: string;
  readonly length: BodyLength;
  readonly keepsAlive: boolean;
}

/** Why a head was refused, and the status to say so with. */
export class HeadError extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const NO_TOKENS: ReadonlySet<string> = new Set();

function fieldsOf(text: string): Field[] {
  const fields: Field[] = [];
  for (const [, name = '', value = ''] of text.matchAll(FIELD)) {
    fields.push({ name, key: name.toLowerCase(), value: value.trimEnd() });
  }
  if (fields.length > MAX_HEADERS) {
    throw new HeadError(431, `A head may have up to ${MAX_HEADERS} fields.`);
  }
  return fields;
}

const tokensOf = (value: string): string[] =>
  value.split(',').map((token) => token.trim().toLowerCase());

interface Framing {
  connection: ReadonlySet<string>;
  contentLength: string | null;
  transferEncoding: string | null;
}

/** What must not be taken out of a head because `Connection` names it. */
const ESSENTIAL = ['content-length', 'transfer-encoding', 'host', 'cookie', 'authorization'];

/** @throws HeadError when there are several lengths, or when `Connection` names what frames the message. */
function framingOf(fields: readonly Field[]): Framing {
  const framing: Framing = { connection: NO_TOKENS, contentLength: null, transferEncoding: null };
  for (const { key, value } of fields) {
    if (key === 'connection') {
      framing.connection = new Set([...framing.connection, ...tokensOf(value)]);
    } else if (key === 'content-length') {
      if (framing.contentLength !== null) throw new HeadError(400, 'Content-Length comes twice.');
      framing.contentLength = value;
    } else if (key === 'transfer-encoding') {
      if (framing.transferEncoding !== null) {
        throw new HeadError(400, 'Transfer-Encoding comes twice.');
      }
      framing.transferEncoding = value.toLowerCase();
    }
  }
  if (ESSENTIAL.some((key) => framing.connection.has(key))) {
    throw new HeadError(400, 'Connection names a field that is meant for the other end.');
  }
  return framing;
}

function lengthOf({ contentLength, transferEncoding }: Framing, minorVersion: number) {
  if (transferEncoding !== null) {
    if (contentLength !== null) {
      throw new HeadError(400, 'Content-Length and Transfer-Encoding exclude each other.');
    }
    if (minorVersion === 0) throw new HeadError(400, 'HTTP/1.0 has no Transfer-Encoding.');
    if (transferEncoding !== 'chunked') {
      throw new HeadError(501, 'Of the transfer encodings only "chunked" is understood.');
    }
    return 'chunked';
  }
  if (contentLength === null) return null;
  if (!/^\d{1,15}$/.test(contentLength)) {
    throw new HeadError(400, 'Content-Length is not a number of bytes.');
  }
  return Number(contentLength);
}

const keepsAlive = (minorVersion: number, connection: ReadonlySet<string>): boolean =>
  minorVersion === 1 ? !connection.has('close') : connection.has('keep-alive');

/**
 * @param text the head, latin-1, without the empty line that ends it.
 * @throws HeadError when it is no HTTP/1.x request or not a clear one.
 */
export function parseRequestHead(text: string): RequestHead {
  const line = REQUEST.exec(text);
  if (line === null) throw new HeadError(400, 'This is not a valid HTTP/1.1 request.');
  const [, method = '', target = ''] = line;
  const minorVersion = line[3] === '1' ? 1 : 0;
  if (method === 'CONNECT') throw new HeadError(405, 'CONNECT is not served here.');
  if (!target.startsWith('/') && target !== '*') {
    throw new HeadError(400, 'The target of a request begins with a slash.');
  }
  const fields = fieldsOf(text);
  const framing = framingOf(fields);
  const hosts = fields.filter(({ key }) => key === 'host');
  if (hosts.length > 1 || (minorVersion === 1 && hosts.length === 0)) {
    throw new HeadError(400, 'A request has exactly one Host.');
  }
  const host = hosts[0]?.value ?? '';
  if (!/^[\w.\-:[\]]*$/.test(host)) throw new HeadError(400, 'Host is not a valid address.');
  const { connection } = framing;
  const isWebSocket =
    method === 'GET' &&
    minorVersion === 1 &&
    connection.has('upgrade') &&
    fields.some(({ key, value }) => key === 'upgrade' && value.toLowerCase() === 'websocket');
  const length = lengthOf(framing, minorVersion) ?? 0;
  if (isWebSocket && length !== 0) {
    throw new HeadError(400, 'A request for a WebSocket has no body.');
  }
  return {
    ...{ method, target, host, minorVersion, fields, connection, length, isWebSocket },
    keepsAlive: keepsAlive(minorVersion, connection),
  };
}

/**
 * @param method of the request: it decides whether there is a body.
 * @throws HeadError 502 when it is no HTTP/1.x response or not a clear one.
 */
export function parseResponseHead(text: string, method: string): ResponseHead {
  const line = RESPONSE.exec(text);
  if (line === null) throw new HeadError(502, 'The application did not answer with valid HTTP.');
  const status = Number(line[2]);
  const minorVersion = line[1] === '1' ? 1 : 0;
  try {
    const fields = fieldsOf(text);
    const framing = framingOf(fields);
    const given = lengthOf(framing, minorVersion);
    const isBodiless = method === 'HEAD' || status < 200 || status === 204 || status === 304;
    const { connection } = framing;
    return {
      ...{ status, minorVersion, fields, connection },
      statusLine: text.slice(0, text.includes('\r\n') ? text.indexOf('\r\n') : text.length),
      length: isBodiless ? 0 : (given ?? 'until-close'),
      keepsAlive: keepsAlive(minorVersion, connection),
    };
  } catch (error) {
    if (error instanceof HeadError) {
      throw new HeadError(502, `The application's answer is not clear: ${error.message}`);
    }
    throw error;
  }
}
