/** What a server counts, and how Prometheus reads it. Each server has its own; nothing is global. */
import { readFileSync } from 'node:fs';
import { Gauge, Registry } from 'prom-client';

export type MetricsRegistry = Registry;

/** Linux counts memory in pages of this size on all machines that this runs on. Bytes. */
const PAGE_BYTES = 4096;

/** Address space of this process in bytes; null where there is no /proc. */
function virtualMemoryBytes(): number | null {
  try {
    const [pages] = readFileSync('/proc/self/statm', 'utf8').split(' ');
    return Number(pages) * PAGE_BYTES;
  } catch {
    return null;
  }
}

/** How busy this process was since the last time it was asked, in percent of one CPU. */
function cpuMeter(): () => number {
  let lastUs = 0;
  let lastMs = performance.now() - process.uptime() * 1000;
  return () => {
    const { user, system } = process.cpuUsage();
    const nowMs = performance.now();
    const elapsedUs = Math.max(1, (nowMs - lastMs) * 1000);
    const percent = ((user + system - lastUs) / elapsedUs) * 100;
    lastUs = user + system;
    lastMs = nowMs;
    return percent;
  };
}

/** A registry that tells of the process itself. */
export function createRegistry(): MetricsRegistry {
  const registry = new Registry();
  const registers = [registry];
  const cpuPercent = cpuMeter();
  new Gauge({
    name: 'backendai_memory_used_rss',
    help: 'Memory that the process holds, in bytes.',
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  new Gauge({
    name: 'backendai_memory_used_vms',
    help: 'Address space of the process, in bytes.',
    registers,
    collect() {
      const bytes = virtualMemoryBytes();
      if (bytes !== null) this.set(bytes);
    },
  });
  new Gauge({
    name: 'backendai_cpu_usage_percent',
    help: 'CPU time of the process since the last scrape, in percent of one CPU.',
    registers,
    collect() {
      this.set(cpuPercent());
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
