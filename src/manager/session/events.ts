/** `GET /events/session`: what happens to sessions and kernels, as it happens. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { resolveOwner } from '../auth/delegation.ts';
import type { ManagerContext } from '../context.ts';
import type { StatusEvent } from '../event/bus.ts';
import type { LoggedEvent } from '../event/log.ts';
import { route } from '../http/declare.ts';
import { aliased, uuidText } from '../http/parameters.ts';
import type { Caller, Route } from '../http/route.ts';
import { eventStream, eventsMissed, type ServerEvent } from '../http/sse.ts';
import { type EventSubject, eventSubjects } from './api-store.ts';
import { type FeedPage, openFeed } from './event-feed.ts';
import { sessionEventOf } from './lifecycle.ts';
import { sessionOperation } from './request.ts';

/** Events that may wait for a slow client before its stream is ended. */
const MAX_QUEUED_EVENTS = 1000;

const KERNEL_EVENTS: Readonly<Record<string, string>> = {
  PREPARING: 'kernel_preparing',
  PULLING: 'kernel_pulling',
  CREATING: 'kernel_creating',
  RUNNING: 'kernel_started',
  CANCELLED: 'kernel_cancelled',
  TERMINATING: 'kernel_terminating',
  TERMINATED: 'kernel_terminated',
};

/** With which a batch session's result is told. */
const ENDINGS: readonly string[] = ['TERMINATING', 'TERMINATED'];

const eventsQuery = aliased(
  {
    session_name: ['sessionName'],
    owner_access_key: ['ownerAccessKey'],
    session_id: ['sessionId'],
    group_name: ['groupName'],
  },
  v.object({
    session_name: v.optional(v.string(), '*'),
    owner_access_key: v.optional(v.string()),
    session_id: v.optional(uuidText),
    group_name: v.optional(v.string(), '*'),
    scope: v.optional(v.string(), '*'),
  }),
);

/** Whose events a caller gets; null means no restriction. */
interface EventFilter {
  readonly domainName: string | null;
  readonly accessKey: string | null;
  readonly sessionId: string | null;
  readonly sessionName: string | null;
  readonly groupName: string | null;
  readonly sessions: boolean;
  readonly kernels: boolean;
}

/** Whether an event about `subject` passes. */
function passes(filter: EventFilter, subject: EventSubject): boolean {
  return (
    (filter.domainName === null || filter.domainName === subject.domainName) &&
    (filter.accessKey === null || filter.accessKey === subject.accessKey) &&
    (filter.sessionName === null || filter.sessionName === subject.name) &&
    (filter.groupName === null || filter.groupName === subject.groupName)
  );
}

const unlessAny = (text: string): string | null => (text === '*' ? null : text);

async function filterOf(
  ctx: ManagerContext,
  caller: Caller,
  query: v.InferOutput<typeof eventsQuery>,
): Promise<EventFilter> {
  const scopes = query.scope.split(',').map((scope) => scope.trim());
  const unknown = scopes.find((scope) => !['*', 'session', 'kernel'].includes(scope));
  if (unknown !== undefined) {
    throw new BackendError(
      'InvalidAPIParameters',
      `scope: '${unknown}' is neither session, kernel nor *.`,
    );
  }
  const owner = query.owner_access_key
    ? await resolveOwner(ctx.sql, caller, query.owner_access_key)
    : null;
  const everybody = caller.role === 'superadmin' || caller.role === 'admin';
  return {
    domainName: caller.role === 'superadmin' ? null : caller.domainName,
    accessKey: owner?.accessKey ?? (everybody ? null : caller.accessKey),
    sessionId: query.session_id ?? null,
    sessionName: unlessAny(query.session_name),
    groupName: unlessAny(query.group_name),
    sessions: scopes.includes('*') || scopes.includes('session'),
    kernels: scopes.includes('*') || scopes.includes('kernel'),
  };
}

/** What an event itself says to a filter; the rest is up to its session. */
function concerns(
  filter: Pick<EventFilter, 'sessionId' | 'sessions' | 'kernels'>,
  event: StatusEvent,
): boolean {
  if (event.type === 'session-status' ? !filter.sessions : !filter.kernels) return false;
  return filter.sessionId === null || filter.sessionId === event.sessionId;
}

