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
/** Events that wait to be written while the store is slow; more are dropped. */
const MAX_WAITING = 16_384;
const PAGE_ENTRIES = 64;
/** How often followers look by themselves: announcements may get lost. Milliseconds. */
const LOOK_MS = 5_000;

/** `<milliseconds>-<sequence>` of the entry, and the event's position in it. */
const PLACE = /^(.*)\.(\d{1,4})$/;

export interface LoggedEvent {
  readonly event: StatusEvent;
  /** Where to go on from; null for an event that the store did not take. */
  readonly place: string | null;
}

type Log = Pick<LiveStore, 'streamAdd' | 'streamRead' | 'streamLast' | 'publish' | 'subscribe'>;
type Follower = (events: readonly LoggedEvent[]) => void;

const storedEvents = v.pipe(v.string(), v.parseJson(), v.array(statusEvent));

interface Place {
  readonly entry: string;
  readonly index: number;
}

/** Null for anything that this log never gave out. */
function parsePlace(text: string): Place | null {
  const [, entry, index] = PLACE.exec(text) ?? [];
  return entry !== undefined && isStreamId(entry) ? { entry, index: Number(index) } : null;
}

export class EventLog {
  readonly #live: Log;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #maxEntries: number;
  readonly #followers = new Set<Follower>();
  #waiting: StatusEvent[] = [];
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
      return;
    }
    this.#waiting.push(event);
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
      this.#tail ??= last ?? '0-0';
    }
    const entry = this.#tail;
    this.#followers.add(follower);
    this.#look ??= this.#clock.timer(LOOK_MS, () => this.#lookAgain());
    // Something may have been added since, while nobody followed.
    this.#notice();
    return { entry, leave: () => this.#leave(follower) };
  }

  /** Whether all that came after a place is still known, as that itself is. */
  async holds(text: string): Promise<boolean> {
    const place = parsePlace(text);
    if (place === null) return false;
    const [first] = await this.#live.streamRead(STREAM, precedingStreamId(place.entry), 1);
    return first?.id === place.entry;
  }

  /** Events after a place, up to and with an entry, in pages. */
  async *replay(text: string, lastEntry: string): AsyncGenerator<LoggedEvent[]> {
    const place = parsePlace(text);
    if (place === null) return;
    let after = precedingStreamId(place.entry);
    for (;;) {
      const entries = await this.#live.streamRead(STREAM, after, PAGE_ENTRIES);
      const wanted = entries.filter(({ id }) => compareStreamIds(id, lastEntry) <= 0);
      const events = wanted
        .flatMap(({ id, fields }) => eventsOf(id, fields))
        .filter((event) => isAfter(event, place));
      if (events.length > 0) yield events;
      if (wanted.length < PAGE_ENTRIES) return;
      after = wanted.at(-1)?.id ?? lastEntry;
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
    while (this.#waiting.length > 0) {
      const events = this.#waiting.splice(0, MAX_EVENTS);
      try {
        await this.#live.streamAdd(STREAM, { events: JSON.stringify(events) }, this.#maxEntries);
      } catch (error) {
        this.#complain(errorMessage(error));
        // Those who listen here need not wait for the store.
        this.#tell(events.map((event) => ({ event, place: null })));
        continue;
      }
      this.#notice();
      await this.#announce();
    }
    this.#writing = null;
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
      const after = this.#tail;
      try {
        const entries = await this.#live.streamRead(STREAM, after, PAGE_ENTRIES);
        const last = entries.at(-1);
        // All may have left, and others come, who begin elsewhere.
        if (last === undefined || this.#tail !== after) continue;
        this.#tail = last.id;
        this.#isNoticed = true;
        this.#tell(entries.flatMap(({ id, fields }) => eventsOf(id, fields)));
      } catch (error) {
        this.#complain(errorMessage(error));
      }
    }
    this.#isReading = false;
  }

  #tell(events: readonly LoggedEvent[]): void {
    for (const follower of [...this.#followers]) follower(events);
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

/** An entry of a later version that can't be read is passed over. */
function eventsOf(id: string, fields: Readonly<Record<string, string>>): LoggedEvent[] {
  const parsed = v.safeParse(storedEvents, fields.events);
  if (!parsed.success) return [];
  return parsed.output.map((event, index) => ({ event, place: `${id}.${index}` }));
}

function isAfter({ place: text }: LoggedEvent, place: Place): boolean {
  const own = text === null ? null : parsePlace(text);
  if (own === null) return false;
  return (compareStreamIds(own.entry, place.entry) || own.index - place.index) > 0;
}
