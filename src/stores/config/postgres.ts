/**
 * The configuration store in a PostgreSQL table, for the all-in-one cluster. Watches follow
 * LISTEN/NOTIFY; after a lost connection they list again and tell the differences.
 */
import type { Sql } from 'postgres';
import { type Clock, systemClock, type Timer } from '../../common/clock.ts';
import { errorCode, errorMessage } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import { type Random, randomString, systemRandom } from '../../common/random.ts';
import { type ServerName, unavailable, within } from '../failures.ts';
import { WatchMirror } from './mirror.ts';
import type { ConfigChange, ConfigStore, Subscription } from './port.ts';
import * as store from './store.ts';

export interface PostgresConfigStoreOptions {
  /** The pool to use. It stays open when the store closes. */
  readonly sql: Sql;
  readonly clock?: Clock;
  readonly random?: Random;
  /** Longest wait for one statement. Default 10 000. */
  readonly timeoutMs?: number;
  /** Told about failures outside any call: renewing a lease, following a watch. */
  readonly log: Pick<Logger, 'warn'>;
}

/** SQLSTATE classes 08 (connection) and 57P (shutdown), and the driver's own connection failures. */
const CONNECTION_FAILURE =
  /^(08...|57P..|53300|CONNECT\w*|CONNECTION_\w+|ECONN\w+|ENOENT|ENOTFOUND|ETIMEDOUT|EPIPE)$/;

function isConnectionFailure(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error.name === 'DeadlineExceeded') return true;
  return CONNECTION_FAILURE.test(errorCode(error));
}

/** More announcements than this waiting are replaced by one new listing. */
const MAX_PENDING = 1000;
/** Never sweep more often than this, whatever the clocks say. Milliseconds. */
const MIN_SWEEP_INTERVAL_MS = 50;
/** Pause before what failed in the background is tried again. Milliseconds. */
const RETRY_MS = 5000;

class PostgresConfigStore implements ConfigStore {
  readonly #sql: Sql;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #timeoutMs: number;
  readonly #server: ServerName;
  readonly #log: Pick<Logger, 'warn'>;
  readonly #mirrors = new Set<WatchMirror>();
  readonly #leases = new Set<Subscription>();
  #listening: Promise<() => Promise<void>> | null = null;
  #pending: (store.Announcement | 'relist')[] = [];
  #draining: Promise<void> | null = null;
  #sweepTimer: { readonly timer: Timer; readonly atMs: number } | null = null;
  #relistTimer: Timer | null = null;
  #closed = false;

