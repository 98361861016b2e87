/**
 * Where a session's way from the queue to its start appears in the trace of the request that made it:
 * `session schedule` while it waits, `session start` from its placement until it runs or failed to. Any
 * manager may see the end of either, so nothing is kept between: they are told of when they are over.
 * What the agents do is below `session start`, whose id follows from the session and its placement.
 */
import { createHash } from 'node:crypto';
import * as v from 'valibot';
import {
  formatTraceparent,
  type PastSpan,
  parseTraceparent,
  type SpanAttributes,
} from '../../common/tracing.ts';
import type { SessionStatus } from './status.ts';
import type { SessionDraft } from './transition-draft.ts';

/** Times as ISO 8601, of when the status was last entered. */
export const sessionTrace = v.object({
  /** `traceparent` of the request. */
  parent: v.string(),
  resourceGroup: v.nullable(v.string()),
  pendingAt: v.nullable(v.string()),
  scheduledAt: v.nullable(v.string()),
});
export type SessionTrace = v.InferOutput<typeof sessionTrace>;

const placedStatuses: ReadonlySet<SessionStatus> = new Set<SessionStatus>([
  'SCHEDULED',
  'PREPARING',
  'PULLING',
  'PREPARED',
  'CREATING',
]);

const SPAN_ID_DIGITS = 16;

/** A session that is placed again gets another. */
const startSpanId = (sessionId: string, scheduledAt: string): string =>
  createHash('sha256').update(`${sessionId} ${scheduledAt}`).digest('hex').slice(0, SPAN_ID_DIGITS);

/** What the agents are told as the parent of their spans; undefined when nobody traces the session. */
export function startTraceparent(
  sessionId: string,
  traceContext: string | null,
  scheduledAt: string | null,
): string | undefined {
  const parent = parseTraceparent(traceContext);
  if (parent === null || scheduledAt === null) return undefined;
  return formatTraceparent({ ...parent, spanId: startSpanId(sessionId, scheduledAt) });
}

function attributesOf({ before, kernels }: SessionDraft, trace: SessionTrace): SpanAttributes {
  const agents = new Set(
    kernels.flatMap(({ agentId, before: was }) => agentId ?? was.agentId ?? []),
  );
  return {
    'backendai.session_id': before.id,
    'backendai.resource_group': trace.resourceGroup ?? '',
    ...(agents.size > 0 && { 'backendai.agents': [...agents].join(',') }),
  };
}

/**
 * The parts of its life that are over by what changed.
 * @param now when it changed, ISO 8601.
 */
export function lifeSpans(session: SessionDraft, now: string): PastSpan[] {
  const { before, status, statusInfo, historyPatch } = session;
  const { trace } = before;
  const parent = parseTraceparent(trace?.parent);
  if (trace === null || parent === null || status === before.status) return [];
  const attributes = attributesOf(session, trace);
  const placedAt = historyPatch.SCHEDULED;
  const spans: PastSpan[] = [];
  if (before.status === 'PENDING' && trace.pendingAt !== null) {
    spans.push({
      ...{ name: 'session schedule', parent, attributes },
      ...{ startUnixMs: Date.parse(trace.pendingAt), endUnixMs: Date.parse(placedAt ?? now) },
      error: placedAt === undefined ? statusInfo : null,
    });
  }
  const wasPlaced = placedAt !== undefined || placedStatuses.has(before.status);
  const scheduledAt = placedAt ?? trace.scheduledAt;
  if (wasPlaced && scheduledAt !== null && !placedStatuses.has(status)) {
    spans.push({
      ...{ name: 'session start', parent, attributes },
      spanId: startSpanId(before.id, scheduledAt),
      ...{ startUnixMs: Date.parse(scheduledAt), endUnixMs: Date.parse(now) },
      error: status === 'RUNNING' ? null : statusInfo,
    });
  }
  return spans;
}
