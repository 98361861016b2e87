/** The HTTP server of coordinators and workers: routes with parsed parameters, and upstream's error documents. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { errors, jwtVerify } from 'jose';
import * as v from 'valibot';
import { AddressBlocks, plainAddress } from '../../common/address-blocks.ts';
import type { Clock } from '../../common/clock.ts';
import { BackendError, errorMessage, UserError } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import { parseOutside } from '../../common/parse.ts';
import { noTracer, parseTraceparent, type Tracer } from '../../common/tracing.ts';
import { TOKEN_HEADER } from './protocol.ts';

const MAX_BODY_BYTES = 16 * 1024 * 1024;
/** Longer than the longest wait of any route. Seconds. */
const IDLE_SEC = 120;
const STOP_GRACE_MS = 2_000;

export interface ApiRequest {
  /** Of the path, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly clientAddress: string;
  /** Aborts when the client goes away or the server stops. */
  readonly signal: AbortSignal;
  readonly headers: Headers;
}

/** Plain data is sent as JSON. */
export type ApiReply = Response | { readonly status?: number; readonly json: unknown };

export interface ApiRoute {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With `:name` parameters. */
  readonly path: string;
  /** Answers without the secret. */
  readonly isOpen: boolean;
  /** @param input the JSON body if there is one, else the query; not looked at yet. */
  run(input: unknown, request: ApiRequest): Promise<ApiReply>;
}

/** @throws BackendError InvalidAPIParameters that names every wrong field. */
function parse<S extends v.GenericSchema>(schema: S, input: unknown): v.InferOutput<S> {
  const parsed = parseOutside(schema, input);
  if (parsed.success) return parsed.output;
  const complaints = parsed.issues.map(
    (issue) => `${v.getDotPath(issue) ?? 'the parameters'}: ${issue.message}`,
  );
  throw new BackendError('InvalidAPIParameters', complaints.join('; '));
}

type Handle<S extends v.GenericSchema> = (
  input: v.InferOutput<S>,
  request: ApiRequest,
) => Promise<ApiReply>;

/** A route for managers and workers, which have the secret. */
export const secretRoute = <S extends v.GenericSchema>(
  method: ApiRoute['method'],
  path: string,
  schema: S,
  handle: Handle<S>,
): ApiRoute => ({
  ...{ method, path, isOpen: false },
  run: async (input, request) => handle(parse(schema, input), request),
});

/** A route for everybody. */
export const openRoute = <S extends v.GenericSchema>(
  method: ApiRoute['method'],
  path: string,
  schema: S,
  handle: Handle<S>,
): ApiRoute => ({ ...secretRoute(method, path, schema, handle), isOpen: true });

const CORS = {
  'Access-Control-Allow-Origin': '*',
  'Access-Control-Allow-Headers': '*',
  'Access-Control-Allow-Methods': 'GET, POST, PUT, PATCH, DELETE, OPTIONS',
  'Access-Control-Expose-Headers': '*',
};
const REQUEST_ID = 'X-BackendAI-RequestID';

/** Probes, and what workers ask and say all the time. */
const BEGINS_NO_TRACE = /^\/(?:api\/worker|health|livez|readyz|status|metrics|$)/;

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

interface CompiledRoute {
  readonly route: ApiRoute;
  readonly pattern: RegExp;
  readonly names: readonly string[];
}

function compile(route: ApiRoute): CompiledRoute {
  const names: string[] = [];
  const pattern = route.path.replace(/:(\w+)/g, (_whole, name: string) => {
    names.push(name);
    return '([^/]+)';
  });
  return { route, names, pattern: new RegExp(`^${pattern}$`) };
}

export interface ApiServerOptions {
  readonly routes: readonly ApiRoute[];
  /** Refuses callers of routes that are not open. */
  readonly checkSecret: (headers: Headers) => Promise<void>;
  readonly listen: {
    readonly hostname: string;
    readonly port: number;
    readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
  };
  /** The setting that names the address, for the error's hint. */
  readonly setting: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of the requests to its routes; none by default. */
  readonly tracer?: Tracer;
}

export interface ApiServer {
  /** `http://host:port` (or https) without a trailing slash. */
  readonly url: string;
  readonly port: number;
  stop(): Promise<void>;
}

async function bodyOf(request: Request): Promise<unknown> {
  const text = request.body === null ? '' : await request.text();
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new BackendError('InvalidAPIParameters', 'The body is not valid JSON.');
  }
}

/**
 * What refuses requests without the secret: in a header, or as the key of a signed token.
 * @throws (what it returns) BackendError AuthorizationFailed.
 */
export function secretCheck(secret: string, clock: Clock): (headers: Headers) => Promise<void> {
  const right = digest(secret);
  const key = new TextEncoder().encode(secret);
  const isSigned = async (token: string): Promise<boolean> => {
    try {
      await jwtVerify(token, key, { algorithms: ['HS256'], currentDate: clock.now() });
      return true;
    } catch (error) {
      if (error instanceof errors.JOSEError) return false;
      throw error;
    }
  };
  return async (headers) => {
    const given = headers.get(TOKEN_HEADER)?.replace(/^(bearer|backendai) +/i, '');
    if (given !== undefined && timingSafeEqual(digest(given), right)) return;
    const [, token] = /^bearer +(\S+)$/i.exec(headers.get('Authorization') ?? '') ?? [];
    if (token !== undefined && (await isSigned(token))) return;
    throw new BackendError(
      'AuthorizationFailed',
      `The secret in ${TOKEN_HEADER} is missing or not that of this app proxy ([secrets] api_secret).`,
    );
  };
}

