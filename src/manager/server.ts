/** Composes the features into one HTTP server. */
import { errorMessage } from '../common/errors.ts';
import { noTracer, type Tracer } from '../common/tracing.ts';
import { createRegistry, exposition, type MetricsRegistry } from '../metrics/registry.ts';
import { requestMetrics } from '../metrics/requests.ts';
import { accountRoutes } from './auth/account-rest.ts';
import { KeypairCache } from './auth/keypair-cache.ts';
import { loginRoutes } from './auth/login-rest.ts';
import { QueryCounter } from './auth/query-counter.ts';
import { authRoutes } from './auth/rest.ts';
import { twoFactorRoutes } from './auth/two-factor-rest.ts';
import { configRoutes } from './config/rest.ts';
import type { ManagerContext } from './context.ts';
import { publicRoute } from './http/declare.ts';
import { type HttpListener, type ListenAddress, listen } from './http/listen.ts';
import { mountRoutes, type Serve } from './http/mount.ts';
import { openApiDocument } from './http/openapi.ts';
import { Pipeline } from './http/pipeline.ts';
import type { Route, SocketRoute } from './http/route.ts';
import { specRoutes } from './http/spec.ts';
import { StatusGate } from './http/status-gate.ts';
import { healthRoutes, versionRoutes } from './http/system.ts';
import { countQuery, findActiveKeypair } from './keypair/service.ts';

/** A change of these may change who is let in. */
const ACCOUNT_ENTITIES: ReadonlySet<string> = new Set(['user', 'keypair', 'domain']);

/** What Prometheus reads; on the internal address only. */
const metricsRoute = (registry: MetricsRegistry): Route =>
  publicRoute(
    { method: 'GET', gate: 'any', takes: {}, path: '/metrics', summary: 'Tell what is counted.' },
    () => exposition(registry),
  );

export interface ServerOptions {
  readonly listen: ListenAddress;
  /** A second address for other components: health checks with details, and `internalRoutes`. */
  readonly internalListen?: ListenAddress;
  readonly internalRoutes?: readonly Route[];
  /** Operations of the features, besides those about the server itself. */
  readonly routes: readonly Route[];
  readonly sockets: readonly SocketRoute[];
  /** What is told of this manager; the server counts its requests in it. A new one by default. */
  readonly metrics?: MetricsRegistry;
  /** Of the requests; none by default. */
  readonly tracer?: Tracer;
}

export interface ManagerServer {
  /** Where clients reach it: `http://host:port`. */
  readonly url: string;
  /** The second address, if there is one. */
  readonly internalUrl: string | null;
  /** Lets running requests end for up to `graceMs`, then closes everything. */
  stop(graceMs: number): Promise<void>;
}

/** The features' operations and those that describe them all. */
export function describedRoutes(
  ctx: Pick<ManagerContext, 'config'>,
  routes: readonly Route[],
  sockets: readonly SocketRoute[],
): Route[] {
  const all: Route[] = [...routes, ...specRoutes(ctx, () => openApiDocument(all, sockets))];
  return all;
}

/** The routes that need nothing but the context; tests enumerate them. */
export function systemRoutes(
  ctx: ManagerContext,
  facts: Parameters<typeof configRoutes>[1],
): Route[] {
  return [
    ...versionRoutes(),
    ...healthRoutes(ctx, false),
    ...authRoutes(),
    ...loginRoutes(ctx),
    ...accountRoutes(ctx),
    ...twoFactorRoutes(ctx),
    ...configRoutes(ctx, facts),
  ];
}

/**
 * Starts serving. Sets the cluster's status to running if it has none.
 * @throws UserError when an address cannot be bound.
 */
export async function startServer(
  ctx: ManagerContext,
  options: ServerOptions,
): Promise<ManagerServer> {
  const statusGate = await StatusGate.open(ctx.config);
  const keypairs = new KeypairCache(ctx.clock, (key) => findActiveKeypair(ctx.lookups, key));
  const unsubscribe = ctx.events.subscribe((event) => {
    if (event.type === 'entity-changed' && ACCOUNT_ENTITIES.has(event.entityType)) keypairs.clear();
  });
  const queries = new QueryCounter({
    clock: ctx.clock,
    log: ctx.log,
    write: (key, count) => countQuery(ctx.sql, key, count),
  });
  const metrics = options.metrics ?? createRegistry();
  const pipeline = new Pipeline({
    ctx,
    statusGate,
    findKeypair: (key) => keypairs.find(key),
    onAuthenticated: (key) => queries.count(key),
    onAnswered: requestMetrics(metrics),
    tracer: options.tracer ?? noTracer,
  });
  const { maxWebSocketMessageBytes } = ctx.settings;
  const mount = (routes: readonly Route[], sockets: readonly SocketRoute[]): Serve =>
    mountRoutes({
      pipeline,
      routes,
      sockets,
      maxWebSocketMessageBytes,
      clock: ctx.clock,
      onSocketError: (error, path) =>
        ctx.log.error('a WebSocket handler failed', {
          path,
          error: errorMessage(error),
          stack: error instanceof Error ? error.stack : undefined,
        }),
    });

  const listeners: HttpListener[] = [];
  const stop = async (graceMs: number) => {
    await Promise.all(listeners.map((listener) => listener.stop(graceMs)));
    unsubscribe();
    await queries.flush();
    await statusGate.close();
  };
  const facts = {
    serviceAddress: () => new URL(listeners[0]?.url ?? 'http://unknown').host,
    status: () => statusGate.status,
    sslEnabled: options.listen.tls !== undefined,
  };
  try {
    const { sockets } = options;
    const routes = describedRoutes(ctx, [...systemRoutes(ctx, facts), ...options.routes], sockets);
    const serve = mount(routes, sockets);
    const main = await listen(options.listen, serve, {
      random: ctx.random,
      maxWebSocketMessageBytes,
      setting: 'service-addr',
    });
    listeners.push(main);
    if (options.internalListen === undefined) return { url: main.url, internalUrl: null, stop };
    const serveInternal = mount(
      [...healthRoutes(ctx, true), metricsRoute(metrics), ...(options.internalRoutes ?? [])],
      [],
    );
    const internal = await listen(options.internalListen, serveInternal, {
      random: ctx.random,
      maxWebSocketMessageBytes,
      setting: 'internal-addr',
    });
    listeners.push(internal);
    return { url: main.url, internalUrl: internal.url, stop };
  } catch (error) {
    await stop(0);
    throw error;
  }
}
