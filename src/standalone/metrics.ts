/**
 * What Prometheus reads of the cluster: one address for the parts that share this process, and a
 * file that tells Prometheus of all targets (`file_sd_configs`).
 */
import { rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../common/logger.ts';
import type { MetricsRegistry } from '../metrics/registry.ts';
import { type ServiceHttp, serveServiceHttp } from '../metrics/service-http.ts';

const TARGETS_FILE = 'prometheus-targets.json';

export interface LocalMetricsOptions {
  /** The cluster's folder. */
  readonly folder: string;
  readonly hostname: string;
  readonly port: number;
  /** What the parts tell, by the names that jobs of Prometheus have. */
  readonly registries: Readonly<Record<string, MetricsRegistry>>;
  /** URLs of parts that serve `/metrics` themselves, with their jobs' names. */
  readonly others: readonly { readonly job: string; readonly url: string }[];
  readonly log: Logger;
}

const pathOf = (job: string) => `/metrics/${job}`;

/** Serves the metrics, and writes `prometheus-targets.json` into the cluster's folder. */
export async function serveLocalMetrics(options: LocalMetricsOptions): Promise<ServiceHttp> {
  const { folder, hostname, port, registries, others, log } = options;
  const service = serveServiceHttp(
    { host: hostname, port },
    {
      component: 'up',
      metrics: Object.fromEntries(
        Object.entries(registries).map(([job, registry]) => [pathOf(job), registry]),
      ),
      setting: 'port: stop what uses it, then start the cluster again',
      log,
    },
  );
  const shared = Object.keys(registries).map((job) => ({
    targets: [`${hostname}:${port}`],
    labels: { job, __metrics_path__: pathOf(job) },
  }));
  const own = others.map(({ job, url }) => ({ targets: [new URL(url).host], labels: { job } }));
  const staging = join(folder, `${TARGETS_FILE}.new`);
  await writeFile(staging, JSON.stringify([...shared, ...own], null, 2));
  await rename(staging, join(folder, TARGETS_FILE));
  return service;
}
