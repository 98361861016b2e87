/**
 * The live store on Redis or Valkey. While the server is away, commands wait for it for a bounded
 * time and then fail with a clear error; the connection comes back by itself, subscriptions too.
 */
import { createClient, ErrorReply } from 'redis';
import { type Clock, systemClock } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import type { Subscription } from '../config/port.ts';
import { type ServerName, unavailable, within } from '../failures.ts';
import type { LiveStore, StreamEntry } from './port.ts';

export interface RedisLiveStoreOptions {
  /** `host:port`. */
  readonly addr: string;
  readonly username?: string;
  readonly password?: string;
  /** Database number. Default 0. */
  readonly db?: number;
  /** Put before every key and channel, for sharing one server. */
  readonly keyPrefix?: string;
  /** Longest wait for one command. Default 5000. */
  readonly timeoutMs?: number;
  /** Told when the connection is lost and when it is back. */
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly clock?: Clock;
}

const MAX_RECONNECT_DELAY_MS = 2000;
/** Commands waiting for the server beyond this fail at once. */
const MAX_QUEUED_COMMANDS = 10_000;

/** KEYS: counter. ARGV: amount, lifetime in ms or "". The lifetime is set on the new key only. */
const INCREMENT = `
local isNew = redis.call('EXISTS', KEYS[1]) == 0
local value = redis.call('INCRBY', KEYS[1], ARGV[1])
if isNew and ARGV[2] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return value`;

/** KEYS: sorted set. ARGV: member, now in ms, window in ms. */
const SLIDE_WINDOW = `
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. (ARGV[2] - ARGV[3]))
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return redis.call('ZCARD', KEYS[1])`;

const bound = (score: number): string | number =>
  Number.isFinite(score) ? score : score > 0 ? '+inf' : '-inf';

function splitAddr(addr: string): { host: string; port: number } {
  const colon = addr.lastIndexOf(':');
  if (colon < 0) return { host: addr, port: 6379 };
  return {
    host: addr.slice(0, colon).replace(/^\[|\]$/g, ''),
    port: Number(addr.slice(colon + 1)),
  };
}

function newClient(options: RedisLiveStoreOptions, timeoutMs: number) {
  let wasReady = false;
  let isLost = false;
  const client = createClient({
    username: options.username,
    password: options.password,
    database: options.db ?? 0,
    socket: {
      ...splitAddr(options.addr),
      connectTimeout: timeoutMs,
      // The first connection is not retried, so that a wrong address is told at once.
      reconnectStrategy: (retries, cause) =>
        wasReady ? Math.min(50 * 2 ** Math.min(retries, 10), MAX_RECONNECT_DELAY_MS) : cause,
    },
    commandOptions: { timeout: timeoutMs },
    commandsQueueMaxLength: MAX_QUEUED_COMMANDS,
    maintNotifications: 'disabled',
    disableClientInfo: true,
  });
  client.on('ready', () => {
    if (isLost) options.log.info('Redis is back', { addr: options.addr });
    wasReady = true;
    isLost = false;
  });
  client.on('error', (error) => {
    if (!wasReady || isLost) return;
    isLost = true;
    options.log.warn('lost the connection to Redis; reconnecting', {
      addr: options.addr,
      error: errorMessage(error),
    });
  });
  return client;
}
type Client = ReturnType<typeof newClient>;

/** Server answers that mean "not now", as opposed to "wrong command". */
const isTemporary = (error: ErrorReply): boolean =>
  /^(LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOAUTH|WRONGPASS|READONLY)/.test(error.message);

class RedisLiveStore implements LiveStore {
  readonly #options: RedisLiveStoreOptions;
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #prefix: string;
  readonly #server: ServerName;
  readonly #client: Client;
  #subscriber: Promise<Client> | null = null;

