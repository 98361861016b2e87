/** Heads of HTTP/2 messages: read strictly, and rewritten as they are passed on. */
import { BackendError } from '../../../common/errors.ts';
import type { ProblemName } from '../../../common/problems.ts';
import {
  addedFields,
  type ForwardFacts,
  foreignCookies,
  isNotPassedOn,
  isNotReturned,
} from '../http/forward.ts';
import { type AskedFor, HeadError, MAX_HEADERS } from '../http/head.ts';
import { refusalText } from '../http/refuse.ts';
import type { HeaderField } from './hpack.ts';

export interface H2Request extends AskedFor {
  readonly received: readonly HeaderField[];
  /** What a CONNECT is for (RFC 8441), such as `websocket`; null for other methods. */
  readonly protocol: string | null;
  readonly isGrpc: boolean;
}

export interface H2Answer {
  readonly status: number;
  readonly received: readonly HeaderField[];
}

/** What the head of a request may have in front. */
const OF_REQUESTS = new Set([':method', ':path', ':scheme', ':authority', ':protocol']);
const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** Belong to connections of HTTP/1. */
const HTTP1_ONLY = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);

const plain = (name: string, value: string): HeaderField => ({
  name,
  value,
  isNeverIndexed: false,
});

/** The fields in front, that begin with a colon, and the others. @throws HeadError */
function parted(received: readonly HeaderField[]): [Map<string, string>, HeaderField[]] {
  if (received.length > MAX_HEADERS) {
    throw new HeadError(431, `A head may have up to ${MAX_HEADERS} fields.`);
  }
  const pseudo = new Map<string, string>();
  const fields: HeaderField[] = [];
  for (const field of received) {
    const { name, value } = field;
    if (!VALUE.test(value)) throw new HeadError(400, 'A field has a value that is not valid.');
    if (name.startsWith(':')) {
      if (fields.length > 0 || pseudo.has(name)) {
        throw new HeadError(400, `${name} comes twice, or too late.`);
      }
      pseudo.set(name, value);
      continue;
    }
    if (!NAME.test(name)) throw new HeadError(400, 'A field has a name that is not valid.');
    if (HTTP1_ONLY.has(name) || (name === 'te' && value !== 'trailers')) {
      throw new HeadError(400, `HTTP/2 has no field ${name}.`);
    }
    fields.push(field);
  }
  return [pseudo, fields];
}

/** @throws HeadError when it is no request or not a clear one. */
export function readRequest(received: readonly HeaderField[]): H2Request {
  const [pseudo, fields] = parted(received);
  const [method, target] = [pseudo.get(':method') ?? '', pseudo.get(':path') ?? ''];
  const [scheme, authority] = [pseudo.get(':scheme'), pseudo.get(':authority')];
  const protocol = pseudo.get(':protocol');
  for (const name of pseudo.keys()) {
    if (!OF_REQUESTS.has(name)) throw new HeadError(400, 'This is not a valid HTTP/2 request.');
  }
  if (!METHOD.test(method)) {
    throw new HeadError(400, 'This is not a valid HTTP/2 request.');
  }
  if ((method === 'CONNECT') !== (protocol !== undefined)) {
    throw new HeadError(405, 'CONNECT is served only for a protocol, such as websocket.');
  }
  if (scheme === undefined || !/^(?:\/[\x21-\x7e\x80-\xff]*|\*)$/.test(target)) {
    throw new HeadError(400, 'The path of a request begins with a slash.');
  }
  const hosts = fields.filter(({ name }) => name === 'host').map(({ value }) => value);
  const host = authority ?? hosts[0] ?? '';
  if (hosts.some((other) => other !== host) || !/^[\w.\-:[\]]+$/.test(host)) {
    throw new HeadError(400, 'A request has exactly one valid :authority.');
  }
  const type = fields.find(({ name }) => name === 'content-type')?.value ?? '';
  return {
    ...{ method, target, host, received: fields, protocol: protocol ?? null },
    fields: fields.map(({ name, value }) => ({ name, key: name, value })),
    isWebSocket: protocol === 'websocket',
    isGrpc: type.startsWith('application/grpc'),
  };
}

