/**
 * Counts the requests of each keypair and writes the sums now and then, so that a request costs no
 * write. A crash loses at most one interval's counts, which are statistics.
 */
import type { Clock, Timer } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';

const INTERVAL_MS = 5_000;

export class QueryCounter {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #write: (accessKey: string, count: number) => Promise<void>;
  #counts = new Map<string, number>();
  #timer: Timer | null = null;

  constructor(options: {
    clock: Clock;
    log: Logger;
    write(accessKey: string, count: number): Promise<void>;
  }) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#write = options.write;
  }

  /** Notes one request. */
  count(accessKey: string): void {
    this.#counts.set(accessKey, (this.#counts.get(accessKey) ?? 0) + 1);
    this.#timer ??= this.#clock.timer(INTERVAL_MS, () => void this.flush());
  }

  /** Writes what was counted. Never rejects: what can't be written is logged and dropped. */
  async flush(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = null;
    const counts = this.#counts;
    this.#counts = new Map();
    try {
      for (const [accessKey, count] of counts) await this.#write(accessKey, count);
    } catch (error) {
      this.#log.warn('query counters of keypairs were not saved', { error: errorMessage(error) });
    }
  }
}
