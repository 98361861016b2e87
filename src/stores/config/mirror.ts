/**
 * What a watcher has been told so far: turns raw changes and full listings into the changes its
 * listener has yet to see, so that a reconnect neither loses nor repeats any. A write that leaves
 * the value as it was is not a change.
 */
import type { ConfigChange } from './port.ts';

/** Whether `key` is `prefix` itself or lies below it. The empty prefix covers everything. */
export function isBelow(key: string, prefix: string): boolean {
  if (prefix === '' || key === prefix) return true;
  return key.startsWith(prefix.endsWith('/') ? prefix : `${prefix}/`);
}

export class WatchMirror {
  readonly prefix: string;
  readonly #listener: (change: ConfigChange) => void;
  #known = new Map<string, string>();

  constructor(prefix: string, listener: (change: ConfigChange) => void) {
    this.prefix = prefix;
    this.#listener = listener;
  }

  /** Takes `listing` as already known, telling nobody. */
  seed(listing: ReadonlyMap<string, string>): void {
    this.#known = new Map(listing);
  }

  apply(change: ConfigChange): void {
    if (!isBelow(change.key, this.prefix)) return;
    if (change.type === 'put') {
      if (this.#known.get(change.key) === change.value) return;
      this.#known.set(change.key, change.value);
    } else if (!this.#known.delete(change.key)) {
      return;
    }
    this.#deliver(change);
  }

  /** Tells the differences to a complete `listing`, which may cover more than the prefix. */
  replaceFrom(listing: ReadonlyMap<string, string>): void {
    for (const key of [...this.#known.keys()]) {
      if (!listing.has(key)) this.apply({ type: 'delete', key });
    }
    for (const [key, value] of listing) this.apply({ type: 'put', key, value });
  }

  #deliver(change: ConfigChange): void {
    try {
      this.#listener(change);
    } catch (error) {
      // A listener's bug is an uncaught exception of its own; the watch goes on.
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}
