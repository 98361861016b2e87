/** The tracer that configuration asks for: the `[otel]` section, or OTEL_EXPORTER_OTLP_ENDPOINT. */
import { Counter } from 'prom-client';
import { systemClock } from '../common/clock.ts';
import type { OtelSettings } from '../common/config/sections.ts';
import type { Logger } from '../common/logger.ts';
import { systemRandom } from '../common/random.ts';
import { noTracer, TRACES_VARIABLE, type Tracer } from '../common/tracing.ts';
import type { MetricsRegistry } from '../metrics/registry.ts';
import { SpanExporter } from './exporter.ts';
import { createTracer } from './tracer.ts';

/** Where collectors take gRPC, and where the same take HTTP, which is spoken here. */
const [GRPC_PORT, HTTP_PORT] = ['4317', '4318'];
const DEFAULT_QUEUED = 8_192;
const DEFAULT_BATCH = 512;

/** The address that spans are posted to. Upstream's files name the collector's port for gRPC. */
export function tracesUrl(endpoint: string): string {
  const url = new URL(endpoint);
  if (url.port === GRPC_PORT) url.port = HTTP_PORT ?? '';
  if (!url.pathname.endsWith('/v1/traces')) {
    url.pathname = `${url.pathname.replace(/\/+$/, '')}/v1/traces`;
  }
  return url.href;
}

function countOutcomes(registry: MetricsRegistry) {
  const count = new Counter({
    name: 'backendai_tracing_spans_count',
    help: 'Spans sent to the collector, and spans dropped since it was away or slow.',
    labelNames: ['outcome'],
    registers: [registry],
  });
  for (const outcome of ['exported', 'dropped']) count.inc({ outcome }, 0);
  return (outcome: 'exported' | 'dropped', spans: number) => count.inc({ outcome }, spans);
}

/** @param service `backend.ai-manager`, …: whose spans they are. */
export function openTracer(
  service: string,
  settings: OtelSettings,
  { log, registry }: { readonly log: Logger; readonly registry?: MetricsRegistry },
): Tracer {
  if (!settings.enabled) return noTracer;
  const exporter = new SpanExporter({
    url: tracesUrl(settings.endpoint),
    maxQueued: settings['max-queue-size'],
    maxBatch: settings['max-export-batch-size'],
    ...{ clock: systemClock, log },
    onOutcome: registry && countOutcomes(registry),
  });
  return createTracer({ service, exporter, random: systemRandom });
}

/** As `openTracer`, for what has no configuration file: off unless the environment names a collector. */
export function tracerFromEnvironment(
  service: string,
  env: Readonly<Record<string, string | undefined>>,
  parts: Parameters<typeof openTracer>[2],
): Tracer {
  const endpoint = env[TRACES_VARIABLE];
  if (!endpoint) return noTracer;
  return openTracer(
    service,
    {
      ...{ enabled: true, endpoint, 'log-level': 'INFO' },
      ...{ 'max-queue-size': DEFAULT_QUEUED, 'max-export-batch-size': DEFAULT_BATCH },
    },
    parts,
  );
}

/** Of several services in one process. `close` sends what is left of all. */
export function tracersFromEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  parts: Parameters<typeof openTracer>[2],
) {
  const tracers: Tracer[] = [];
  return {
    of(service: string): Tracer {
      const tracer = tracerFromEnvironment(service, env, parts);
      tracers.push(tracer);
      return tracer;
    },
    async close(): Promise<void> {
      await Promise.all(tracers.map((tracer) => tracer.close()));
    },
  };
}
