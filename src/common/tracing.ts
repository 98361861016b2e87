/**
 * Tracing as components see it; implementations live in `src/tracing`. The current span follows the
 * work through `await`s, so that calls made on behalf of a request name it without being told.
 */
import { AsyncLocalStorage } from 'node:async_hooks';

export interface SpanContext {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  /** Whether its spans are sent; who began the trace decides that for all of it. */
  readonly isSampled: boolean;
}

export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

export interface SpanTimes {
  /** Milliseconds since 1970, with fractions. */
  readonly startUnixMs: number;
  readonly endUnixMs: number;
}

export interface Span {
  readonly context: SpanContext;
  /** Adds to what is told of it. */
  set(attributes: SpanAttributes): void;
  /** Tells of work below it that another service measured and cannot tell of itself. */
  addMeasured(service: string, name: string, times: SpanTimes): void;
}

export interface SpanStart {
  readonly name: string;
  readonly kind: 'server' | 'client' | 'internal';
  /** What it belongs to: the current span when this is absent; null begins a trace. */
  readonly parent?: SpanContext | null;
  readonly attributes?: SpanAttributes;
  /** No trace begins with it: heartbeats and probes would be all that is seen. */
  readonly onlyWithin?: boolean;
}

/** Work that is told of when it is over, by whoever notices. */
export interface PastSpan extends SpanTimes {
  readonly name: string;
  readonly parent: SpanContext;
  /** What those below it name as their parent; a new one when absent. */
  readonly spanId?: string;
  readonly attributes: SpanAttributes;
  /** Why the work failed; null when it did not. */
  readonly error: string | null;
}

/** A span of work that no promise stands for. */
export interface OpenSpan {
  readonly context: SpanContext;
  /** Tells of it, once; later calls say nothing. @param error why the work failed. */
  end(error: string | null, attributes?: SpanAttributes): void;
}

export interface Tracer {
  /** Does the work as a span, which is current meanwhile and fails when the work does. */
  run<T>(start: SpanStart, work: (span: Span | null) => Promise<T>): Promise<T>;
  /** Begins a span that is never current; null when nobody is told. */
  begin(start: SpanStart): OpenSpan | null;
  /** Tells of work that is over. */
  tell(span: PastSpan): void;
  /** Sends what is left, within a bounded time. */
  close(): Promise<void>;
}

/** Does the work and tells nobody. */
export const noTracer: Tracer = {
  run: (_start, work) => work(null),
  begin: () => null,
  tell: () => {},
  close: async () => {},
};

/** Where the collector is, for what has no configuration file: the client's commands. */
export const TRACES_VARIABLE = 'OTEL_EXPORTER_OTLP_ENDPOINT';

const active = new AsyncLocalStorage<Span>();

/** The span that the caller works for; null outside of any. */
export const currentSpan = (): Span | null => active.getStore() ?? null;

/** Does the work with another current span. */
export const withSpan = <T>(span: Span, work: () => T): T => active.run(span, work);

/**
 * Does the work outside of any span: what a request sets going, and what goes on after it, is not its own.
 */
export const withoutSpan = <T>(work: () => T): T => active.exit(work);

const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/;
const SAMPLED = 0x01;

/** What a W3C `traceparent` header names; null when there is none, or none that is valid. */
export function parseTraceparent(header: string | null | undefined): SpanContext | null {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(header ?? '') ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return null;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return null;
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0 };
}

export const formatTraceparent = ({ traceId, spanId, isSampled }: SpanContext): string =>
  `00-${traceId}-${spanId}-${isSampled ? '01' : '00'}`;

/** The headers by which a request names the current span; none outside of any. */
export function traceHeaders(): { traceparent?: string } {
  const span = currentSpan();
  return span === null ? {} : { traceparent: formatTraceparent(span.context) };
}