  constructor(options: PostgresConfigStoreOptions) {
    this.#sql = options.sql;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? systemRandom;
    this.#timeoutMs = options.timeoutMs ?? 10_000;
    const { host, port, path } = options.sql.options;
    this.#server = {
      product: 'PostgreSQL',
      addr: path || host.map((name, index) => `${name}:${port[index] ?? port[0]}`).join(','),
      advice: 'that [db] of manager.toml is right',
    };
    this.#log = options.log;
  }

  async open(): Promise<void> {
    await this.#run('Opening the configuration store', store.createTable(this.#sql));
  }

  get(key: string): Promise<string | null> {
    return this.#run(`Reading '${key}'`, store.readValue(this.#sql, key));
  }

  list(prefix: string): Promise<Map<string, string>> {
    return this.#run(`Listing '${prefix}'`, store.readBelow(this.#sql, prefix));
  }

  listLasting(prefix: string): Promise<Map<string, string>> {
    return this.#run(`Listing '${prefix}'`, store.readBelow(this.#sql, prefix, { lasting: true }));
  }

  async put(key: string, value: string): Promise<void> {
    await this.putMany(new Map([[key, value]]));
  }

  putMany(entries: ReadonlyMap<string, string>): Promise<void> {
    return this.#run('Writing configuration', store.writeEntries(this.#sql, entries));
  }

  async delete(key: string): Promise<boolean> {
    return (await this.#run(`Deleting '${key}'`, store.deleteKey(this.#sql, key))) > 0;
  }

  deletePrefix(prefix: string): Promise<number> {
    return this.#run(`Deleting below '${prefix}'`, store.deleteBelow(this.#sql, prefix));
  }

  compareAndPut(key: string, expected: string | null, value: string): Promise<boolean> {
    return this.#run(`Writing '${key}'`, store.writeIfEqual(this.#sql, key, expected, value));
  }

  async putEphemeral(key: string, value: string, ttlMs: number): Promise<Subscription> {
    const entry = { key, value, ttlMs, owner: randomString(this.#random, 20) };
    await this.#run(`Publishing '${key}'`, store.writeLease(this.#sql, entry));
    let timer: Timer | null = null;
    let renewing: Promise<void> = Promise.resolve();
    let open = true;
    const renew = async () => {
      try {
        if (!(await this.#run(`Renewing '${key}'`, store.renewLease(this.#sql, entry)))) {
          await this.#run(`Publishing '${key}'`, store.restoreLease(this.#sql, entry));
        }
      } catch (error) {
        if (open) this.#warn(error);
      }
      schedule();
    };
    const schedule = () => {
      if (!open) return;
      timer = this.#clock.timer(ttlMs / 3, () => {
        renewing = renew();
      });
    };
    schedule();
    const lease: Subscription = {
      close: async () => {
        if (!open) return;
        open = false;
        timer?.cancel();
        this.#leases.delete(lease);
        await renewing;
        await this.#run(`Withdrawing '${key}'`, store.deleteLease(this.#sql, key, entry.owner));
      },
    };
    this.#leases.add(lease);
    return lease;
  }

  async watch(prefix: string, listener: (change: ConfigChange) => void): Promise<Subscription> {
    const mirror = new WatchMirror(prefix, listener);
    await this.#listen();
    mirror.seed(await this.list(prefix));
    this.#mirrors.add(mirror);
    // Announcements that came between the listing and now went unheard.
    this.#receive('relist');
    await this.#draining;
    return {
      close: async () => {
        this.#mirrors.delete(mirror);
      },
    };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#mirrors.clear();
    this.#sweepTimer?.timer.cancel();
    this.#relistTimer?.cancel();
    const unlisten = await this.#listening?.catch(() => null);
    const silenced = unlisten?.().catch((error) => {
      // A connection that is gone hears nothing any more.
      if (!isConnectionFailure(error)) throw error;
    });
    await Promise.all([silenced, ...[...this.#leases].map((lease) => lease.close())]);
    await this.#draining;
  }

  async #run<T>(doing: string, work: Promise<T>): Promise<T> {
    try {
      return await within(this.#clock, this.#timeoutMs, work);
    } catch (error) {
      throw isConnectionFailure(error) ? unavailable(this.#server, doing, error) : error;
    }
  }

  /** One LISTEN serves all watches. The driver repeats it, and calls `onlisten`, on reconnect. */
  #listen(): Promise<unknown> {
    this.#listening ??= this.#run(
      'Watching configuration',
      this.#sql.listen(
        store.CHANNEL,
        // What can't be read may still be a change.
        (payload) => this.#receive(store.parseAnnouncement(payload) ?? 'relist'),
        () => this.#receive('relist'),
      ),
    ).then(
      ({ unlisten }) => unlisten,
      (error) => {
        this.#listening = null;
        throw error;
      },
    );
    return this.#listening;
  }

  #receive(item: store.Announcement | 'relist'): void {
    if (this.#closed || this.#mirrors.size === 0) return;
    if (item === 'relist' || this.#pending.length >= MAX_PENDING) this.#pending = ['relist'];
    else this.#pending.push(item);
    this.#draining ??= this.#drain().finally(() => {
      this.#draining = null;
    });
  }

  /** Handles one announcement at a time, so that changes are told in order. */
  async #drain(): Promise<void> {
    for (let item = this.#pending.shift(); item; item = this.#pending.shift()) {
      try {
        if (item === 'relist') await this.#relist();
        else await this.#tell(item);
      } catch (error) {
        if (this.#closed) return;
        this.#warn(error);
        this.#relistLater();
      }
    }
  }

  /** A change that could not be read is found by looking at everything. */
  #relistLater(): void {
    this.#relistTimer ??= this.#clock.timer(RETRY_MS, () => {
      this.#relistTimer = null;
      this.#receive('relist');
    });
  }

  async #relist(): Promise<void> {
    const everything = await this.list('');
    for (const mirror of this.#mirrors) mirror.replaceFrom(everything);
    await this.#sweep();
  }

  async #tell(item: store.Announcement): Promise<void> {
    if (item.type === 'put' && item.ttlMs !== null) this.#sweepIn(item.ttlMs);
    const change = await this.#complete(item);
    for (const mirror of this.#mirrors) mirror.apply(change);
  }

  async #complete(item: store.Announcement): Promise<ConfigChange> {
    if (item.type === 'delete') return item;
    const { key } = item;
    const value = item.value ?? (await this.get(key));
    return value === null ? { type: 'delete', key } : { type: 'put', key, value };
  }

  /** While somebody watches, expired entries are deleted, and thereby announced, when due. */
  async #sweep(): Promise<void> {
    const nextMs = await this.#run('Expiring entries', store.sweepExpired(this.#sql));
    if (nextMs !== null) this.#sweepIn(nextMs);
  }

  #sweepIn(delayMs: number): void {
    if (this.#closed || this.#mirrors.size === 0) return;
    const atMs = this.#clock.monotonicMs() + Math.max(delayMs, MIN_SWEEP_INTERVAL_MS);
    if (this.#sweepTimer && this.#sweepTimer.atMs <= atMs) return;
    this.#sweepTimer?.timer.cancel();
    const timer = this.#clock.timer(atMs - this.#clock.monotonicMs(), () => {
      this.#sweepTimer = null;
      this.#sweep().catch((error) => {
        if (this.#closed) return;
        this.#warn(error);
        this.#sweepIn(RETRY_MS);
      });
    });
    this.#sweepTimer = { timer, atMs };
  }

  #warn(error: unknown): void {
    this.#log.warn('configuration store in PostgreSQL', { error: errorMessage(error) });
  }
}

/**
 * Opens the store, creating its table if need be.
 * @throws BackendError ServiceUnavailable when PostgreSQL cannot be reached.
 */
export async function openPostgresConfigStore(
  options: PostgresConfigStoreOptions,
): Promise<ConfigStore> {
  const opened = new PostgresConfigStore(options);
  await opened.open();
  return opened;
}
