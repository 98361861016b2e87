/**
 * What happened to sessions and kernels lately, in one order that all managers share: a bounded
 * stream in the live store. Whoever was cut off from events reads on where it stopped, on any manager.
 */
import * as v from 'valibot';
import type { Clock, Timer } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import type { Subscription } from '../../stores/config/port.ts';
import type { LiveStore } from '../../stores/live/port.ts';
import { compareStreamIds, isStreamId, precedingStreamId } from '../../stores/live/stream-id.ts';
import { type StatusEvent, statusEvent } from './bus.ts';

const STREAM = 'manager/events/log';
/** Announces that something was added to it. */
const CHANNEL = 'manager/events/logged';

/** Entries that are kept. */
const MAX_ENTRIES = 4096;
/** Events in one of them, at most. */
const MAX_EVENTS = 16;
/** Events that wait to be written while the store is slow; more are dropped, which is told. */
const MAX_WAITING = 16_384;
const PAGE_ENTRIES = 64;
/** How often followers look by themselves: announcements may get lost. Milliseconds. */
const LOOK_MS = 5_000;

/** Before all entries. */
const BEGINNING = '0-0';

/** `<milliseconds>-<sequence>` of the entry, and the event's position in it. */
const PLACE = /^(.*)\.(\d{1,4})$/;

export interface LoggedEvent {
  readonly event: StatusEvent;
  /** Where to go on from; null for an event that the store did not take. */
  readonly place: string | null;
}

type Log = Pick<LiveStore, 'streamAdd' | 'streamRead' | 'streamLast' | 'publish' | 'subscribe'>;

/** Events in their order; with `isGap`, some that came before them may be lost. */
export interface LoggedPage {
  readonly events: readonly LoggedEvent[];
  readonly isGap: boolean;
}
type Follower = (page: LoggedPage) => void;

const storedEntry = v.object({
  events: v.pipe(v.string(), v.parseJson(), v.array(statusEvent)),
  /** There is one where events before these could not be kept. */
  gap: v.optional(v.string()),
});

interface WaitingEvent {
  readonly event: StatusEvent;
  /** Some before it were dropped. */
  readonly isGap: boolean;
}

interface Place {
  readonly entry: string;
  readonly index: number;
}

/** Null for anything that this log never gave out. */
function parsePlace(text: string): Place | null {
  const [, entry, index] = PLACE.exec(text) ?? [];
  if (entry === undefined || entry === BEGINNING || !isStreamId(entry)) return null;
  return { entry, index: Number(index) };
}

export class EventLog {
  readonly #live: Log;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #maxEntries: number;
  readonly #followers = new Set<Follower>();
  #waiting: WaitingEvent[] = [];
  /** Events were dropped after the last that waits. */
  #isDropping = false;
  /** Events were not taken by the store since the last that it took. */
  #isUnwritten = false;
  #writing: Promise<void> | null = null;
  #isFailing = false;
  /** The entry up to which followers were told; null while there are none. */
  #tail: string | null = null;
  #opening: Promise<string | null> | null = null;
  #isReading = false;
  #isNoticed = false;
  #look: Timer | null = null;
  #subscription: Subscription | null = null;

  private constructor(live: Log, clock: Clock, log: Logger, maxEntries: number) {
    this.#live = live;
    this.#maxEntries = maxEntries;
    this.#clock = clock;
    this.#log = log;
  }

  /** @throws what the live store throws when it cannot be subscribed to. */
  static async open(
    live: Log,
    clock: Clock,
    log: Logger,
    maxEntries = MAX_ENTRIES,
  ): Promise<EventLog> {
    const made = new EventLog(live, clock, log, maxEntries);
    made.#subscription = await live.subscribe(CHANNEL, () => made.#notice());
    return made;
  }

  /** Writes an event down, with those that come right after it. Never fails. */
  append(event: StatusEvent): void {
    if (this.#waiting.length >= MAX_WAITING) {
      this.#complain('more events than the store takes; some are not kept');
      this.#isDropping = true;
      return;
    }
    this.#waiting.push({ event, isGap: this.#isDropping });
    this.#isDropping = false;
    this.#writing ??= this.#write();
  }

