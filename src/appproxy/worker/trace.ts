/**
 * What a worker tells of requests and connections that were let in. Of those that were refused nothing is told:
 * strangers could fill the collector.
 */
import {
  formatTraceparent,
  type OpenSpan,
  parseTraceparent,
  type SpanAttributes,
  type SpanContext,
  type Tracer,
} from '../../common/tracing.ts';
import type { Circuit } from './circuit.ts';
import type { AskedFor } from './http/head.ts';

const attributesOf = ({ info }: Circuit): SpanAttributes => ({
  'backendai.session_id': info.session_ids[0] ?? '',
  'backendai.app': info.app,
});

function begin(
  tracer: Tracer,
  { circuit, name, parent }: { circuit: Circuit; name: string; parent: SpanContext | null },
  more: SpanAttributes = {},
): OpenSpan | null {
  return tracer.begin({
    ...{ name, kind: 'server', parent },
    attributes: { ...attributesOf(circuit), ...more },
  });
}

/** A request, or the set-up of a WebSocket. */
export interface RequestTrace {
  /** null: nothing is told. */
  readonly span: OpenSpan | null;
  /** What the application is told in place of what the client said; undefined leaves that as it is. */
  readonly traceparent: string | undefined;
}

/** Begins a request's span. Who sends no `traceparent` has none passed on to the application. */
export function traceRequest(tracer: Tracer, circuit: Circuit, asked: AskedFor): RequestTrace {
  const given = asked.fields.find(({ key }) => key === 'traceparent')?.value;
  const parent = parseTraceparent(given);
  const name = asked.isWebSocket ? 'open WebSocket' : `proxy ${asked.method}`;
  const span = begin(
    tracer,
    { circuit, name, parent },
    {
      'http.request.method': asked.method,
      // What comes after may hold what an application takes for a password.
      'url.path': asked.target.split('?', 1)[0] ?? '',
    },
  );
  const isPassedOn = span !== null && parent !== null;
  return { span, traceparent: isPassedOn ? formatTraceparent(span.context) : undefined };
}

/** Begins the span of a TCP connection's set-up, which says nothing of a trace. */
export const traceTcp = (tracer: Tracer, circuit: Circuit): OpenSpan | null =>
  begin(tracer, { circuit, name: 'open TCP connection', parent: null });
