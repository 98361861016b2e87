/** The bounded buffer between a running program and whoever pulls its output, slice by slice. */
import type { Clock } from '../common/clock.ts';
import type { ConsoleItem, ExecuteSlice } from '../common/protocol/execution.ts';

/** Text kept for one run before its program is held back. UTF-16 units. */
export const BUFFER_CHARS = 1024 * 1024;
/** Text given out in one slice; six bytes a unit at worst once it is JSON, so it fits one line. */
export const SLICE_CHARS = 512 * 1024;
/** Largest media or html record. UTF-16 units. */
export const MAX_RECORD_CHARS = 1536 * 1024;
/** How long an interrupted run waits for its output to be fetched before output is dropped. */
const INTERRUPTED_WAIT_MS = 250;

export type BoundaryStatus = Exclude<ExecuteSlice['status'], 'continued' | 'exec-timeout'>;

/** A point in the output at which a slice ends and says why. */
export interface Boundary {
  readonly status: BoundaryStatus;
  readonly exitCode: number | null;
  readonly isPassword: boolean;
}

export interface Taken {
  readonly console: ConsoleItem[];
  readonly boundary: Boundary | null;
}

type Entry =
  | { kind: 'text'; stream: 'stdout' | 'stderr'; text: string }
  | { kind: 'record'; item: ConsoleItem; chars: number }
  | { kind: 'boundary'; boundary: Boundary };

/** Calls back whoever waits, each time something has changed. */
class Changes {
  private waiters = new Set<() => void>();

  notify(): void {
    const waiters = this.waiters;
    this.waiters = new Set();
    for (const wake of waiters) wake();
  }

  /** Resolves at the next change, after `timeoutMs`, or when the signal aborts. */
  next(clock: Clock, timeoutMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const timer = clock.timer(timeoutMs, () => done());
      const done = () => {
        timer.cancel();
        this.waiters.delete(done);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      this.waiters.add(done);
      signal?.addEventListener('abort', done, { once: true });
      if (signal?.aborted) done();
    });
  }
}

export class OutputBuffer {
  private readonly entries: Entry[] = [];
  private readonly clock: Clock;
  private readonly space = new Changes();
  private readonly arrivals = new Changes();
  private chars = 0;
  private boundaries = 0;
  private dropping = false;
  private droppedChars = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  get size(): number {
    return this.chars;
  }

  get hasBoundary(): boolean {
    return this.boundaries > 0;
  }

  /** Adds text, waiting for room first. */
  async writeText(stream: 'stdout' | 'stderr', text: string): Promise<void> {
    if (text === '') return;
    if (!(await this.room())) {
      this.droppedChars += text.length;
      return;
    }
    this.append(stream, text);
  }

  /** Adds an html, media or log record, waiting for room first. */
  async writeRecord(item: ConsoleItem): Promise<void> {
    const chars = itemChars(item);
    if (chars > MAX_RECORD_CHARS) {
      await this.writeText('stderr', `[a ${item[0]} result of ${chars} characters is too large]\n`);
      return;
    }
    if (!(await this.room())) {
      this.droppedChars += chars;
      return;
    }
    this.entries.push({ kind: 'record', item, chars });
    this.chars += chars;
    this.arrivals.notify();
  }

  /** Ends the current slice; never waits. */
  mark(boundary: Boundary): void {
    if (this.droppedChars > 0) {
      this.append('stderr', `[${this.droppedChars} characters of output were not kept]\n`);
      this.droppedChars = 0;
    }
    this.entries.push({ kind: 'boundary', boundary });
    this.boundaries += 1;
    this.arrivals.notify();
  }

  /**
   * From now on output that nobody fetches in time is dropped instead of holding the program back,
   * so that an interrupted program can come to its end.
   */
  dropWhenFull(): void {
    this.dropping = true;
    this.space.notify();
  }

  /** Resolves when output or a boundary arrives, after `timeoutMs`, or on abort. */
  arrival(timeoutMs: number, signal?: AbortSignal): Promise<void> {
    return this.arrivals.next(this.clock, timeoutMs, signal);
  }

  /** Removes the next slice: up to SLICE_CHARS, ending at the first boundary. */
  take(): Taken {
    const console: ConsoleItem[] = [];
    let budget = SLICE_CHARS;
    let boundary: Boundary | null = null;
    while (boundary === null && budget > 0) {
      const entry = this.entries[0];
      if (entry === undefined) break;
      if (entry.kind === 'boundary') {
        boundary = entry.boundary;
        this.boundaries -= 1;
        this.entries.shift();
      } else if (entry.kind === 'record') {
        if (entry.chars > budget && console.length > 0) break;
        console.push(entry.item);
        budget -= entry.chars;
        this.entries.shift();
      } else {
        const length = cutLength(entry.text, budget);
        if (length === 0) break;
        console.push([entry.stream, entry.text.slice(0, length)]);
        budget -= length;
        if (length === entry.text.length) this.entries.shift();
        else entry.text = entry.text.slice(length);
      }
    }
    this.chars -= SLICE_CHARS - budget;
    this.space.notify();
    return { console, boundary };
  }

  /** Gives back a slice that did not reach its reader; it comes first in the next one. */
  putBack(taken: Taken): void {
    const entries: Entry[] = [];
    for (const item of taken.console) {
      const chars = itemChars(item);
      this.chars += chars;
      if (item[0] === 'stdout' || item[0] === 'stderr') {
        entries.push({ kind: 'text', stream: item[0], text: item[1] });
      } else {
        entries.push({ kind: 'record', item, chars });
      }
    }
    if (taken.boundary !== null) {
      entries.push({ kind: 'boundary', boundary: taken.boundary });
      this.boundaries += 1;
    }
    this.entries.unshift(...entries);
    this.arrivals.notify();
  }

  private append(stream: 'stdout' | 'stderr', text: string): void {
    const last = this.entries.at(-1);
    if (last?.kind === 'text' && last.stream === stream) last.text += text;
    else this.entries.push({ kind: 'text', stream, text });
    this.chars += text.length;
    this.arrivals.notify();
  }

  private async room(): Promise<boolean> {
    while (this.chars >= BUFFER_CHARS) {
      const dropping = this.dropping;
      await this.space.next(this.clock, dropping ? INTERRUPTED_WAIT_MS : 60_000);
      if (dropping && this.chars >= BUFFER_CHARS) return false;
    }
    return true;
  }
}

function itemChars(item: ConsoleItem): number {
  return typeof item[1] === 'string' ? item[1].length : item[1][1].length;
}

/** How much of `text` fits `budget` without cutting a surrogate pair in two. */
export function cutLength(text: string, budget: number): number {
  if (text.length <= budget) return text.length;
  const last = text.charCodeAt(budget - 1);
  const splitsPair = last >= 0xd800 && last <= 0xdbff;
  return splitsPair ? budget - 1 : budget;
}