  /**
   * Tells `follower` of everything from now on, in order.
   * @returns the entry after which that begins.
   */
  async follow(follower: Follower): Promise<{ entry: string; leave: () => void }> {
    if (this.#tail === null) {
      this.#opening ??= this.#live.streamLast(STREAM).finally(() => {
        this.#opening = null;
      });
      const last = await this.#opening;
      this.#tail ??= last ?? BEGINNING;
    }
    const entry = this.#tail;
    this.#followers.add(follower);
    this.#look ??= this.#clock.timer(LOOK_MS, () => this.#lookAgain());
    // Something may have been added since, while nobody followed.
    this.#notice();
    return { entry, leave: () => this.#leave(follower) };
  }

  /**
   * Events after a place, up to and with an entry, in pages. What is forgotten by then is a gap, as is
   * a place that this log never gave out.
   */
  async *replay(text: string, lastEntry: string): AsyncGenerator<LoggedPage> {
    let from = parsePlace(text);
    if (from === null) yield { events: [], isGap: true };
    while (from !== null) {
      const { events, isGap, last } = await this.#pageAfter(from, lastEntry);
      if (events.length > 0 || isGap) yield { events, isGap };
      from = last === null ? null : endOf(last);
    }
  }

  async close(): Promise<void> {
    this.#look?.cancel();
    await this.#subscription?.close();
    await this.#writing;
  }

  async #write(): Promise<void> {
    // What is published in one go is written in one go.
    await Promise.resolve();
    do {
      for (;;) {
        const [first] = this.#waiting;
        if (!first) break;
        const gap = this.#waiting.findIndex(({ isGap }, index) => index > 0 && isGap);
        const count = gap === -1 ? MAX_EVENTS : Math.min(gap, MAX_EVENTS);
        const events = this.#waiting.splice(0, count).map(({ event }) => event);
        await this.#add(events, first.isGap);
      }
      // Nothing may come for long that would tell of the gap.
      if (this.#isDropping || this.#isUnwritten) {
        this.#isDropping = false;
        await this.#add([], true);
      }
    } while (this.#waiting.length > 0);
    this.#writing = null;
  }

  async #add(events: readonly StatusEvent[], isGap: boolean): Promise<void> {
    const fields: Record<string, string> = { events: JSON.stringify(events) };
    if (isGap || this.#isUnwritten) fields.gap = '1';
    try {
      await this.#live.streamAdd(STREAM, fields, this.#maxEntries);
    } catch (error) {
      this.#complain(errorMessage(error));
      this.#isUnwritten = true;
      // Those who listen here need not wait for the store.
      this.#tell({ events: events.map((event) => ({ event, place: null })), isGap });
      return;
    }
    this.#isUnwritten = false;
    this.#notice();
    await this.#announce();
  }

  /** What was added is read by those who listen; on other managers a little later should this fail. */
  async #announce(): Promise<void> {
    try {
      await this.#live.publish(CHANNEL, '');
      this.#isFailing = false;
    } catch (error) {
      this.#complain(errorMessage(error));
    }
  }

  /** Once per outage: events are many, and the cause is the same. */
  #complain(why: string): void {
    if (!this.#isFailing) this.#log.warn('cannot keep events for those cut off', { error: why });
    this.#isFailing = true;
  }

  #notice(): void {
    if (this.#followers.size === 0) return;
    this.#isNoticed = true;
    if (!this.#isReading) void this.#read();
  }

  async #read(): Promise<void> {
    this.#isReading = true;
    while (this.#isNoticed && this.#tail !== null) {
      this.#isNoticed = false;
      const tail = this.#tail;
      try {
        const { events, isGap, last } = await this.#pageAfter(endOf(tail));
        // All may have left, and others come, who begin elsewhere.
        if (last === null || this.#tail !== tail) continue;
        this.#tail = last;
        this.#isNoticed = true;
        this.#tell({ events, isGap });
      } catch (error) {
        this.#complain(errorMessage(error));
      }
    }
    this.#isReading = false;
  }

  /**
   * What comes after a place, which is read as well: once that is trimmed, more may be.
   * @returns last: the entry to read on after; null when there is nothing more.
   */
  async #pageAfter(from: Place, lastEntry?: string): Promise<LoggedPage & { last: string | null }> {
    const read = await this.#live.streamRead(
      STREAM,
      precedingStreamId(from.entry),
      PAGE_ENTRIES + 1,
    );
    const isTrimmed = from.entry !== BEGINNING && read[0]?.id !== from.entry;
    const wanted = read.filter(
      ({ id }) => lastEntry === undefined || compareStreamIds(id, lastEntry) <= 0,
    );
    const later = wanted.filter(({ id }) => compareStreamIds(id, from.entry) > 0);
    const entries = wanted.map(({ id, fields }) => parseEntry(id, fields, from));
    return {
      events: entries.flatMap(({ events }) => events),
      isGap: isTrimmed || entries.some(({ isGap }) => isGap),
      last: later.at(-1)?.id ?? null,
    };
  }

  #tell(page: LoggedPage): void {
    for (const follower of [...this.#followers]) follower(page);
  }

  #leave(follower: Follower): void {
    this.#followers.delete(follower);
    if (this.#followers.size > 0) return;
    this.#tail = null;
    this.#look?.cancel();
    this.#look = null;
  }

  #lookAgain(): void {
    this.#look = this.#clock.timer(LOOK_MS, () => this.#lookAgain());
    this.#notice();
  }
}

/** A place with nothing of its entry after it. */
const endOf = (entry: string): Place => ({ entry, index: Number.POSITIVE_INFINITY });

/** What an entry holds after a place. One of a later version that can't be read is a gap. */
function parseEntry(id: string, fields: Readonly<Record<string, string>>, from: Place): LoggedPage {
  const order = compareStreamIds(id, from.entry);
  const first = order > 0 ? 0 : from.index + 1;
  if (order < 0 || first === Number.POSITIVE_INFINITY) return { events: [], isGap: false };
  const parsed = v.safeParse(storedEntry, fields);
  if (!parsed.success) return { events: [], isGap: true };
  const { events, gap } = parsed.output;
  const placed = events.map((event, index) => ({ event, place: `${id}.${index}` }));
  return { events: placed.slice(first), isGap: first === 0 && gap !== undefined };
}