  constructor(options: RedisLiveStoreOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#timeoutMs = options.timeoutMs ?? 5000;
    this.#prefix = options.keyPrefix ?? '';
    this.#server = {
      product: 'Redis',
      addr: options.addr,
      advice: "that the configuration key 'config/redis/addr' (and 'password') is right",
    };
    this.#client = newClient(options, this.#timeoutMs);
  }

  async open(): Promise<void> {
    await this.#connect(this.#client);
  }

  async #connect(client: Client): Promise<Client> {
    try {
      await within(this.#clock, this.#timeoutMs, client.connect());
    } catch (error) {
      if (client.isOpen) client.destroy();
      throw unavailable(this.#server, 'Connecting', error);
    }
    return client;
  }

  async #run<T>(doing: string, work: Promise<T>): Promise<T> {
    try {
      return await within(this.#clock, this.#timeoutMs, work);
    } catch (error) {
      if (error instanceof ErrorReply && !isTemporary(error)) throw error;
      throw unavailable(this.#server, doing, error);
    }
  }

  #key(key: string): string {
    return this.#prefix + key;
  }

  get(key: string): Promise<string | null> {
    return this.#run(`Reading '${key}'`, this.#client.get(this.#key(key)));
  }

  async getMany(keys: readonly string[]): Promise<(string | null)[]> {
    if (keys.length === 0) return [];
    return await this.#run(
      `Reading ${keys.length} keys`,
      this.#client.mGet(keys.map((key) => this.#key(key))),
    );
  }

  async set(
    key: string,
    value: string,
    options: { ttlMs?: number; onlyIfAbsent?: boolean } = {},
  ): Promise<boolean> {
    const reply = await this.#run(
      `Writing '${key}'`,
      this.#client.set(this.#key(key), value, {
        ...(options.ttlMs === undefined
          ? {}
          : { expiration: { type: 'PX', value: Math.ceil(options.ttlMs) } }),
        ...(options.onlyIfAbsent ? { condition: 'NX' } : {}),
      }),
    );
    return reply !== null;
  }

  async delete(...keys: string[]): Promise<number> {
    if (keys.length === 0) return 0;
    return this.#run('Deleting', this.#client.del(keys.map((key) => this.#key(key))));
  }

  async increment(key: string, options: { by?: number; ttlMs?: number } = {}): Promise<number> {
    const ttl = options.ttlMs === undefined ? '' : String(Math.ceil(options.ttlMs));
    return Number(
      await this.#run(
        `Incrementing '${key}'`,
        this.#client.eval(INCREMENT, {
          keys: [this.#key(key)],
          arguments: [String(options.by ?? 1), ttl],
        }),
      ),
    );
  }

  async expire(key: string, ttlMs: number): Promise<boolean> {
    const reply = this.#client.pExpire(this.#key(key), Math.ceil(ttlMs));
    return (await this.#run(`Expiring '${key}'`, reply)) === 1;
  }

  async hashSet(key: string, fields: Readonly<Record<string, string>>): Promise<void> {
    if (Object.keys(fields).length === 0) return;
    await this.#run(`Writing '${key}'`, this.#client.hSet(this.#key(key), { ...fields }));
  }

  hashGet(key: string, field: string): Promise<string | null> {
    return this.#run(`Reading '${key}'`, this.#client.hGet(this.#key(key), field));
  }

  async hashGetAll(key: string): Promise<Record<string, string>> {
    const reply = await this.#run(`Reading '${key}'`, this.#client.hGetAll(this.#key(key)));
    return { ...reply };
  }

  async hashDelete(key: string, ...fields: string[]): Promise<number> {
    if (fields.length === 0) return 0;
    return this.#run(`Deleting from '${key}'`, this.#client.hDel(this.#key(key), fields));
  }

  async sortedAdd(key: string, member: string, score: number): Promise<void> {
    const added = this.#client.zAdd(this.#key(key), { value: member, score });
    await this.#run(`Writing '${key}'`, added);
  }

  sortedRange(key: string, min: number, max: number): Promise<string[]> {
    const range = this.#client.zRangeByScore(this.#key(key), bound(min), bound(max));
    return this.#run(`Reading '${key}'`, range);
  }

  sortedCount(key: string, min: number, max: number): Promise<number> {
    const count = this.#client.zCount(this.#key(key), bound(min), bound(max));
    return this.#run(`Counting '${key}'`, count);
  }

  async sortedRemove(key: string, ...members: string[]): Promise<number> {
    if (members.length === 0) return 0;
    return this.#run(`Deleting from '${key}'`, this.#client.zRem(this.#key(key), members));
  }

  sortedRemoveByScore(key: string, min: number, max: number): Promise<number> {
    const removed = this.#client.zRemRangeByScore(this.#key(key), bound(min), bound(max));
    return this.#run(`Deleting from '${key}'`, removed);
  }

  async slideWindow(key: string, member: string, nowMs: number, windowMs: number): Promise<number> {
    return Number(
      await this.#run(
        `Counting '${key}'`,
        this.#client.eval(SLIDE_WINDOW, {
          keys: [this.#key(key)],
          arguments: [member, String(nowMs), String(Math.ceil(windowMs))],
        }),
      ),
    );
  }

  streamAdd(
    key: string,
    fields: Readonly<Record<string, string>>,
    maxLength: number,
  ): Promise<string> {
    const added = this.#client.xAdd(
      this.#key(key),
      '*',
      { ...fields },
      {
        TRIM: { strategy: 'MAXLEN', threshold: maxLength },
      },
    );
    return this.#run(`Appending to '${key}'`, added);
  }

  async streamRead(key: string, afterId: string, count: number): Promise<StreamEntry[]> {
    const range = this.#client.xRange(this.#key(key), `(${afterId}`, '+', { COUNT: count });
    const entries = await this.#run(`Reading '${key}'`, range);
    return (entries ?? []).map(({ id, message }) => ({ id, fields: { ...message } }));
  }

  async publish(channel: string, message: string): Promise<void> {
    await this.#run(
      `Publishing on '${channel}'`,
      this.#client.publish(this.#key(channel), message),
    );
  }

  async subscribe(channel: string, listener: (message: string) => void): Promise<Subscription> {
    this.#subscriber ??= this.#connect(newClient(this.#options, this.#timeoutMs)).catch((error) => {
      this.#subscriber = null;
      throw error;
    });
    const subscriber = await this.#subscriber;
    let isOpen = true;
    const deliver = (message: string) => {
      // A listener's bug is an uncaught exception of its own; the connection goes on.
      queueMicrotask(() => {
        if (isOpen) listener(message);
      });
    };
    const name = this.#key(channel);
    await this.#run(`Subscribing to '${channel}'`, subscriber.subscribe(name, deliver));
    return {
      close: async () => {
        if (!isOpen) return;
        isOpen = false;
        // While the connection is away there is nothing to unsubscribe from.
        if (!subscriber.isReady) return;
        await this.#run(`Leaving '${channel}'`, subscriber.unsubscribe(name, deliver));
      },
    };
  }

  async ping(): Promise<void> {
    await this.#run('Looking for Redis', this.#client.ping());
  }

  async close(): Promise<void> {
    const subscriber = await this.#subscriber?.catch(() => null);
    for (const client of [subscriber, this.#client]) {
      if (client?.isOpen) client.destroy();
    }
  }
}

/**
 * Connects to Redis.
 * @throws BackendError ServiceUnavailable naming the address, at once when nothing listens there
 * and within `timeoutMs` when nothing answers.
 */
export async function openRedisLiveStore(options: RedisLiveStoreOptions): Promise<LiveStore> {
  const store = new RedisLiveStore(options);
  await store.open();
  return store;
}
