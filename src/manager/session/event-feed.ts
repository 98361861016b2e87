/**
 * Events of sessions and kernels for one client, in pages: those it missed since it was cut off, as
 * far as they are still known, and then those that come.
 */
import type { ManagerContext } from '../context.ts';
import type { StatusEvent } from '../event/bus.ts';
import type { LoggedEvent, LoggedPage } from '../event/log.ts';

/** Events that may wait for a slow client before its stream is ended. */
const MAX_QUEUED_EVENTS = 1000;
const MAX_PAGE = 256;

export interface FeedPage extends LoggedPage {
  /** They happened before the client came back. */
  readonly isReplay: boolean;
}

/** What waits for the client: bounded, as the client reconnects and a gap untold would be worse. */
class Queue {
  /** Null stands where some may be lost. */
  #events: (LoggedEvent | null)[] = [];
  #isOver = false;
  #wake: () => void = () => undefined;

  add({ events, isGap }: LoggedPage): void {
    // After what did not fit nothing follows: a client goes on from the last that it got.
    if (this.#isOver) return;
    if (this.#events.length + events.length > MAX_QUEUED_EVENTS) this.#isOver = true;
    else this.#events.push(...(isGap ? [null] : []), ...events);
    this.#wake();
  }

  end(): void {
    this.#isOver = true;
    this.#wake();
  }

  /** Null after the last. */
  async take(): Promise<LoggedPage | null> {
    for (;;) {
      if (this.#events.length > 0) return this.#next();
      if (this.#isOver) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** Up to where some may be lost. */
  #next(): LoggedPage {
    const isGap = this.#events[0] === null;
    if (isGap) this.#events.shift();
    const gap = this.#events.slice(0, MAX_PAGE).indexOf(null);
    const taken = this.#events.splice(0, gap === -1 ? MAX_PAGE : gap);
    return { events: taken.filter((event) => event !== null), isGap };
  }
}

/**
 * Begins to listen at once; what is missed is read while the answer is being taken.
 * @param after the place that the client tells it got to; null for one that has just come.
 */
export async function openFeed(
  { eventLog }: Pick<ManagerContext, 'eventLog'>,
  wanted: (event: StatusEvent) => boolean,
  after: string | null,
  signal: AbortSignal,
): Promise<AsyncGenerator<FeedPage>> {
  const pick = ({ events, isGap }: LoggedPage): LoggedPage => ({
    events: events.filter(({ event }) => wanted(event)),
    isGap,
  });
  const queue = new Queue();
  const { entry, leave } = await eventLog.follow((page) => {
    const picked = pick(page);
    if (picked.events.length > 0 || picked.isGap) queue.add(picked);
  });
  const end = () => {
    leave();
    queue.end();
  };
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();

  async function* replay(place: string): AsyncGenerator<FeedPage> {
    for await (const page of eventLog.replay(place, entry)) {
      if (signal.aborted) return;
      yield { ...pick(page), isReplay: true };
    }
  }

  async function* pages(): AsyncGenerator<FeedPage> {
    try {
      if (after !== null) yield* replay(after);
      for (;;) {
        const page = await queue.take();
        if (page === null || signal.aborted) return;
        yield { ...page, isReplay: false };
      }
    } finally {
      end();
      signal.removeEventListener('abort', end);
    }
  }
  return pages();
}
