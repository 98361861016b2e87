/**
 * How many rows match, remembered for a moment when there are many: to count is the one thing of a page
 * whose cost grows with the table, and people who turn pages ask for the same count again and again.
 */
import type { Clock } from '../../common/clock.ts';

/** A smaller total is counted each time: somebody may know it by heart. */
const LARGE = 2000;
const TTL_MS = 1000;
const MAX_REMEMBERED = 500;

export class LargeTotals {
  readonly #clock: Clock;
  readonly #remembered = new Map<string, { readonly total: number; readonly untilMs: number }>();
  readonly #counting = new Map<string, Promise<number>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * The total of `list`, which names everything that the count depends on, the caller's scope too.
   * Exact up to 2000; a larger one may be a second old.
   * @throws what `count` throws; a failure is not remembered.
   */
  async get(list: string, count: () => Promise<number>): Promise<number> {
    const known = this.#remembered.get(list);
    if (known && this.#clock.monotonicMs() < known.untilMs) return known.total;
    const running = this.#counting.get(list);
    if (running && known) return running;
    const counting = count().finally(() => {
      if (this.#counting.get(list) === counting) this.#counting.delete(list);
    });
    this.#counting.set(list, counting);
    const total = await counting;
    this.#remember(list, total);
    return total;
  }

  #remember(list: string, total: number): void {
    // The entry that was written last goes to the end, so the first is the oldest.
    this.#remembered.delete(list);
    if (total <= LARGE) return;
    this.#remembered.set(list, { total, untilMs: this.#clock.monotonicMs() + TTL_MS });
    const [oldest] = this.#remembered.keys();
    if (this.#remembered.size > MAX_REMEMBERED && oldest !== undefined) {
      this.#remembered.delete(oldest);
    }
  }
}
