/** Server-sent events: one-way streams of named JSON messages. */
import type { Clock } from '../../common/clock.ts';

export interface ServerEvent {
  readonly event: string;
  /** Sent as JSON; nothing when absent. */
  readonly data?: unknown;
  /** With which a client that was cut off says where it stopped. */
  readonly id?: string;
  /** After how long such a client connects again. Milliseconds. */
  readonly retryMs?: number;
}

/**
 * Told to a client when not all since an event is still known.
 * @param lastEventId null: since it came.
 */
export const eventsMissed = (lastEventId: string | null): ServerEvent => ({
  event: 'events_missed',
  data: {
    last_event_id: lastEventId,
    reason: 'Not all that happened since this event is still known; look anew at what you follow.',
  },
});

/** How often an idle stream proves to be alive. Milliseconds. */
const PING_MS = 15_000;

const frame = ({ event, data, id, retryMs }: ServerEvent): string =>
  `${id === undefined ? '' : `id: ${id}\n`}${retryMs === undefined ? '' : `retry: ${retryMs}\n`}` +
  `event: ${event}\ndata: ${data === undefined ? '' : JSON.stringify(data)}\n\n`;

/**
 * A response that sends `events` until they end or the client goes away, in which case `onEnd` must
 * make them end. The next event is asked for only when the client has taken the previous one.
 */
export function eventStream(
  clock: Clock,
  events: AsyncIterator<ServerEvent>,
  options: { signal: AbortSignal; onEnd: () => void },
): Response {
  const encoder = new TextEncoder();
  let pending: Promise<IteratorResult<ServerEvent>> | null = null;
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        // The first bytes make the client see that it is connected.
        controller.enqueue(encoder.encode(': connected\n\n'));
        options.signal.addEventListener('abort', options.onEnd, { once: true });
        // A client that left while the request was being checked is told of by no event.
        if (options.signal.aborted) options.onEnd();
        // Listening begins now, not when the client has read the first bytes.
        pending = events.next();
        pending.catch(() => {});
      },
      async pull(controller) {
        pending ??= events.next();
        const idle = new AbortController();
        const ping = clock.sleep(PING_MS, idle.signal).then(
          () => 'ping' as const,
          () => 'ping' as const,
        );
        const next = await Promise.race([pending, ping]);
        idle.abort();
        if (next === 'ping') {
          controller.enqueue(encoder.encode(': ping\n\n'));
          return;
        }
        pending = null;
        if (next.done) controller.close();
        else controller.enqueue(encoder.encode(frame(next.value)));
      },
      cancel: options.onEnd,
    },
    { highWaterMark: 1 },
  );
  return new Response(body, {
    headers: { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' },
  });
}
