/**
 * The cluster's configuration store: a small, strongly consistent tree of strings with watches.
 * Adapters: etcd (many machines) and a PostgreSQL table (embedded). One contract suite runs on both.
 *
 * Keys are logical, `/`-separated and without a leading slash, such as `config/redis/addr`. An
 * adapter adds its own physical prefix (etcd: `/sorna/<namespace>/`). Values are strings.
 */

export type ConfigChange =
  | { readonly type: 'put'; readonly key: string; readonly value: string }
  | { readonly type: 'delete'; readonly key: string };

export interface Subscription {
  /** Stops deliveries; safe to call twice. */
  close(): Promise<void>;
}

export interface ConfigStore {
  get(key: string): Promise<string | null>;
  /** All entries whose key is `prefix` or lies below it; `""` means everything. Keys are full. */
  list(prefix: string): Promise<Map<string, string>>;
  /** As `list`, without the entries that `putEphemeral` published. */
  listLasting(prefix: string): Promise<Map<string, string>>;
  put(key: string, value: string): Promise<void>;
  /** Writes all entries or none. */
  putMany(entries: ReadonlyMap<string, string>): Promise<void>;
  /** @returns whether the key existed. */
  delete(key: string): Promise<boolean>;
  /** Deletes `prefix` and everything below it. @returns the number of deleted entries. */
  deletePrefix(prefix: string): Promise<number>;
  /** Writes only if the present value equals `expected` (null: absent). @returns whether it did. */
  compareAndPut(key: string, expected: string | null, value: string): Promise<boolean>;
  /**
   * Publishes an entry that disappears on its own within about `ttlMs` of the owner's death.
   * Closing the subscription removes it at once.
   */
  putEphemeral(key: string, value: string, ttlMs: number): Promise<Subscription>;
  /** Calls `listener` for each change at or below `prefix`, in order, from now on. */
  watch(prefix: string, listener: (change: ConfigChange) => void): Promise<Subscription>;
  close(): Promise<void>;
}
