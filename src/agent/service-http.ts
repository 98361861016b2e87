/** The address for those who watch over the agent: health probes and metrics. */
import type { HostPort } from '../common/config/values.ts';
import { errorMessage } from '../common/errors.ts';
import type { Logger } from '../common/logger.ts';
import { VERSION } from '../common/version.ts';
import { exposition, type MetricsRegistry } from '../metrics/registry.ts';

export interface ServiceHttp {
  /** null: the address was taken. */
  readonly url: string | null;
  stop(): Promise<void>;
}

/**
 * Serves `/health`, `/livez`, `/readyz` (whether a manager hears it) and `/metrics`. Sessions don't depend on them, so an address
 * that is taken is no reason not to start.
 */
export function serveServiceHttp(
  { host, port }: HostPort,
  {
    registry,
    log,
    isReady,
  }: {
    readonly registry: MetricsRegistry;
    readonly log: Logger;
    /** Whether the manager took the last heartbeat. */
    readonly isReady: () => boolean;
  },
): ServiceHttp {
  const readiness = () =>
    isReady()
      ? new Response(null)
      : new Response('The manager has not taken a heartbeat.\n', { status: 503 });
  const health = () => Response.json({ status: 'ok', version: VERSION, component: 'agent' });
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
        '/metrics': { GET: () => exposition(registry) },
      },
      fetch: () => new Response('There is nothing here.\n', { status: 404 }),
    });
    return { url: `http://${server.hostname}:${server.port}`, stop: () => server.stop() };
  } catch (error) {
    log.warn('health and metrics are not served; set another service-addr in agent.toml', {
      ...{ addr: `${host}:${port}`, error: errorMessage(error) },
    });
    return { url: null, stop: async () => {} };
  }
}
