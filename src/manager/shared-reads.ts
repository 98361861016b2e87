/**
 * Reads that many requests want at the same time are done once for all of them. Whoever comes while
 * one is under way waits for the next one, so what a request gets was never read before it came.
 */
interface Read<T> {
  /** Settles, without a failure, when the read under way is over. */
  readonly over: Promise<void>;
  /** The one that begins then, when somebody waits for it. */
  next: Promise<T> | undefined;
}

export class SharedReads<T> {
  readonly #reads = new Map<string, Read<T>>();

  /**
   * @param key names everything that the result depends on.
   * @returns what `read` returns; it is shared, and must not be changed.
   * @throws what `read` throws.
   */
  share(key: string, read: () => Promise<T>): Promise<T> {
    const present = this.#reads.get(key);
    if (!present) return this.#begin(key, read);
    present.next ??= present.over.then(() => this.#begin(key, read));
    return present.next;
  }

  #begin(key: string, read: () => Promise<T>): Promise<T> {
    const result = read();
    const end = () => {
      if (!entry.next) this.#reads.delete(key);
    };
    const entry: Read<T> = { over: result.then(end, end), next: undefined };
    this.#reads.set(key, entry);
    return result;
  }
}
