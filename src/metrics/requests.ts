/** Requests that an HTTP API answered. */
import { Counter, Histogram } from 'prom-client';
import type { MetricsRegistry } from './registry.ts';

const LABELS = [
  'method',
  'endpoint',
  'domain',
  'operation',
  'error_detail',
  'status_code',
] as const;

export interface AnsweredRequest {
  readonly method: string;
  /** The operation's path with its parameters unnamed, so that there are few of them. */
  readonly endpoint: string;
  readonly status: number;
  /** `<domain>_<operation>_<detail>` of a refused request, else null. */
  readonly errorCode: string | null;
  readonly elapsedMs: number;
}

/** @returns what to call for every answer. */
export function requestMetrics(registry: MetricsRegistry): (answered: AnsweredRequest) => void {
  const registers = [registry];
  const count = new Counter({
    name: 'backendai_api_request_count',
    help: 'Requests answered.',
    labelNames: LABELS,
    registers,
  });
  const duration = new Histogram({
    name: 'backendai_api_request_duration_sec',
    help: 'Time until the answer began, in seconds.',
    labelNames: LABELS,
    registers,
  });
  return ({ method, endpoint, status, errorCode, elapsedMs }) => {
    const [domain = '', operation = '', ...detail] = errorCode?.split('_') ?? [];
    const labels = {
      ...{ method, endpoint, domain, operation },
      error_detail: detail.join('_'),
      status_code: String(status),
    };
    count.inc(labels);
    duration.observe(labels, elapsedMs / 1000);
  };
}
