/** A collector of traces for tests: takes OTLP over HTTP and keeps the spans. */
import * as v from 'valibot';
import { systemClock } from '../../common/clock.ts';
import { systemRandom } from '../../common/random.ts';
import type { Tracer } from '../../common/tracing.ts';
import { silentLogger } from '../../logging/logger.ts';
import { SpanExporter } from '../../tracing/exporter.ts';
import { createTracer } from '../../tracing/tracer.ts';

const attribute = v.object({
  key: v.string(),
  value: v.record(v.string(), v.union([v.string(), v.number(), v.boolean()])),
});
const document = v.object({
  resourceSpans: v.array(
    v.object({
      resource: v.object({ attributes: v.array(attribute) }),
      scopeSpans: v.array(
        v.object({
          spans: v.array(
            v.object({
              traceId: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
              spanId: v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/)),
              parentSpanId: v.optional(v.string()),
              name: v.string(),
              kind: v.number(),
              startTimeUnixNano: v.pipe(v.string(), v.digits()),
              endTimeUnixNano: v.pipe(v.string(), v.digits()),
              attributes: v.array(attribute),
              status: v.optional(v.object({ code: v.number(), message: v.string() })),
            }),
          ),
        }),
      ),
    }),
  ),
});

const valuesOf = (attributes: readonly v.InferOutput<typeof attribute>[]) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));

/** The spans in a request's body, with their services. @throws when it is no OTLP. */
function spansIn(body: unknown) {
  return v.parse(document, body).resourceSpans.flatMap(({ resource, scopeSpans }) => {
    const service = String(valuesOf(resource.attributes)['service.name']);
    return scopeSpans.flatMap(({ spans }) =>
      spans.map(({ attributes, status, ...span }) => ({
        ...{ ...span, service, attributes: valuesOf(attributes), error: status?.message ?? null },
      })),
    );
  });
}
export type CollectedSpan = ReturnType<typeof spansIn>[number];

export interface Collector {
  /** `http://127.0.0.1:port`. */
  readonly url: string;
  /** In the order they came in. */
  readonly spans: readonly CollectedSpan[];
  /** From now on answers nothing, until `release`. */
  hang(): void;
  release(): void;
  stop(): Promise<void>;
}

/** Of what runs in the test's own process; sends each span at once. The caller closes it. */
export function tracerTo(collector: Pick<Collector, 'url'>, service: string): Tracer {
  const exporter = new SpanExporter({
    ...{ url: `${collector.url}/v1/traces`, maxQueued: 1000, maxBatch: 1 },
    ...{ clock: systemClock, log: silentLogger },
  });
  return createTracer({ service, exporter, random: systemRandom });
}

export function startCollector(): Collector {
  const spans: CollectedSpan[] = [];
  let gate: { promise: Promise<void>; resolve: () => void } | null = null;
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      if (new URL(request.url).pathname !== '/v1/traces')
        return new Response(null, { status: 404 });
      const body: unknown = await request.json();
      await gate?.promise;
      spans.push(...spansIn(body));
      return Response.json({});
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}`,
    spans,
    hang() {
      gate = Promise.withResolvers<void>();
    },
    release() {
      gate?.resolve();
      gate = null;
    },
    stop: () => server.stop(true),
  };
}
