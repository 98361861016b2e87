/** The address for those who watch over a server: health probes and metrics. */
import type { HostPort } from '../common/config/values.ts';
import { errorMessage } from '../common/errors.ts';
import type { Logger } from '../common/logger.ts';
import { VERSION } from '../common/version.ts';
import { exposition, type MetricsRegistry } from './registry.ts';

export interface ServiceHttp {
  /** null: the address was taken. */
  readonly url: string | null;
  stop(): Promise<void>;
}

export interface ServiceHttpOptions {
  /** As `/health` names it. */
  readonly component: string;
  /** What each path tells: `/metrics` of a server, `/metrics/NAME` where several share a process. */
  readonly metrics: Readonly<Record<string, MetricsRegistry>>;
  /** The setting to change when the address is taken. */
  readonly setting: string;
  /** What `/readyz` tells; always, when it is absent. */
  readonly isReady?: () => boolean;
  readonly log: Logger;
}

/**
 * Serves `/health`, `/livez`, `/readyz` and metrics. Nobody's work depends on them, so an address
 * that is taken is no reason not to start.
 */
export function serveServiceHttp(
  { host, port }: HostPort,
  { component, metrics, setting, log, isReady = () => true }: ServiceHttpOptions,
): ServiceHttp {
  const readiness = () =>
    isReady() ? new Response(null) : new Response('It is not ready.\n', { status: 503 });
  const health = () => Response.json({ status: 'ok', version: VERSION, component });
  const metricRoutes = Object.fromEntries(
    Object.entries(metrics).map(([path, registry]) => [path, { GET: () => exposition(registry) }]),
  );
  try {
    const server = Bun.serve({
      hostname: host,
      port,
      development: false,
      reusePort: false,
      routes: {
        '/health': { GET: health },
        '/livez': { GET: () => new Response(null) },
        '/readyz': { GET: readiness },
        ...metricRoutes,
      },
      fetch: () => new Response('There is nothing here.\n', { status: 404 }),
    });
    return { url: `http://${server.hostname}:${server.port}`, stop: () => server.stop() };
  } catch (error) {
    log.warn(`health and metrics are not served; set another ${setting}`, {
      ...{ addr: `${host}:${port}`, error: errorMessage(error) },
    });
    return { url: null, stop: async () => {} };
  }
}
