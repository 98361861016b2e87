/** A tracer that sends its spans to a collector. */
import { errorMessage } from '../common/errors.ts';
import type { Random } from '../common/random.ts';
import {
  currentSpan,
  type Span,
  type SpanAttributes,
  type SpanContext,
  type SpanStart,
  type SpanTimes,
  type Tracer,
  withSpan,
} from '../common/tracing.ts';
import type { SpanExporter } from './exporter.ts';
import type { FinishedSpan } from './otlp.ts';

export interface TracerOptions {
  /** `service.name` of its spans. */
  readonly service: string;
  readonly exporter: Pick<SpanExporter, 'add' | 'close'>;
  readonly random: Random;
}

const hex = (random: Random, bytes: number): string =>
  Buffer.from(random.bytes(bytes)).toString('hex');
/** The wall clock, finer than `Date` tells it. */
const unixMs = (): number => performance.timeOrigin + performance.now();

const STATUS = 'http.response.status_code';

/** As OpenTelemetry's conventions have it: a server that answers with 500 or more has failed. */
function failureOf(kind: SpanStart['kind'], attributes: SpanAttributes = {}): string | null {
  const status = Number(attributes[STATUS] ?? 0);
  return kind === 'server' && status >= 500 ? `answered with ${status}` : null;
}

export function createTracer({ service, exporter, random }: TracerOptions): Tracer {
  const childOf = (parent: SpanContext | null): SpanContext => ({
    traceId: parent?.traceId ?? hex(random, 16),
    spanId: hex(random, 8),
    isSampled: parent?.isSampled ?? true,
  });
  const finish = (
    { traceId, spanId, isSampled }: SpanContext,
    span: Omit<FinishedSpan, 'endUnixMs' | 'traceId' | 'spanId'>,
    endUnixMs = unixMs(),
  ) => {
    if (isSampled) exporter.add({ ...span, traceId, spanId, endUnixMs });
  };

  return {
    async run(start: SpanStart, work) {
      const parent = start.parent === undefined ? (currentSpan()?.context ?? null) : start.parent;
      if (parent === null && start.onlyWithin) return await work(null);
      const context = childOf(parent);
      let attributes: SpanAttributes = start.attributes ?? {};
      const startUnixMs = unixMs();
      const span: Span = {
        context,
        set(more) {
          attributes = { ...attributes, ...more };
        },
        addMeasured(otherService: string, name: string, times: SpanTimes) {
          const { startUnixMs, endUnixMs } = times;
          const measured = {
            ...{ service: otherService, name, attributes: {}, error: null, startUnixMs },
            ...{ kind: 'server' as const, parentSpanId: context.spanId },
          };
          finish(childOf(context), measured, endUnixMs);
        },
      };
      const told = (error: string | null) => ({
        ...{ service, name: start.name, kind: start.kind, attributes, error },
        ...{ parentSpanId: parent?.spanId ?? null, startUnixMs },
      });
      try {
        const result = await withSpan(span, () => work(span));
        finish(context, told(failureOf(start.kind, attributes)));
        return result;
      } catch (error) {
        finish(context, told(errorMessage(error)));
        throw error;
      }
    },
    begin(start) {
      const parent = start.parent === undefined ? (currentSpan()?.context ?? null) : start.parent;
      if (parent === null && start.onlyWithin) return null;
      const context = childOf(parent);
      const startUnixMs = unixMs();
      let isOver = false;
      return {
        context,
        end(error, attributes) {
          if (isOver) return;
          isOver = true;
          finish(context, {
            ...{ service, name: start.name, kind: start.kind, startUnixMs },
            error: error ?? failureOf(start.kind, attributes),
            attributes: { ...start.attributes, ...attributes },
            parentSpanId: parent?.spanId ?? null,
          });
        },
      };
    },
    tell({ name, parent, spanId, attributes, error, startUnixMs, endUnixMs }) {
      const own = childOf(parent);
      const work = { service, name, kind: 'internal', attributes, error, startUnixMs } as const;
      finish(
        { ...own, spanId: spanId ?? own.spanId },
        { ...work, parentSpanId: parent.spanId },
        endUnixMs,
      );
    },
    close: () => exporter.close(),
  };
}
