/**
 * The configuration store in etcd. Upstream's physical layout: `/sorna/<namespace>/` before every
 * key, so that both products can share one etcd.
 */
import { ExponentialBackoff, handleWhen, noop, retry } from 'cockatiel';
import {
  Etcd3,
  EtcdAuthenticationFailedError,
  EtcdPermissionDeniedError,
  type IKeyValue,
  type IRangeResponse,
  isRecoverableError,
} from 'etcd3';
import { type Clock, systemClock } from '../../common/clock.ts';
import { BackendError } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import { DeadlineExceeded, type ServerName, unavailable, within } from '../failures.ts';
import { publishLease } from './etcd-lease.ts';
import { EtcdWatch, type WatchSource } from './etcd-watch.ts';
import { isBelow, WatchMirror } from './mirror.ts';
import type { ConfigChange, ConfigStore, Subscription } from './port.ts';

export interface EtcdConfigStoreOptions {
  /** `host:port` of one or more members, with `https://` for TLS. */
  readonly addrs: readonly string[];
  readonly namespace: string;
  readonly user?: string;
  readonly password?: string;
  /** Longest wait for one operation, connecting included. Default 5000. */
  readonly timeoutMs?: number;
  /** Told about failures outside any call: a lost watch or lease. */
  readonly log: Pick<Logger, 'warn'>;
  readonly clock?: Clock;
}

/** etcd's default limit on operations in one transaction. */
const MAX_TRANSACTION_SIZE = 128;
/** Attempts of one operation, each on the next member. */
const MAX_ATTEMPTS = 3;

/** The physical range of keys that holds `prefix` and all below it (and some others, see isBelow). */
function rangeBelow(physicalPrefix: string): { start: string; end: string } {
  const start = physicalPrefix.replace(/\/$/, '');
  // '0' follows '/', so the range ends after everything that starts with `start/`.
  return { start: physicalPrefix, end: `${start}0` };
}

