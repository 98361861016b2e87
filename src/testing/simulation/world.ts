/** Simulated time, chance and network. All that happens is an event of one queue, so a seed repeats it. */

const MAX_EVENTS = 400_000;
const KEPT_LINES = 40;

interface Entry {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export class World {
  nowMs = Date.UTC(2026, 0, 1);
  /** While true the network misbehaves and things break. */
  faulty = true;
  readonly #heap: Entry[] = [];
  readonly #lines: string[] = [];
  #state: number;
  #order = 0;
  events = 0;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 up to but not including 1 (mulberry32). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let x = this.#state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  /** Something that goes wrong with this probability while faults are allowed. */
  mishap(probability: number): boolean {
    return this.next() < probability && this.faulty;
  }

  pick<T>(items: readonly T[]): T | undefined {
    return items[this.between(0, items.length - 1)];
  }

  note(line: string): void {
    this.#lines.push(`${this.nowMs - Date.UTC(2026, 0, 1)} ms  ${line}`);
    if (this.#lines.length > KEPT_LINES) this.#lines.shift();
  }

  get lastLines(): readonly string[] {
    return this.#lines;
  }

  after(delayMs: number, run: () => void): void {
    this.#order += 1;
    const heap = this.#heap;
    heap.push({ atMs: this.nowMs + delayMs, order: this.#order, run });
    for (let at = heap.length - 1; at > 0; ) {
      const parent = (at - 1) >> 1;
      if (!this.#swapIfBefore(at, parent)) break;
      at = parent;
    }
  }

  /** Runs the next event. @throws Error when there are far too many. */
  step(): void {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (!first || !last) throw new Error('nothing will ever happen again');
    if (heap.length > 0) {
      heap[0] = last;
      this.#sink();
    }
    this.events += 1;
    if (this.events > MAX_EVENTS) throw new Error(`more than ${MAX_EVENTS} events`);
    this.nowMs = first.atMs;
    first.run();
  }

  #sink(): void {
    for (let at = 0; ; ) {
      const left = 2 * at + 1;
      let least = at;
      if (this.#isBefore(left, least)) least = left;
      if (this.#isBefore(left + 1, least)) least = left + 1;
      if (least === at) return;
      this.#swapIfBefore(least, at);
      at = least;
    }
  }

  #isBefore(a: number, b: number): boolean {
    const [x, y] = [this.#heap[a], this.#heap[b]];
    return !!x && !!y && (x.atMs < y.atMs || (x.atMs === y.atMs && x.order < y.order));
  }

  #swapIfBefore(a: number, b: number): boolean {
    if (!this.#isBefore(a, b)) return false;
    const [x, y] = [this.#heap[a], this.#heap[b]];
    if (x && y) [this.#heap[a], this.#heap[b]] = [y, x];
    return true;
  }

  /** Carries a message: once, late, twice or never. Different delays change the order. */
  carry(run: () => void): void {
    if (this.mishap(0.08)) return;
    const copies = this.mishap(0.08) ? 2 : 1;
    for (let copy = 0; copy < copies; copy += 1) {
      this.after(this.mishap(0.1) ? this.between(500, 8000) : this.between(1, 40), run);
    }
  }

  /**
   * A call over the network. `serve` answers through `reply`, or not at all; `settle` hears of the
   * first answer, or null once `timeoutMs` passed.
   */
  call<T>(
    timeoutMs: number,
    serve: (reply: (answer: T) => void) => void,
    settle: (answer: T | null) => void,
  ): void {
    let open = true;
    const finish = (answer: T | null) => {
      if (!open) return;
      open = false;
      settle(answer);
    };
    this.carry(() => serve((answer) => this.carry(() => finish(answer))));
    this.after(timeoutMs, () => finish(null));
  }
}
