/** Starts a web server: in front of managers, on a live store that keeps the sign-ins. */
import { stat } from 'node:fs/promises';
import { Elysia } from 'elysia';
import type { Clock } from '../common/clock.ts';
import type { HostPort } from '../common/config/values.ts';
import { BackendError, errorCode, errorMessage, UserError } from '../common/errors.ts';
import { type Front, type FrontListener, serveFront } from '../common/http/front.ts';
import type { Logger } from '../common/logger.ts';
import type { Random } from '../common/random.ts';
import { noTracer, parseTraceparent, type Tracer } from '../common/tracing.ts';
import { createRegistry, type MetricsRegistry } from '../metrics/registry.ts';
import { type AnsweredRequest, requestMetrics } from '../metrics/requests.ts';
import { serveServiceHttp } from '../metrics/service-http.ts';
import type { LiveStore } from '../stores/live/port.ts';
import { exposeToOrigin, preflight } from './cors.ts';
import { EndpointPool } from './endpoints.ts';
import { Login } from './login.ts';
import { LoginThrottle } from './login-throttle.ts';
import { Pages } from './pages.ts';
import { WebProblem } from './problems.ts';
import { forwardedHeaders, signHeaders, urlAt, versionOf } from './proxy.ts';
import { type Incoming, targetOf } from './request.ts';
import { managerTarget, type WebRoute, webRoutes } from './routes.ts';
import { securityPolicies } from './security.ts';
import { BrowserSessions } from './session.ts';
import type { WebSettings } from './settings.ts';
import { StaticFiles } from './static-files.ts';
import { MAX_MESSAGE_BYTES, SocketBridge } from './websocket.ts';

/** Connections without traffic are closed after this long, unless an answer is waited for. Seconds. */
const IDLE_SEC = 30;
/** Largest request body that is passed on. Bytes. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;
const STOP_GRACE_MS = 5_000;
/** No trace begins with a probe. */
const HEALTH_PATHS: ReadonlySet<string> = new Set(['/health', '/livez', '/readyz']);

export interface WebServerOptions {
  readonly settings: WebSettings;
  /** Where sign-ins are kept, without a key prefix; managers must use the same. Stays open. */
  readonly live: LiveStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly listen: {
    readonly hostname: string;
    /** 0 picks a free port. */
    readonly port: number;
    /** Serves HTTPS with these PEM files. */
    readonly tls?: { readonly certFile: string; readonly keyFile: string };
  };
  /** One manager or several. */
  readonly managerUrl: string | readonly string[];
  /** Where health and metrics are served; absent: nowhere. */
  readonly serviceListen?: HostPort;
  /** Of the requests; none by default. */
  readonly tracer?: Tracer;
}

export interface WebServer {
  /** `http://host:port` (or https) without a trailing slash. */
  readonly url: string;
  /** What is told of it to Prometheus. */
  readonly metrics: MetricsRegistry;
  /** Lets running requests end for a few seconds, then closes everything. */
  stop(): Promise<void>;
}

async function openFiles({ staticPath }: WebSettings): Promise<StaticFiles | null> {
  if (staticPath === null) return null;
  const info = await stat(staticPath).catch(() => null);
  if (info?.isDirectory()) return StaticFiles.open(staticPath);
  throw new UserError(`There is no WebUI in ${staticPath}: it is not a folder.`, {
    hint: 'Set static-path in the [service] section of webserver.conf, or leave it out.',
  });
}

/** Routes requests, and turns failures into answers. */
class Application {
  readonly #options: WebServerOptions;
  readonly #pool: EndpointPool;
  readonly #sessions: BrowserSessions;
  readonly #policies: ReturnType<typeof securityPolicies>;
  readonly #app = new Elysia({ strictPath: true, handler: { standardHostname: false } });
  readonly #scheme: 'http' | 'https';
  readonly #arrivals = new WeakMap<Request, Front>();
  readonly #onAnswered: (answered: AnsweredRequest) => void;