/** The head of a request for the application. */
export function requestFields(request: H2Request, facts: ForwardFacts): HeaderField[] {
  const { method, target, host, protocol } = request;
  const out = [
    plain(':method', method),
    // This is how it goes on from here; what the client speaks is said below.
    plain(':scheme', 'http'),
    plain(':authority', host),
    plain(':path', target),
    ...(protocol === null ? [] : [plain(':protocol', protocol)]),
  ];
  let cookies = '';
  let isNeverIndexed = false;
  for (const field of request.received) {
    const { name, value } = field;
    // Browsers send each cookie in a field of its own; only HTTP/2 allows that.
    if (name === 'cookie') {
      cookies += `${cookies === '' ? '' : '; '}${value}`;
      isNeverIndexed ||= field.isNeverIndexed;
    } else if (name === 'te' || (name !== 'host' && !isNotPassedOn(name, facts))) out.push(field);
  }
  const rest = foreignCookies(cookies);
  if (rest !== '') out.push({ name: 'cookie', value: rest, isNeverIndexed });
  for (const [name, value] of addedFields(request, facts)) {
    out.push(plain(name.toLowerCase(), value));
  }
  return out;
}

/** @throws HeadError when it is no response, or not a clear one. */
export function readAnswer(received: readonly HeaderField[]): H2Answer {
  const [pseudo, fields] = parted(received);
  const status = pseudo.get(':status') ?? '';
  if (pseudo.size !== 1 || !/^[1-9]\d\d$/.test(status) || status === '101') {
    throw new HeadError(502, 'The application did not answer with valid HTTP/2.');
  }
  return { status: Number(status), received: fields };
}

/** The head of a response for the client. */
export function answerFields({ status, received }: H2Answer): HeaderField[] {
  const out = [plain(':status', String(status))];
  for (const field of received) if (!isNotReturned(field.name, field.value)) out.push(field);
  if (status >= 200) out.push(plain('access-control-allow-origin', '*'));
  return out;
}

/** What follows a body. @throws HeadError */
export function readTrailers(received: readonly HeaderField[]): HeaderField[] {
  const [pseudo, fields] = parted(received);
  if (pseudo.size > 0) throw new HeadError(400, 'Only a head has fields that begin with a colon.');
  return fields.filter(({ name, value }) => !isNotReturned(name, value));
}

/** Codes of gRPC for statuses of HTTP. */
const GRPC_CODES: Readonly<Record<number, number>> = { 400: 13, 401: 16, 403: 7, 404: 12 };
const UNAVAILABLE = 14;
const UNKNOWN = 2;

const grpcCode = (status: number): number =>
  GRPC_CODES[status] ?? (status === 429 || status >= 500 ? UNAVAILABLE : UNKNOWN);

export interface H2Refusal {
  readonly fields: HeaderField[];
  /** Empty for gRPC, which says everything in the head. */
  readonly body: Buffer;
}

/** An answer of the proxy itself, as what asked understands it. */
export function h2Refusal(
  request: H2Request | null,
  problem: ProblemName,
  message: string,
  status = new BackendError(problem).status,
): H2Refusal {
  if (request?.isGrpc) {
    const text = message.replace(/[^\x20-\x24\x26-\x7e]/gu, (char) => encodeURIComponent(char));
    const fields = [
      plain(':status', '200'),
      plain('content-type', 'application/grpc'),
      plain('grpc-status', String(grpcCode(status))),
      plain('grpc-message', text),
    ];
    return { fields, body: Buffer.alloc(0) };
  }
  const { contentType, body } = refusalText(request, problem, message);
  const fields = [
    plain(':status', String(status)),
    plain('content-type', contentType),
    plain('cache-control', 'no-store'),
    plain('access-control-allow-origin', '*'),
  ];
  return { fields, body: Buffer.from(request?.method === 'HEAD' ? '' : body) };
}
