/**
 * Measures the node and its kernels every few seconds and tells the manager. What can't be measured or
 * told is left out this time: nothing waits for statistics, and nothing is sent twice.
 */
import type { Clock } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import { MAX_KERNELS_PER_REPORT, type StatisticsReport } from '../../common/protocol/statistics.ts';
import type { KernelLabels, UtilizationMetrics } from '../../metrics/utilization.ts';
import type { Allocations } from '../resources/allocations.ts';
import type { AcceleratorFigures } from './accelerators.ts';
import { MetricTracker } from './metrics.ts';
import { readNodeUsage } from './node-usage.ts';
import type { KernelUsage } from './usage.ts';

export interface StatisticsOptions {
  agentId: string;
  intervalMs: number;
  /** Kernels that run now. */
  running: () => string[];
  /** Looks at kernels; those that can't be looked at are left out. */
  measure: (kernelIds: readonly string[]) => Promise<ReadonlyMap<string, KernelUsage>>;
  /** Looks at the accelerators of the node. */
  accelerators: () => Promise<AcceleratorFigures>;
  /** What a kernel holds. */
  heldBy: (kernelId: string) => Allocations;
  /** Where scrapers read it. */
  metrics: UtilizationMetrics;
  labelsOf: (kernelId: string) => KernelLabels;
  send: (report: StatisticsReport) => Promise<null>;
  clock: Clock;
  log: Logger;
}

export class StatisticsReporter {
  readonly #options: StatisticsOptions;
  readonly #stopping = new AbortController();
  readonly #tracker = new MetricTracker();
  #running: Promise<void> | null = null;
  #isHealthy = true;

  constructor(options: StatisticsOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { intervalMs, metrics, clock, log } = this.#options;
    while (!this.#stopping.signal.aborted) {
      try {
        metrics.count('trigger');
        await this.#report();
        metrics.count('success');
        if (!this.#isHealthy) log.info('Statistics are reported again');
        this.#isHealthy = true;
      } catch (error) {
        metrics.count('failure');
        if (this.#isHealthy) {
          log.warn('Statistics could not be reported', { error: errorMessage(error) });
        }
        this.#isHealthy = false;
      }
      await clock.sleep(intervalMs, this.#stopping.signal).catch(() => {
        // Stopped: the loop's condition sees it.
      });
    }
  }

  async #report(): Promise<void> {
    const { agentId, intervalMs, running, measure, heldBy, labelsOf, send, clock } = this.#options;
    const [nodeUsage, accelerators] = await Promise.all([
      readNodeUsage(),
      this.#options.accelerators(),
    ]);
    const node = this.#tracker.takeNode(nodeUsage, accelerators.node, clock.monotonicMs());
    const usages = await measure(running());
    const kernels = [
      ...this.#tracker.takeKernels(
        usages,
        nodeUsage.memoryTotalBytes,
        (kernelId) => accelerators.of(heldBy(kernelId)),
        clock.monotonicMs(),
      ),
    ];
    this.#options.metrics.note({
      node,
      kernels: kernels.map(([id, metrics]) => ({ labels: labelsOf(id), metrics })),
    });
    const report = { agentId, intervalMs };
    for (let first = 0; first === 0 || first < kernels.length; first += MAX_KERNELS_PER_REPORT) {
      if (this.#stopping.signal.aborted) return;
      await send({
        ...report,
        node: first === 0 ? node : null,
        kernels: Object.fromEntries(kernels.slice(first, first + MAX_KERNELS_PER_REPORT)),
      });
    }
  }
}
