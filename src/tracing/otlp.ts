/** Spans as OTLP's JSON has them. */
import type { SpanAttributes, SpanContext, SpanStart, SpanTimes } from '../common/tracing.ts';
import { VERSION } from '../common/version.ts';

export interface FinishedSpan extends Omit<SpanContext, 'isSampled'>, SpanTimes {
  /** `service.name` of what did the work. */
  readonly service: string;
  readonly parentSpanId: string | null;
  readonly name: string;
  readonly kind: SpanStart['kind'];
  readonly attributes: SpanAttributes;
  /** Why the work failed; null when it did not. */
  readonly error: string | null;
}

const KINDS = { internal: 1, server: 2, client: 3 } as const;
const STATUS_ERROR = 2;

function anyValue(value: string | number | boolean) {
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}

const attributesOf = (attributes: SpanAttributes) =>
  Object.entries(attributes).map(([key, value]) => ({ key, value: anyValue(value) }));

/** Nanoseconds as text: they are beyond what a number holds exactly. */
const nanoseconds = (unixMs: number): string => String(BigInt(Math.round(unixMs * 1000)) * 1000n);

/** The body of a request to `/v1/traces`. */
export function otlpDocument(spans: readonly FinishedSpan[]) {
  const byService = Map.groupBy(spans, ({ service }) => service);
  return {
    resourceSpans: [...byService].map(([service, list]) => ({
      resource: {
        attributes: attributesOf({ 'service.name': service, 'service.version': VERSION }),
      },
      scopeSpans: [
        {
          scope: { name: 'backend.ai', version: VERSION },
          spans: list.map((span) => ({
            traceId: span.traceId,
            spanId: span.spanId,
            ...(span.parentSpanId === null ? {} : { parentSpanId: span.parentSpanId }),
            name: span.name,
            kind: KINDS[span.kind],
            startTimeUnixNano: nanoseconds(span.startUnixMs),
            endTimeUnixNano: nanoseconds(span.endUnixMs),
            attributes: attributesOf(span.attributes),
            ...(span.error === null ? {} : { status: { code: STATUS_ERROR, message: span.error } }),
          })),
        },
      ],
    })),
  };
}
