/** Gauges whose values are looked up when Prometheus asks. */
import { Gauge } from 'prom-client';
import { errorMessage } from '../common/errors.ts';
import type { Logger } from '../common/logger.ts';
import type { MetricsRegistry } from './registry.ts';

export interface GaugeValue<Label extends string> {
  readonly labels: Readonly<Record<Label, string>>;
  readonly value: number;
}

export interface LookedUpGauge<Label extends string> {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly Label[];
}

/**
 * A gauge that is looked up at each scrape. When that fails it has no values until it works again:
 * none is better than old ones, and the other metrics of the server are told all the same.
 */
export function lookedUpGauge<Label extends string>(
  { registry, log }: { readonly registry: MetricsRegistry; readonly log: Pick<Logger, 'warn'> },
  { name, help, labelNames }: LookedUpGauge<Label>,
  look: () => Promise<readonly GaugeValue<Label>[]>,
): void {
  new Gauge({
    name,
    help,
    labelNames: [...labelNames],
    registers: [registry],
    async collect() {
      this.reset();
      try {
        for (const { labels, value } of await look()) this.set({ ...labels }, value);
      } catch (error) {
        log.warn('a metric could not be looked up', { name, error: errorMessage(error) });
      }
    },
  });
}
