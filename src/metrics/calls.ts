/** Calls between components that this one answered. */
import { Counter, Histogram } from 'prom-client';
import type { MetricsRegistry } from './registry.ts';

export interface AnsweredCall {
  readonly method: string;
  /** Name of the problem that it ended with; null when it succeeded. */
  readonly problem: string | null;
  readonly elapsedMs: number;
}

/** @returns what to call for every answer. */
export function callMetrics(registry: MetricsRegistry): (answered: AnsweredCall) => void {
  const registers = [registry];
  const count = new Counter({
    name: 'backendai_rpc_requests_total',
    help: 'Calls answered.',
    labelNames: ['method'],
    registers,
  });
  const failures = new Counter({
    name: 'backendai_rpc_failure_requests_total',
    help: 'Calls that failed.',
    labelNames: ['method', 'exception'],
    registers,
  });
  const duration = new Histogram({
    name: 'backendai_rpc_request_duration_seconds',
    help: 'Time until the answer, in seconds.',
    labelNames: ['method'],
    registers,
  });
  return ({ method, problem, elapsedMs }) => {
    count.inc({ method });
    if (problem !== null) failures.inc({ method, exception: problem });
    duration.observe({ method }, elapsedMs / 1000);
  };
}
