/** Passes requests on to a manager, signed with the browser's keypair; streams both ways. */
import { API_VERSION, dateHeader, signature } from '../common/api-signing.ts';
import type { Clock } from '../common/clock.ts';
import { errorMessage } from '../common/errors.ts';
import type { Logger } from '../common/logger.ts';
import { traceHeaders } from '../common/tracing.ts';
import type { WebSessionToken } from '../common/web-session.ts';
import type { EndpointPool } from './endpoints.ts';
import { getWithBody } from './get-with-body.ts';
import { isEncrypted, readPlainBody } from './payload.ts';
import { WebProblem } from './problems.ts';
import { type Incoming, publicOrigin } from './request.ts';

/** How long a manager may take until its answer begins: starting a session can be waited for. */
const ANSWER_TIMEOUT_MS = 600_000;

/** What is passed on of the browser's headers. */
const FORWARDED = [
  'accept',
  'accept-encoding',
  'accept-language',
  'content-type',
  'cookie',
  'last-event-id',
  'range',
  'traceparent',
  'x-backendai-requestid',
];

/** Headers about one connection, and those that this server sets itself. */
const NOT_RETURNED = new Set([
  ...['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'te', 'trailer'],
  ...['transfer-encoding', 'upgrade', 'server'],
  ...['access-control-allow-origin', 'access-control-expose-headers'],
  ...['access-control-allow-credentials'],
]);

/** The headers that say on whose behalf a request is passed on. */
export function forwardedHeaders({ request, scheme, peerAddress }: Incoming): Headers {
  const headers = new Headers();
  for (const name of FORWARDED) {
    const value = request.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  const { traceparent } = traceHeaders();
  if (traceparent !== undefined) headers.set('traceparent', traceparent);
  const url = new URL(request.url);
  const given = (name: string, fallback: string) =>
    headers.set(name, request.headers.get(name) ?? fallback);
  given('x-forwarded-host', request.headers.get('host') ?? url.host);
  given('x-forwarded-proto', scheme);
  // Added to what the browser sent, so that a manager that knows this server can tell them apart.
  const hops = [request.headers.get('x-forwarded-for'), peerAddress].filter(Boolean);
  if (hops.length > 0) headers.set('x-forwarded-for', hops.join(', '));
  return headers;
}

/** The address of a target. An empty query is left out: a URL has none, but would still send its `?`. */
export function urlAt(origin: string, target: string): URL {
  const url = new URL(`${origin}${target}`);
  if (url.search === '') url.search = '';
  return url;
}

/** Adds version, date and signature. */
export function signHeaders(
  headers: Headers,
  options: { method: string; url: URL; token: WebSessionToken; version: string; now: Date },
): void {
  const { method, url, token, version } = options;
  const date = dateHeader(options.now);
  const contentType = headers.get('content-type')?.split(';', 1)[0]?.trim();
  const hex = signature(
    {
      method,
      target: `${url.pathname}${url.search}`,
      date,
      host: url.host,
      contentType: contentType || 'application/octet-stream',
      version,
    },
    token.secret_key,
  );
  headers.set('Date', date);
  headers.set(
    'Authorization',
    `BackendAI signMethod=HMAC-SHA256, credential=${token.access_key}:${hex}`,
  );
}

export const versionOf = (request: Request): string =>
  request.headers.get('x-backendai-version') ?? API_VERSION;

export interface ProxyDependencies {
  readonly pool: EndpointPool;
  readonly clock: Clock;
  readonly log: Logger;
  readonly forcedScheme: 'http' | 'https' | null;
}

export interface Passing {
  /** Path and query at the manager. */
  readonly target: string;
  /** Signs in the name of this keypair; null passes it on unsigned. */
  readonly token: WebSessionToken | null;
  /** Replaces the browser's body. */
  readonly body?: Uint8Array<ArrayBuffer>;
}

async function bodyOf(
  { forcedScheme }: ProxyDependencies,
  { request, carrier }: Incoming,
  passing: Passing,
): Promise<Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> | null> {
  if (passing.body !== undefined) return passing.body;
  const carriesNone = carrier.method === 'GET' || carrier.method === 'HEAD';
  if (carriesNone) return null;
  if (isEncrypted(request) || carrier !== request) {
    return readPlainBody(carrier, publicOrigin(request, forcedScheme));
  }
  return request.body;
}

/** Tells when a body has been read to its end or given up. */
function watched(body: ReadableStream<Uint8Array>, onEnd: () => void): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (!done) return controller.enqueue(value);
        onEnd();
        controller.close();
      } catch (error) {
        onEnd();
        controller.error(error);
      }
    },
    async cancel(reason) {
      onEnd();
      await reader.cancel(reason);
    },
  });
}

function answer(upstream: Response, onEnd: () => void): Response {
  const headers = new Headers();
  for (const [name, value] of upstream.headers) {
    if (!NOT_RETURNED.has(name)) headers.append(name, value);
  }
  const { status, statusText, body } = upstream;
  if (body === null) onEnd();
  return new Response(body === null ? null : watched(body, onEnd), {
    status,
    statusText,
    headers,
  });
}

/**
 * The manager's answer, whatever it is; its body flows as it comes.
 * @throws WebProblem bad-gateway when the manager cannot be reached, the pool's when none is up.
 */
export async function passOn(
  deps: ProxyDependencies,
  incoming: Incoming,
  passing: Passing,
): Promise<Response> {
  const { request } = incoming;
  const body = await bodyOf(deps, incoming, passing);
  const { endpoint, release } = deps.pool.acquire();
  const url = urlAt(endpoint.url, passing.target);
  const headers = forwardedHeaders(incoming);
  const version = versionOf(request);
  headers.set('X-BackendAI-Version', version);
  const { method } = request;
  if (passing.token) {
    signHeaders(headers, { method, url, token: passing.token, version, now: deps.clock.now() });
  }
  const late = new AbortController();
  const timer = deps.clock.timer(ANSWER_TIMEOUT_MS, () => late.abort());
  try {
    const signal = AbortSignal.any([request.signal, late.signal]);
    const upstream =
      method === 'GET' && body instanceof Uint8Array
        ? await getWithBody(url, headers, body, signal)
        : await fetch(url, {
            ...{ method, headers, body, signal },
            ...{ redirect: 'manual', decompress: false, timeout: false },
          });
    return answer(upstream, release);
  } catch (error) {
    release();
    if (!request.signal.aborted) {
      deps.log.warn('a manager could not be reached', {
        url: endpoint.url,
        error: errorMessage(error),
      });
    }
    throw new WebProblem('bad-gateway', 'The manager cannot be reached at present.');
  } finally {
    timer.cancel();
  }
}
