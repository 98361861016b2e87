/** What the background loops of a manager do, under the names that upstream gives its scheduler's. */
import { Counter, Histogram } from 'prom-client';
import type { MetricsRegistry } from './registry.ts';

export interface FinishedPass {
  /** The loop: `scheduler`, `dispatcher`, … */
  readonly operation: string;
  readonly status: 'success' | 'failure';
  readonly elapsedMs: number;
}

/** @returns what to call after every pass. */
export function passMetrics(registry: MetricsRegistry): (pass: FinishedPass) => void {
  const registers = [registry];
  const count = new Counter({
    name: 'backendai_scheduler_operation_count',
    help: 'Passes of the background loops.',
    labelNames: ['operation', 'status'],
    registers,
  });
  const successes = new Counter({
    name: 'backendai_scheduler_operation_success_count',
    help: 'Passes of the background loops that did what they had to.',
    labelNames: ['operation'],
    registers,
  });
  const duration = new Histogram({
    name: 'backendai_scheduler_operation_duration_sec',
    help: 'How long a pass took, in seconds.',
    labelNames: ['operation', 'status'],
    registers,
  });
  return ({ operation, status, elapsedMs }) => {
    count.inc({ operation, status });
    // Without a first 0 Prometheus takes the first failure for where counting began.
    count.inc({ operation, status: 'failure' }, 0);
    if (status === 'success') successes.inc({ operation });
    duration.observe({ operation, status }, elapsedMs / 1000);
  };
}

/** @returns what to call with the type of every event that was handled. */
export function eventMetrics(registry: MetricsRegistry): (type: string) => void {
  const count = new Counter({
    name: 'backendai_event_count',
    help: 'Events announced among managers.',
    labelNames: ['event_type'],
    registers: [registry],
  });
  return (type) => count.inc({ event_type: type });
}
