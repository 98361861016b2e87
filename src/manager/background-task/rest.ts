/** `GET /events/background-task`: how far a background task is, as it happens. */
import * as v from 'valibot';
import type { Clock } from '../../common/clock.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import { aliased } from '../http/parameters.ts';
import type { Route } from '../http/route.ts';
import { eventStream, eventsMissed, type ServerEvent } from '../http/sse.ts';
import type { TaskEvent } from './service.ts';

/** After how long a client that was cut off connects again. Milliseconds. */
const RETRY_MS = 5;

/**
 * Before an end that is known at once. Upstream's command line starts its progress display when it is
 * connected, and fails when the end comes with the first bytes. Milliseconds.
 */
const SETTLE_MS = 100;

const taskQuery = aliased({ task_id: ['taskId'] }, v.object({ task_id: v.string() }));

function toServerEvent(taskId: string, event: TaskEvent): ServerEvent {
  const said = { task_id: taskId, message: event.message };
  const progress = { current_progress: event.current, total_progress: event.total };
  return {
    event: `bgtask_${event.state}`,
    data: event.state === 'updated' ? { ...said, ...progress } : said,
    id: event.id,
    retryMs: RETRY_MS,
  };
}

async function* serverEvents(
  clock: Clock,
  taskId: string,
  events: AsyncIterable<TaskEvent>,
  missed: string | null,
  signal: AbortSignal,
): AsyncGenerator<ServerEvent> {
  if (missed !== null) yield eventsMissed(missed);
  let isFirst = true;
  for await (const event of events) {
    if (isFirst && event.state !== 'updated') await clock.sleep(SETTLE_MS, signal).catch(() => {});
    isFirst = false;
    yield toServerEvent(taskId, event);
  }
  yield { event: 'server_close', data: {} };
}

export const backgroundTaskRoutes = (ctx: ManagerContext): Route[] => [
  route(
    {
      method: 'GET',
      path: '/events/background-task',
      gate: 'read',
      auth: 'user',
      summary: 'Follow how far a background task is, as SSE.',
      takes: { query: taskQuery },
    },
    async ({ caller, request, signal }, { query: { task_id: id } }) => {
      await ctx.tasks.authorize(caller, id);
      const ended = new AbortController();
      const either = AbortSignal.any([signal, ended.signal]);
      const place = request.headers.get('last-event-id') || null;
      const missed = place !== null && !(await ctx.tasks.holds(id, place)) ? place : null;
      const events = ctx.tasks.watch(id, place, either);
      return eventStream(ctx.clock, serverEvents(ctx.clock, id, events, missed, either), {
        signal,
        onEnd: () => ended.abort(),
      });
    },
  ),
];