/** The status events of the bus that may concern a filter, in order, until `signal` aborts. */
export async function* statusEvents(
  ctx: Pick<ManagerContext, 'events'>,
  filter: Pick<EventFilter, 'sessionId' | 'sessions' | 'kernels'>,
  signal: AbortSignal,
): AsyncGenerator<StatusEvent> {
  const queue: StatusEvent[] = [];
  let overflowed = false;
  let wake = () => {};
  const unsubscribe = ctx.events.subscribe((event) => {
    if (event.type === 'wake' || event.type === 'entity-changed') return;
    if (!concerns(filter, event)) return;
    // The client reconnects after the end of its stream; a gap it is not told of would be worse.
    if (overflowed || queue.length >= MAX_QUEUED_EVENTS) overflowed = true;
    else queue.push(event);
    wake();
  });
  const onAbort = () => wake();
  signal.addEventListener('abort', onAbort);
  try {
    while (!signal.aborted) {
      const event = queue.shift();
      if (event) yield event;
      else if (overflowed) return;
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (signal.aborted || queue.length > 0) resolve();
        });
      }
    }
  } finally {
    unsubscribe();
    signal.removeEventListener('abort', onAbort);
  }
}

interface Told {
  readonly filter: EventFilter;
  readonly resultsSent: Set<string>;
  readonly isReplay: boolean;
}

/** The messages of one event; a batch session's result goes before the end that follows from it. */
function messagesOf(event: StatusEvent, subject: EventSubject, told: Told): ServerEvent[] {
  const session = {
    reason: event.reason,
    sessionName: subject.name,
    ownerAccessKey: subject.accessKey,
    sessionId: event.sessionId,
    exitCode: event.type === 'kernel-status' ? event.exitCode : subject.exitCode,
  };
  if (event.type === 'kernel-status') {
    const name = KERNEL_EVENTS[event.status];
    const kernel = subject.kernels.find(({ id }) => id === event.kernelId);
    if (name === undefined || !kernel) return [];
    const place = { clusterRole: kernel.clusterRole, clusterIdx: kernel.clusterIdx };
    return [{ event: name, data: { ...session, kernelId: event.kernelId, ...place } }];
  }
  const messages: ServerEvent[] = [];
  // The session is read as it is now: of events long past only its end goes with its result.
  const mayHaveResult = !told.isReplay || ENDINGS.includes(event.status);
  if (subject.result !== 'UNDEFINED' && mayHaveResult && !told.resultsSent.has(event.sessionId)) {
    told.resultsSent.add(event.sessionId);
    messages.push({ event: `session_${subject.result.toLowerCase()}`, data: session });
  }
  messages.push({ event: `session_${sessionEventOf(event.status)}`, data: session });
  if (event.status === 'TERMINATED') told.resultsSent.delete(event.sessionId);
  return messages;
}

/** The messages of an event, the last of which names the place to go on from. */
function placedMessages(
  { event, place }: LoggedEvent,
  subject: EventSubject | undefined,
  told: Told,
): ServerEvent[] {
  if (subject === undefined || !passes(told.filter, subject)) return [];
  const messages = messagesOf(event, subject, told);
  const last = messages.pop();
  if (last === undefined) return [];
  return [...messages, place === null ? last : { ...last, id: place }];
}

async function* sessionEvents(
  ctx: ManagerContext,
  filter: EventFilter,
  place: string | null,
  pages: AsyncIterable<FeedPage>,
): AsyncGenerator<ServerEvent> {
  const resultsSent = new Set<string>();
  let lastPlace = place;
  for await (const { events, isReplay, isGap } of pages) {
    if (isGap) yield eventsMissed(lastPlace);
    lastPlace = events.findLast((one) => one.place !== null)?.place ?? lastPlace;
    const ids = new Set(events.map(({ event }) => event.sessionId));
    const subjects = await eventSubjects(ctx.sql, [...ids]);
    const told = { filter, resultsSent, isReplay };
    for (const one of events) yield* placedMessages(one, subjects.get(one.event.sessionId), told);
  }
}

export const eventRoutes = (ctx: ManagerContext): Route[] => [
  route(
    {
      ...sessionOperation('GET', '/events/session', 'Follow what happens to sessions, as SSE.'),
      takes: { query: eventsQuery },
    },
    async ({ caller, request, signal }, { query }) => {
      const filter = await filterOf(ctx, caller, query);
      const ended = new AbortController();
      const place = request.headers.get('last-event-id') || null;
      const either = AbortSignal.any([signal, ended.signal]);
      const pages = await openFeed(ctx, (event) => concerns(filter, event), place, either);
      return eventStream(ctx.clock, sessionEvents(ctx, filter, place, pages), {
        signal,
        onEnd: () => ended.abort(),
      });
    },
  ),
];
