/** A tracer that sends its spans to a collector. */
import { errorMessage } from '../common/errors.ts';
import type { Random } from '../common/random.ts';
import {
  currentSpan,
  type Span,
  type SpanAttributes,
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

export function createTracer({ service, exporter, random }: TracerOptions): Tracer {
  const finish = (span: Omit<FinishedSpan, 'endUnixMs'>, endUnixMs = unixMs()) =>
    exporter.add({ ...span, endUnixMs });

  return {
    async run(start: SpanStart, work) {
      const parent = start.parent === undefined ? (currentSpan()?.context ?? null) : start.parent;
      if (parent === null && start.onlyWithin) return await work(null);
      const context = { traceId: parent?.traceId ?? hex(random, 16), spanId: hex(random, 8) };
      let attributes: SpanAttributes = start.attributes ?? {};
      const startUnixMs = unixMs();
      const span: Span = {
        context,
        set(more) {
          attributes = { ...attributes, ...more };
        },
        addMeasured(otherService: string, name: string, times: SpanTimes) {
          exporter.add({
            ...{ service: otherService, name, kind: 'server', attributes: {}, error: null },
            ...{ traceId: context.traceId, spanId: hex(random, 8) },
            ...{ parentSpanId: context.spanId, ...times },
          });
        },
      };
      const told = (error: string | null) => ({
        ...{ service, name: start.name, kind: start.kind, attributes, error },
        ...{ ...context, parentSpanId: parent?.spanId ?? null, startUnixMs },
      });
      try {
        const result = await withSpan(span, () => work(span));
        finish(told(null));
        return result;
      } catch (error) {
        finish(told(errorMessage(error)));
        throw error;
      }
    },
    begin(start) {
      const parent = start.parent === undefined ? (currentSpan()?.context ?? null) : start.parent;
      if (parent === null && start.onlyWithin) return null;
      const context = { traceId: parent?.traceId ?? hex(random, 16), spanId: hex(random, 8) };
      const startUnixMs = unixMs();
      let isOver = false;
      return {
        context,
        end(error, attributes) {
          if (isOver) return;
          isOver = true;
          finish({
            ...{ service, name: start.name, kind: start.kind, error, startUnixMs, ...context },
            attributes: { ...start.attributes, ...attributes },
            parentSpanId: parent?.spanId ?? null,
          });
        },
      };
    },
    tell({ name, parent, spanId, attributes, error, startUnixMs, endUnixMs }) {
      exporter.add({
        ...{ service, name, kind: 'internal', attributes, error, startUnixMs, endUnixMs },
        ...{ traceId: parent.traceId, spanId: spanId ?? hex(random, 8) },
        parentSpanId: parent.spanId,
      });
    },
    close: () => exporter.close(),
  };
}
