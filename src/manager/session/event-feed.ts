/**
 * Events of sessions and kernels for one client, in pages: those it missed since it was cut off, as
 * far as they are still known, and then those that come.
 */
import type { ManagerContext } from '../context.ts';
import type { StatusEvent } from '../event/bus.ts';
import type { LoggedEvent } from '../event/log.ts';

/** Events that may wait for a slow client before its stream is ended. */
const MAX_QUEUED_EVENTS = 1000;
const MAX_PAGE = 256;

export interface FeedPage {
  readonly events: readonly LoggedEvent[];
  /** They happened before the client came back. */
  readonly isReplay: boolean;
  /** Some that came before these may be lost. */
  readonly isGap: boolean;
}

/** What waits for the client: bounded, as the client reconnects and a gap untold would be worse. */
class Queue {
  #events: LoggedEvent[] = [];
  #isOver = false;
  #wake: () => void = () => undefined;

  add(events: readonly LoggedEvent[]): void {
    // After what did not fit nothing follows: a client goes on from the last that it got.
    if (this.#isOver) return;
    if (this.#events.length + events.length > MAX_QUEUED_EVENTS) this.#isOver = true;
    else this.#events.push(...events);
    this.#wake();
  }

  end(): void {
    this.#isOver = true;
    this.#wake();
  }

  /** Null after the last. */
  async take(): Promise<LoggedEvent[] | null> {
    for (;;) {
      if (this.#events.length > 0) return this.#events.splice(0, MAX_PAGE);
      if (this.#isOver) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
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
  const pick = (events: readonly LoggedEvent[]) => events.filter(({ event }) => wanted(event));
  const queue = new Queue();
  const { entry, leave } = await eventLog.follow((events) => {
    const picked = pick(events);
    if (picked.length > 0) queue.add(picked);
  });
  const end = () => {
    leave();
    queue.end();
  };
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();

  async function* replay(place: string): AsyncGenerator<FeedPage> {
    if (!(await eventLog.holds(place))) yield { events: [], isReplay: true, isGap: true };
    for await (const page of eventLog.replay(place, entry)) {
      if (signal.aborted) return;
      yield { events: pick(page), isReplay: true, isGap: false };
    }
  }

  async function* pages(): AsyncGenerator<FeedPage> {
    try {
      if (after !== null) yield* replay(after);
      for (;;) {
        const events = await queue.take();
        if (events === null || signal.aborted) return;
        yield { events, isReplay: false, isGap: false };
      }
    } finally {
      end();
      signal.removeEventListener('abort', end);
    }
  }
  return pages();
}
