/** What a server counts, and how Prometheus reads it. Each server has its own; nothing is global. */
import { Gauge, Registry } from 'prom-client';

export type MetricsRegistry = Registry;

/** A registry that tells of the process itself. */
export function createRegistry(): MetricsRegistry {
  const registry = new Registry();
  new Gauge({
    name: 'backendai_memory_used_rss',
    help: 'Memory that the process holds, in bytes.',
    registers: [registry],
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  return registry;
}

/** The answer to a scrape. */
export async function exposition(registry: MetricsRegistry): Promise<Response> {
  return new Response(await registry.metrics(), {
    headers: { 'content-type': registry.contentType },
  });
}