function newClient(options: EtcdConfigStoreOptions, timeoutMs: number): Etcd3 {
  return new Etcd3({
    hosts: options.addrs.map((addr) => (/^https?:\/\//.test(addr) ? addr : `http://${addr}`)),
    ...(options.user ? { auth: { username: options.user, password: options.password ?? '' } } : {}),
    dialTimeout: timeoutMs,
    defaultCallOptions: (context) => (context.isStream ? {} : { deadline: Date.now() + timeoutMs }),
    grpcOptions: {
      'grpc.keepalive_time_ms': 10_000,
      'grpc.keepalive_timeout_ms': 5_000,
      'grpc.max_reconnect_backoff_ms': 2_000,
    },
    faultHandling: {
      // A circuit breaker would keep refusing for seconds after the server is back.
      host: () => noop,
      global: retry(handleWhen(isRecoverableError), {
        maxAttempts: MAX_ATTEMPTS,
        backoff: new ExponentialBackoff({ initialDelay: 50, maxDelay: 500 }),
      }),
    },
  });
}

class EtcdConfigStore implements ConfigStore {
  readonly #client: Etcd3;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #server: ServerName;
  readonly #root: string;
  readonly #log: Pick<Logger, 'warn'>;
  readonly #open = new Set<Subscription>();

  constructor(options: EtcdConfigStoreOptions) {
    this.#timeoutMs = options.timeoutMs ?? 5000;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log;
    this.#root = `/sorna/${options.namespace}/`;
    this.#server = {
      product: 'etcd',
      addr: options.addrs.join(','),
      advice: 'that [etcd] addr, user and password of the configuration file are right',
    };
    this.#client = newClient(options, this.#timeoutMs);
  }

  get(key: string): Promise<string | null> {
    return this.#run(`Reading '${key}'`, () => this.#client.get(this.#root + key).string());
  }

  async list(prefix: string): Promise<Map<string, string>> {
    return (await this.#listing(prefix)).entries;
  }

  async listLasting(prefix: string): Promise<Map<string, string>> {
    return (await this.#listing(prefix, ({ lease }) => Number(lease) === 0)).entries;
  }

  async put(key: string, value: string): Promise<void> {
    await this.#run(`Writing '${key}'`, () =>
      this.#client
        .put(this.#root + key)
        .value(value)
        .exec(),
    );
  }

  async putMany(entries: ReadonlyMap<string, string>): Promise<void> {
    if (entries.size === 0) return;
    if (entries.size > MAX_TRANSACTION_SIZE) {
      throw new BackendError(
        'InvalidAPIParameters',
        `etcd writes at most ${MAX_TRANSACTION_SIZE} entries at once and these are ` +
          `${entries.size}; split them.`,
      );
    }
    const puts = [...entries].map(([key, value]) =>
      this.#client.put(this.#root + key).value(value),
    );
    await this.#run('Writing configuration', () =>
      // A transaction needs a condition; every key's version is above -1.
      this.#client
        .if(this.#root, 'Version', '>', -1)
        .then(...puts)
        .commit(),
    );
  }

  async delete(key: string): Promise<boolean> {
    const reply = await this.#run(`Deleting '${key}'`, () =>
      this.#client
        .delete()
        .key(this.#root + key)
        .exec(),
    );
    return Number(reply.deleted) > 0;
  }

  async deletePrefix(prefix: string): Promise<number> {
    const physical = this.#root + prefix;
    const below = physical.endsWith('/') ? physical : `${physical}/`;
    const reply = await this.#run(`Deleting below '${prefix}'`, () =>
      this.#client
        .if(this.#root, 'Version', '>', -1)
        .then(
          this.#client.delete().inRange(rangeBelow(below)),
          ...(physical === below ? [] : [this.#client.delete().key(physical)]),
        )
        .commit(),
    );
    return reply.responses.reduce(
      (sum, { response_delete_range: deleted }) => sum + Number(deleted?.deleted ?? 0),
      0,
    );
  }

  async compareAndPut(key: string, expected: string | null, value: string): Promise<boolean> {
    const physical = this.#root + key;
    const condition =
      expected === null
        ? this.#client.if(physical, 'Version', '==', 0)
        : this.#client.if(physical, 'Value', '==', expected);
    const reply = await this.#run(`Writing '${key}'`, () =>
      condition.then(this.#client.put(physical).value(value)).commit(),
    );
    return reply.succeeded;
  }

  async putEphemeral(key: string, value: string, ttlMs: number): Promise<Subscription> {
    const lease = await this.#run(`Publishing '${key}'`, () =>
      publishLease({
        client: this.#client,
        clock: this.#clock,
        physicalKey: this.#root + key,
        value,
        ttlMs,
        warn: (message, fields) => this.#log.warn(message, { key, ...fields }),
      }),
    );
    return this.#track({
      close: () => this.#run(`Withdrawing '${key}'`, () => lease.close()),
    });
  }

  async watch(prefix: string, listener: (change: ConfigChange) => void): Promise<Subscription> {
    const range = rangeBelow(this.#root + prefix);
    const source: WatchSource = {
      list: () => this.#listing(prefix),
      watcherFrom: (revision) =>
        this.#client.watch().inRange(range).startRevision(revision).watcher(),
      logicalKey: (physical) => physical.slice(this.#root.length),
    };
    const mirror = new WatchMirror(prefix, listener);
    const watch = new EtcdWatch(source, mirror, this.#clock, this.#log);
    try {
      await this.#run(`Watching '${prefix}'`, () => watch.open());
    } catch (error) {
      await watch.close();
      throw error;
    }
    return this.#track(watch);
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#open].map((subscription) => subscription.close()));
    this.#client.close();
  }

  #track(inner: Subscription): Subscription {
    const subscription: Subscription = {
      close: async () => {
        if (this.#open.delete(subscription)) await inner.close();
      },
    };
    this.#open.add(subscription);
    return subscription;
  }

  async #listing(
    prefix: string,
    isWanted: (kv: IKeyValue) => boolean = () => true,
  ): Promise<{ entries: Map<string, string>; nextRevision: string }> {
    const reply: IRangeResponse = await this.#run(`Listing '${prefix}'`, () =>
      this.#client
        .getAll()
        .inRange(rangeBelow(this.#root + prefix))
        .exec(),
    );
    const pairs = reply.kvs
      .filter(isWanted)
      .map((kv: IKeyValue): [string, string] => [
        kv.key.toString().slice(this.#root.length),
        kv.value.toString(),
      ]);
    return {
      entries: new Map(pairs.filter(([key]) => isBelow(key, prefix))),
      nextRevision: String(BigInt(reply.header.revision) + 1n),
    };
  }

  async #run<T>(doing: string, work: () => PromiseLike<T>): Promise<T> {
    try {
      return await within(this.#clock, this.#timeoutMs, work());
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      const isTheirs =
        error instanceof DeadlineExceeded ||
        error instanceof EtcdAuthenticationFailedError ||
        error instanceof EtcdPermissionDeniedError ||
        isRecoverableError(error);
      throw isTheirs ? unavailable(this.#server, doing, error) : error;
    }
  }
}

/**
 * Connects to etcd.
 * @throws BackendError ServiceUnavailable naming the addresses, within about `timeoutMs`.
 */
export async function openEtcdConfigStore(options: EtcdConfigStoreOptions): Promise<ConfigStore> {
  const store = new EtcdConfigStore(options);
  try {
    await store.get('manager/status');
  } catch (error) {
    await store.close();
    throw error;
  }
  return store;
}

/** The version of the member that answers, such as `3.5.16`. @throws BackendError when none does. */
export async function etcdVersion(options: EtcdConfigStoreOptions): Promise<string> {
  const timeoutMs = options.timeoutMs ?? 5000;
  const client = newClient(options, timeoutMs);
  try {
    const asked = client.maintenance.status();
    const { version } = await within(options.clock ?? systemClock, timeoutMs, asked);
    return version;
  } catch (error) {
    const server = { product: 'etcd', addr: options.addrs.join(','), advice: 'its address' };
    throw unavailable(server, 'Asking for its version', error);
  } finally {
    client.close();
  }
}
