/**
 * Group commit: what arrives while a batch is being written is written together in the next one. With
 * nothing under way, what arrives is written at once, so the batches are as large as the load asks for.
 */
import { BackendError } from '../common/errors.ts';

export interface BatchQueueOptions<Item, Result> {
  /** Writes all items or none. @returns their results, in their order. */
  readonly write: (items: readonly Item[]) => Promise<readonly Result[]>;
  /** How much of a batch an item takes. */
  readonly weightOf: (item: Item) => number;
  /** Most that is written at a time; a heavier item goes alone. */
  readonly maxWeight: number;
  /** Most items that wait; more are refused. */
  readonly maxWaiting: number;
  /** Whether a failure may be the fault of one item, so that the others are worth another try. */
  readonly isOfOneItem: (error: unknown) => boolean;
}

interface Entry<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

export class BatchQueue<Item, Result> {
  readonly #options: BatchQueueOptions<Item, Result>;
  #waiting: Entry<Item, Result>[] = [];
  #running: Promise<void> | undefined;

  constructor(options: BatchQueueOptions<Item, Result>) {
    this.#options = options;
  }

  /**
   * Resolves when the item is written.
   * @throws what writing it throws; BackendError ServiceUnavailable when too much waits.
   */
  submit(item: Item): Promise<Result> {
    if (this.#waiting.length >= this.#options.maxWaiting) {
      throw new BackendError(
        'ServiceUnavailable',
        'The database does not keep up with the changes that wait to be written. Try again later.',
      );
    }
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    this.#waiting.push({ item, resolve, reject });
    this.#running ??= this.#drain();
    return promise;
  }

  /** Resolves when nothing is being written. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #drain(): Promise<void> {
    // What comes in the same turn belongs together.
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#write(this.#take());
    this.#running = undefined;
  }

  #take(): Entry<Item, Result>[] {
    const { weightOf, maxWeight } = this.#options;
    let [count, weight] = [0, 0];
    for (const { item } of this.#waiting) {
      weight += weightOf(item);
      if (count > 0 && weight > maxWeight) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  /** Halves a batch that fails until those at fault are alone. */
  async #write(entries: readonly Entry<Item, Result>[]): Promise<void> {
    try {
      const results = await this.#options.write(entries.map(({ item }) => item));
      if (results.length !== entries.length) throw new Error('a batch has lost results');
      for (const [index, result] of results.entries()) entries[index]?.resolve(result);
    } catch (error) {
      if (entries.length === 1 || !this.#options.isOfOneItem(error)) {
        for (const { reject } of entries) reject(error);
        return;
      }
      const middle = Math.ceil(entries.length / 2);
      await this.#write(entries.slice(0, middle));
      await this.#write(entries.slice(middle));
    }
  }
}

/** Rows of one query. */
const MAX_TOGETHER = 500;
const MAX_READS_WAITING = 50_000;

/**
 * Look-ups by key that many requests make at the same time, done in one query. Nothing is remembered: a read
 * begins after it was asked for.
 * @param read finds rows by any number of keys.
 */
export function readsTogether<Key, Row>(
  read: (keys: readonly Key[]) => Promise<readonly Row[]>,
  name: { readonly ofKey: (key: Key) => string; readonly ofRow: (row: Row) => string },
): BatchQueue<Key, Row | null> {
  return new BatchQueue<Key, Row | null>({
    write: async (keys) => {
      const distinct = new Map(keys.map((key) => [name.ofKey(key), key]));
      const found = await read([...distinct.values()]);
      const rows = new Map(found.map((row) => [name.ofRow(row), row]));
      return keys.map((key) => rows.get(name.ofKey(key)) ?? null);
    },
    weightOf: () => 1,
    maxWeight: MAX_TOGETHER,
    maxWaiting: MAX_READS_WAITING,
    isOfOneItem: () => false,
  });
}