  constructor(
    options: WebServerOptions,
    pool: EndpointPool,
    files: StaticFiles | null,
    metrics: MetricsRegistry,
  ) {
    const { settings, live, clock, log, random } = options;
    this.#options = options;
    this.#pool = pool;
    this.#onAnswered = requestMetrics(metrics);
    this.#policies = securityPolicies(settings.requestPolicies, settings.responsePolicies);
    this.#sessions = new BrowserSessions(live, clock, {
      maxAgeSec: settings.sessionMaxAgeSec,
      extensionSec: settings.sessionExtensionSec,
      cookieSecure: settings.cookieSecure,
    });
    const { domain, authTokenName } = settings;
    this.#scheme = options.listen.tls ? 'https' : 'http';
    const forcedScheme = settings.forcedScheme ?? this.#scheme;
    const throttle = new LoginThrottle(live, clock, {
      allowedFailures: settings.loginAllowedFailures,
      blockSec: settings.loginBlockSec,
    });
    const sessions = this.#sessions;
    const routes = webRoutes({
      proxy: { pool, clock, log, forcedScheme },
      login: new Login({
        pool,
        sessions,
        throttle,
        clock,
        log,
        domain,
        forcedScheme,
        authTokenName,
      }),
      pages: new Pages({ ...settings, forcedScheme }, files, random),
      pool,
      sessions,
      live,
      domain,
      passSocket: (incoming) => this.#passSocket(incoming),
    });
    for (const route of routes) this.#mount(route);
    this.#app.all('/*', ({ request }) => this.#answer(request, '', null), { parse: 'none' });
  }

  #mount({ method, path, handler }: WebRoute): void {
    this.#app.route(method, path, ({ request }) => this.#answer(request, path, handler), {
      parse: 'none',
    });
  }

  serve(request: Request, server: Front): Promise<Response> {
    this.#arrivals.set(request, server);
    return this.#app.handle(request);
  }

  /** @param path as its route has it. */
  async #answer(
    request: Request,
    path: string,
    handler: WebRoute['handler'] | null,
  ): Promise<Response> {
    const startedMs = this.#options.clock.monotonicMs();
    const server = this.#arrivals.get(request);
    if (!server) throw new Error('a request reached a route without passing serve()');
    let response: Response;
    try {
      this.#policies.checkRequest(request);
      if (handler === null) {
        if (request.method !== 'OPTIONS') {
          throw new WebProblem('generic-not-found', 'There is nothing at this address.');
        }
        response = preflight(request);
      } else {
        response = await this.#traced(request, path, handler, {
          request,
          carrier: server.carrier(request),
          scheme: this.#scheme,
          peerAddress: server.requestIP(request)?.address ?? null,
          waitForever: () => server.timeout(request, 0),
        });
      }
    } catch (error) {
      response = this.#failure(request, error);
    }
    this.#policies.secureResponse(response.headers);
    exposeToOrigin(request, response.headers);
    this.#onAnswered({
      ...{ method: request.method, endpoint: path, status: response.status, errorCode: null },
      elapsedMs: this.#options.clock.monotonicMs() - startedMs,
    });
    return response;
  }

  /** Runs a handler as a span of the trace that the request names. */
  #traced(
    request: Request,
    path: string,
    handler: WebRoute['handler'],
    incoming: Incoming,
  ): Promise<Response> {
    const tracer = this.#options.tracer ?? noTracer;
    return tracer.run(
      {
        name: `${request.method} ${path}`,
        kind: 'server',
        onlyWithin: HEALTH_PATHS.has(path),
        parent: parseTraceparent(request.headers.get('traceparent')),
      },
      async (span) => {
        const response = await handler(incoming);
        span?.set({ 'http.response.status_code': response.status });
        return response;
      },
    );
  }

  #failure(request: Request, error: unknown): Response {
    if (error instanceof WebProblem) return error.toResponse();
    if (error instanceof BackendError && error.problem === 'ServiceUnavailable') {
      this.#options.log.warn('the store of sign-ins failed', { error: error.message });
      const title = 'Sign-ins cannot be looked up at present. Try again in a moment.';
      return new WebProblem('service-unavailable', title).toResponse();
    }
    this.#options.log.error('a request failed unexpectedly', {
      method: request.method,
      path: targetOf(request).split('?', 1)[0],
      error: errorMessage(error),
      stack: error instanceof Error ? error.stack : undefined,
    });
    return new WebProblem('internal-server-error', 'Internal server error.').toResponse();
  }

  async #passSocket(incoming: Incoming): Promise<Response> {
    const { request } = incoming;
    const server = this.#arrivals.get(request);
    const { token } = await this.#sessions.load(request);
    if (token === null) throw new WebProblem('auth-failed', 'Unauthorized access');
    incoming.waitForever();
    const stickyKey = new URL(request.url).searchParams.get('app');
    const { endpoint, release } = this.#pool.acquire(stickyKey);
    const url = urlAt(endpoint.url, managerTarget(request));
    const headers = forwardedHeaders(incoming);
    headers.delete('accept-encoding');
    const version = versionOf(request);
    headers.set('X-BackendAI-Version', version);
    const now = this.#options.clock.now();
    signHeaders(headers, { method: 'GET', url, token, version, now });
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const protocols = (request.headers.get('sec-websocket-protocol') ?? '')
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '');
    let bridge: SocketBridge | null = null;
    try {
      const brake = server?.brake(request) ?? (() => {});
      const { clock } = this.#options;
      bridge = await SocketBridge.connect({
        ...{ url, headers, protocols, brake, clock },
        onEnd: release,
      });
      const chosen = new Headers(
        bridge.protocol === '' ? {} : { 'Sec-WebSocket-Protocol': bridge.protocol },
      );
      if (!server?.upgrade(request, { data: bridge, headers: chosen })) {
        throw new WebProblem('generic-bad-request', 'This address needs a WebSocket upgrade.');
      }
    } catch (error) {
      bridge?.close();
      release();
      throw error;
    }
    // The connection is taken over; what is returned from here on is not sent.
    return new Response(null);
  }
}