/** A part of a path; one that is encoded wrongly names nothing. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

class Api {
  readonly #routes: readonly CompiledRoute[];
  readonly #checkSecret: ApiServerOptions['checkSecret'];
  readonly #log: Logger;
  readonly #tracer: Tracer;
  readonly stopping = new AbortController();

  constructor({ routes, checkSecret, log, tracer }: ApiServerOptions) {
    this.#routes = routes.map(compile);
    this.#checkSecret = checkSecret;
    this.#log = log;
    this.#tracer = tracer ?? noTracer;
  }

  async handle(request: Request, clientAddress: string): Promise<Response> {
    let response: Response;
    try {
      response = await this.#answer(request, clientAddress);
    } catch (error) {
      response = this.#failure(request, error);
    }
    for (const [name, value] of Object.entries(CORS)) response.headers.set(name, value);
    const id = request.headers.get(REQUEST_ID);
    if (id !== null) response.headers.set(REQUEST_ID, id);
    return response;
  }

  async #answer(request: Request, clientAddress: string): Promise<Response> {
    if (request.method === 'OPTIONS') return new Response(null, { status: 204 });
    const url = new URL(request.url);
    const method = request.headers.get('X-Method-Override') ?? request.method;
    const { found, isKnownPath } = this.#find(method.toUpperCase(), url.pathname);
    if (found === null) {
      if (isKnownPath) throw new BackendError('MethodNotAllowed');
      throw new BackendError('URLNotFound', `There is no ${url.pathname} here.`);
    }
    const { route, params } = found;
    return await this.#tracer.run(
      {
        name: `${route.method} ${route.path}`,
        kind: 'server',
        parent: parseTraceparent(request.headers.get('traceparent')),
        onlyWithin: BEGINS_NO_TRACE.test(route.path),
      },
      async (span) => {
        const response = await this.#run(request, route, { params, clientAddress });
        span?.set({ 'http.response.status_code': response.status });
        return response;
      },
    );
  }

  async #run(
    request: Request,
    route: ApiRoute,
    { params, clientAddress }: Pick<ApiRequest, 'params' | 'clientAddress'>,
  ): Promise<Response> {
    if (!route.isOpen) await this.#checkSecret(request.headers);
    const url = new URL(request.url);
    const input = (await bodyOf(request)) ?? Object.fromEntries(url.searchParams);
    const signal = AbortSignal.any([request.signal, this.stopping.signal]);
    const { headers } = request;
    const reply = await route.run(input, { params, clientAddress, signal, headers });
    if (reply instanceof Response) return reply;
    return Response.json(reply.json, { status: reply.status ?? 200 });
  }

  #find(method: string, path: string) {
    let isKnownPath = false;
    for (const { route, pattern, names } of this.#routes) {
      const match = pattern.exec(path);
      if (match === null) continue;
      isKnownPath = true;
      if (route.method !== method) continue;
      const values = match.slice(1).map(decoded);
      const params = Object.fromEntries(names.map((name, index) => [name, values[index] ?? '']));
      return { found: { route, params }, isKnownPath };
    }
    return { found: null, isKnownPath };
  }

  #failure(request: Request, error: unknown): Response {
    if (!(error instanceof BackendError)) {
      this.#log.error('a request failed unexpectedly', {
        method: request.method,
        path: new URL(request.url).pathname,
        error: errorMessage(error),
        stack: error instanceof Error ? error.stack : undefined,
      });
    }
    const known = error instanceof BackendError ? error : new BackendError('InternalServerError');
    return Response.json(known.toDocument(), {
      status: known.status,
      headers: { 'Content-Type': 'application/problem+json' },
    });
  }
}

/** @throws UserError when the address or the certificate cannot be used. */
export function serveApi(options: ApiServerOptions): ApiServer {
  const { hostname, port, tls } = options.listen;
  const api = new Api(options);
  let server: ReturnType<typeof Bun.serve>;
  try {
    server = Bun.serve({
      ...{ hostname, port, idleTimeout: IDLE_SEC, maxRequestBodySize: MAX_BODY_BYTES },
      ...(tls && { tls: { cert: Bun.file(tls.certFile), key: Bun.file(tls.keyFile) } }),
      fetch: (request, self) =>
        api.handle(request, plainAddress(self.requestIP(request)?.address ?? '')),
    });
  } catch (error) {
    throw new UserError(`Cannot listen on ${hostname}:${port}: ${errorMessage(error)}`, {
      hint: `Stop what uses the port, or set another ${options.setting}.`,
      cause: error,
    });
  }
  const host = hostname.includes(':') ? `[${hostname}]` : hostname;
  const bound = server.port ?? port;
  return {
    url: `${tls ? 'https' : 'http'}://${host}:${bound}`,
    port: bound,
    async stop() {
      const drained = server.stop(false);
      api.stopping.abort(new Error('the server is stopping'));
      const late = Promise.withResolvers<void>();
      const timer = options.clock.timer(STOP_GRACE_MS, late.resolve);
      await Promise.race([drained, late.promise]);
      timer.cancel();
      await server.stop(true);
    },
  };
}

/** `/metrics` for those who may read it. */
export function metricsRoute(allowed: readonly string[], text: () => Promise<string>): ApiRoute {
  const blocks = new AddressBlocks(allowed);
  return openRoute('GET', '/metrics', v.unknown(), async (_input, { clientAddress }) => {
    if (!blocks.has(clientAddress)) {
      throw new BackendError(
        'GenericForbidden',
        `${clientAddress} may not read the metrics; see metric_access_allowed_hosts.`,
      );
    }
    return new Response(await text(), {
      headers: { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' },
    });
  });
}
