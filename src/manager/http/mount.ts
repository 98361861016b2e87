/** Mounts declared routes and WebSocket operations on an Elysia application. */
import { Elysia } from 'elysia';
import type { Clock } from '../../common/clock.ts';
import { BackendError } from '../../common/errors.ts';
import type { Front } from '../../common/http/front.ts';
import { preflight } from './cors.ts';
import { compilePath, type PathPattern } from './path.ts';
import { type Arrival, type Pipeline, withCaller } from './pipeline.ts';
import { toResponse } from './respond.ts';
import type { Route, SocketRoute } from './route.ts';
import { SocketConnection } from './socket.ts';
import { rawTarget } from './target.ts';

/** Connections without traffic are closed after this long. Seconds. */
export const IDLE_SEC = 30;
/** The same while events are streamed; less frequent than their pings. Seconds. */
const EVENT_STREAM_IDLE_SEC = 255;

const METHODS = new Set(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD']);

export interface MountOptions {
  readonly pipeline: Pipeline;
  readonly routes: readonly Route[];
  readonly sockets: readonly SocketRoute[];
  readonly maxWebSocketMessageBytes: number;
  readonly clock: Clock;
  /** Told of failures in WebSocket handlers that their clients can't be told about. */
  onSocketError(error: unknown, path: string): void;
}

type RouterParams = Readonly<Record<string, string | null | undefined>>;

/** @throws BackendError InvalidAPIParameters when a parameter is not valid percent-encoding. */
function nameParams(pattern: PathPattern, given: RouterParams): Record<string, string> {
  const params: Record<string, string> = {};
  pattern.names.forEach((name, index) => {
    const value = given[`p${index}`];
    if (typeof value !== 'string') {
      throw new BackendError('InvalidAPIParameters', `The path's ${name} is not valid UTF-8 text.`);
    }
    params[name] = value;
  });
  return params;
}

const idleLimitSec = (response: Response): number =>
  response.headers.get('content-type')?.startsWith('text/event-stream')
    ? EVENT_STREAM_IDLE_SEC
    : IDLE_SEC;

/**
 * The header that accepts the operation's sub-protocol.
 * @throws BackendError GenericBadRequest when the client does not offer it.
 */
function protocolHeader({ protocol }: SocketRoute, request: Request): Record<string, string> {
  if (protocol === undefined) return {};
  const offered = request.headers.get('sec-websocket-protocol')?.split(',') ?? [];
  if (offered.some((name) => name.trim() === protocol)) {
    return { 'Sec-WebSocket-Protocol': protocol };
  }
  throw new BackendError(
    'GenericBadRequest',
    `This operation needs a WebSocket upgrade with the sub-protocol ${protocol}.`,
  );
}

/** A request handler that serves the routes; give it to a listener together with the server. */
export type Serve = (request: Request, server: Front) => Promise<Response | undefined>;

/** What is known of a request besides itself. */
type Known = Pick<Arrival, 'original' | 'carrier'> & { readonly server: Front };

class Mount {
  readonly #options: MountOptions;
  readonly #patterns: { methods: readonly string[]; pattern: PathPattern }[] = [];
  /** By what is routed: what a request was before a header overrode its method, and where it came in. */
  readonly #arrivals = new WeakMap<Request, Known>();
  readonly #app = new Elysia({ strictPath: true, handler: { standardHostname: false } });

  constructor(options: MountOptions) {
    this.#options = options;
    for (const route of options.routes) this.#mountRoute(route);
    for (const socket of options.sockets) this.#mountSocket(socket);
    this.#app.all('/*', ({ request }) => this.#serveUnmatched(request), { parse: 'none' });
  }

  /** Routes one request. A method override is applied here; signatures cover the original. */
  serve: Serve = async (request, server) => {
    const override = request.headers.get('x-method-override')?.toUpperCase();
    const carrier = server.carrier(request);
    const arrival = { original: request, carrier, server };
    if (override === undefined || !METHODS.has(override) || override === request.method) {
      this.#arrivals.set(request, arrival);
      return this.#app.handle(request);
    }
    if (override === 'GET' || override === 'HEAD') {
      const { url, headers, signal } = request;
      const routed = new Request(url, { method: override, headers, signal });
      this.#arrivals.set(routed, arrival);
      return this.#app.handle(routed);
    }
    const routed = new Request(carrier, { method: override });
    this.#arrivals.set(routed, { ...arrival, carrier: routed });
    return this.#app.handle(routed);
  };

  #arrival(request: Request): Arrival & Known {
    const known = this.#arrivals.get(request);
    if (!known) throw new Error('a request reached a route without passing serve()');
    return {
      request,
      ...known,
      peerAddress: known.server.requestIP(known.original)?.address ?? null,
    };
  }

  #mountRoute(route: Route): void {
    const { pipeline } = this.#options;
    const pattern = compilePath(route.path);
    this.#patterns.push({ methods: [route.method], pattern });
    this.#app.route(
      route.method,
      pattern.routerPath,
      async ({ request, params }) => {
        const arrival = this.#arrival(request);
        const { server, original } = arrival;
        const response = await pipeline.run(arrival, route, async (admitted) => {
          // Known clients may wait long, for a session to start; strangers may not.
          if (route.auth !== 'none') server.timeout(original, 0);
          const input = { ...admitted.input, params: nameParams(pattern, params) };
          return toResponse(
            route.auth === 'none'
              ? await route.handler(admitted.request, input)
              : await route.handler(withCaller(admitted), input),
          );
        });
        if (route.auth !== 'none') server.timeout(original, idleLimitSec(response));
        return response;
      },
      { parse: 'none' },
    );
  }

  #mountSocket(socket: SocketRoute): void {
    const { pipeline, maxWebSocketMessageBytes, onSocketError, clock } = this.#options;
    const pattern = compilePath(socket.path);
    this.#patterns.push({ methods: ['GET'], pattern });
    this.#app.get(
      pattern.routerPath,
      ({ request, params }) =>
        pipeline.run(this.#arrival(request), socket, async (admitted) => {
          const caller = withCaller(admitted);
          const input = { ...admitted.input, params: nameParams(pattern, params) };
          const run = await socket.accept(input);
          const { original, server } = this.#arrival(request);
          const connection = new SocketConnection({
            maxQueuedBytes: 2 * maxWebSocketMessageBytes,
            brake: server.brake(original),
            clock,
            run: (peer) => run({ ...caller, signal: peer.signal }, peer),
            onError: (error) => onSocketError(error, socket.path),
          });
          const upgraded = server.upgrade(original, {
            data: connection,
            headers: {
              Server: 'BackendAI',
              'X-BackendAI-RequestID': caller.requestId,
              ...protocolHeader(socket, original),
            },
          });
          if (!upgraded) {
            throw new BackendError(
              'GenericBadRequest',
              'This operation needs a WebSocket upgrade.',
            );
          }
          // The connection is taken over; what is returned from here on is not sent.
          return new Response(null);
        }),
      { parse: 'none' },
    );
  }

  #serveUnmatched(request: Request): Promise<Response> {
    const pathname = rawTarget(request.url).split('?', 1)[0] ?? '/';
    const methods = [
      ...new Set(
        this.#patterns
          .filter(({ pattern }) => pattern.matches(pathname))
          .flatMap(({ methods }) => methods),
      ),
    ].sort();
    return this.#options.pipeline
      .run(this.#arrival(request), { auth: 'none', gate: 'any' }, async () => {
        if (methods.length === 0)
          throw new BackendError('URLNotFound', undefined, { data: pathname });
        if (request.method === 'OPTIONS') return preflight(request, methods);
        throw new BackendError('MethodNotAllowed');
      })
      .then((response) => {
        if (response.status === 405) response.headers.set('Allow', methods.join(','));
        return response;
      });
  }
}

/** Makes the request handler of a set of routes. */
export function mountRoutes(options: MountOptions): Serve {
  return new Mount(options).serve;
}