async function bind(
  { listen, random }: WebServerOptions,
  application: Application,
): Promise<FrontListener> {
  const { hostname, port } = listen;
  try {
    return await serveFront({
      ...listen,
      ...{ idleSec: IDLE_SEC, maxBodyBytes: MAX_BODY_BYTES, maxMessageBytes: MAX_MESSAGE_BYTES },
      random,
      fetch: (request, front) => application.serve(request, front),
    });
  } catch (error) {
    const inUse = errorCode(error) === 'EADDRINUSE';
    throw new UserError(
      inUse
        ? `Port ${port} on ${hostname} is already in use by another program.`
        : `Cannot listen on ${hostname}:${port}: ${errorMessage(error)}`,
      { hint: 'Choose another port in the [service] section of webserver.conf.', cause: error },
    );
  }
}

/**
 * Starts serving.
 * @throws UserError when the address cannot be bound, the WebUI's folder is missing, or a security
 *   policy is unknown.
 */
export async function startWebServer(options: WebServerOptions): Promise<WebServer> {
  const { managerUrl, settings, clock, random, log, listen } = options;
  const urls = typeof managerUrl === 'string' ? [managerUrl] : managerUrl;
  const pool = new EndpointPool(urls, settings.balancing, { clock, random, log });
  const metrics = createRegistry();
  const application = new Application(options, pool, await openFiles(settings), metrics);
  const server = await bind(options, application);
  pool.start();
  const service = options.serviceListen
    ? serveServiceHttp(options.serviceListen, {
        component: 'webserver',
        metrics: { '/metrics': metrics },
        setting: 'internal-addr in [service] of webserver.conf',
        log,
      })
    : null;
  const host = listen.hostname.includes(':') ? `[${listen.hostname}]` : listen.hostname;
  const url = `${listen.tls ? 'https' : 'http'}://${host}:${server.port}`;
  log.info('the web server is ready', { url, managers: urls });
  return {
    url,
    metrics,
    async stop() {
      await service?.stop();
      pool.stop();
      const drained = server.drain();
      const grace = Promise.withResolvers<void>();
      const timer = clock.timer(STOP_GRACE_MS, grace.resolve);
      await Promise.race([drained, grace.promise]);
      timer.cancel();
      await server.close();
    },
  };
}
