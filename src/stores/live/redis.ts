/**
 * The live store on Redis or Valkey, one server or a master watched by Sentinels. While there is no
 * server, commands wait for it for a bounded time and then fail with a clear error; the connection
 * comes back by itself, subscriptions too.
 */
import { ErrorReply } from 'redis';
import { type Clock, systemClock } from '../../common/clock.ts';
import type { Logger } from '../../common/logger.ts';
import type { Subscription } from '../config/port.ts';
import { type ServerName, unavailable, within } from '../failures.ts';
import type { LiveStore, StreamEntry } from './port.ts';
import { type Client, RedisConnection } from './redis-connection.ts';
import { describePlace, type RedisPlace } from './redis-server.ts';

export type RedisLiveStoreOptions = RedisPlace & {
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
};

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

/** Server answers that mean "not now", as opposed to "wrong command". */
const isTemporary = (error: ErrorReply): boolean =>
  /^(LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOAUTH|WRONGPASS|READONLY)/.test(error.message);

const DEFAULT_TIMEOUT_MS = 5_000;

interface StoreOptions {
  readonly server: ServerName;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly keyPrefix: string;
}

class RedisLiveStore implements LiveStore {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #prefix: string;
  readonly #server: ServerName;
  readonly #connection: RedisConnection;

  constructor(options: StoreOptions, connection: RedisConnection) {
    this.#clock = options.clock;
    this.#timeoutMs = options.timeoutMs;
    this.#prefix = options.keyPrefix;
    this.#server = options.server;
    this.#connection = connection;
  }

  #run<T>(doing: string, work: (client: Client) => Promise<T>): Promise<T> {
    return this.#bounded(doing, this.#connection.use(work));
  }

  async #bounded<T>(doing: string, work: Promise<T>): Promise<T> {
    try {
      return await within(this.#clock, this.#timeoutMs, work);
    } catch (error) {
      if (error instanceof ErrorReply && !isTemporary(error)) throw error;
      // A master that was demoted says so, one that hangs says nothing.
      this.#connection.doubt();
      throw unavailable(this.#server, doing, error);
    }
  }

  #key(key: string): string {
    return this.#prefix + key;
  }

  get(key: string): Promise<string | null> {
    return this.#run(`Reading '${key}'`, (client) => client.get(this.#key(key)));
  }

  async getMany(keys: readonly string[]): Promise<(string | null)[]> {
    if (keys.length === 0) return [];
    return await this.#run(`Reading ${keys.length} keys`, (client) =>
      client.mGet(keys.map((key) => this.#key(key))),
    );
  }

  async set(
    key: string,
    value: string,
    options: { ttlMs?: number; onlyIfAbsent?: boolean } = {},
  ): Promise<boolean> {
    const reply = await this.#run(`Writing '${key}'`, (client) =>
      client.set(this.#key(key), value, {
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
    return this.#run('Deleting', (client) => client.del(keys.map((key) => this.#key(key))));
  }

  async increment(key: string, options: { by?: number; ttlMs?: number } = {}): Promise<number> {
    const ttl = options.ttlMs === undefined ? '' : String(Math.ceil(options.ttlMs));
    return Number(
      await this.#run(`Incrementing '${key}'`, (client) =>
        client.eval(INCREMENT, {
          keys: [this.#key(key)],
          arguments: [String(options.by ?? 1), ttl],
        }),
      ),
    );
  }

  async expire(key: string, ttlMs: number): Promise<boolean> {
    const reply = await this.#run(`Expiring '${key}'`, (client) =>
      client.pExpire(this.#key(key), Math.ceil(ttlMs)),
    );
    return reply === 1;
  }

  async hashSet(key: string, fields: Readonly<Record<string, string>>): Promise<void> {
    if (Object.keys(fields).length === 0) return;
    await this.#run(`Writing '${key}'`, (client) => client.hSet(this.#key(key), { ...fields }));
  }

  hashGet(key: string, field: string): Promise<string | null> {
    return this.#run(`Reading '${key}'`, (client) => client.hGet(this.#key(key), field));
  }

  async hashGetAll(key: string): Promise<Record<string, string>> {
    const reply = await this.#run(`Reading '${key}'`, (client) => client.hGetAll(this.#key(key)));
    return { ...reply };
  }

  async hashDelete(key: string, ...fields: string[]): Promise<number> {
    if (fields.length === 0) return 0;
    return this.#run(`Deleting from '${key}'`, (client) => client.hDel(this.#key(key), fields));
  }

  async sortedAdd(key: string, member: string, score: number): Promise<void> {
    await this.#run(`Writing '${key}'`, (client) =>
      client.zAdd(this.#key(key), { value: member, score }),
    );
  }

  sortedRange(key: string, min: number, max: number): Promise<string[]> {
    return this.#run(`Reading '${key}'`, (client) =>
      client.zRangeByScore(this.#key(key), bound(min), bound(max)),
    );
  }

  sortedCount(key: string, min: number, max: number): Promise<number> {
    return this.#run(`Counting '${key}'`, (client) =>
      client.zCount(this.#key(key), bound(min), bound(max)),
    );
  }

  async sortedRemove(key: string, ...members: string[]): Promise<number> {
    if (members.length === 0) return 0;
    return this.#run(`Deleting from '${key}'`, (client) => client.zRem(this.#key(key), members));
  }

  sortedRemoveByScore(key: string, min: number, max: number): Promise<number> {
    return this.#run(`Deleting from '${key}'`, (client) =>
      client.zRemRangeByScore(this.#key(key), bound(min), bound(max)),
    );
  }

  async slideWindow(key: string, member: string, nowMs: number, windowMs: number): Promise<number> {
    return Number(
      await this.#run(`Counting '${key}'`, (client) =>
        client.eval(SLIDE_WINDOW, {
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
    return this.#run(`Appending to '${key}'`, (client) =>
      client.xAdd(
        this.#key(key),
        '*',
        { ...fields },
        { TRIM: { strategy: 'MAXLEN', threshold: maxLength } },
      ),
    );
  }

  async streamRead(key: string, afterId: string, count: number): Promise<StreamEntry[]> {
    const entries = await this.#run(`Reading '${key}'`, (client) =>
      client.xRange(this.#key(key), `(${afterId}`, '+', { COUNT: count }),
    );
    return (entries ?? []).map(({ id, message }) => ({ id, fields: { ...message } }));
  }

  async streamLast(key: string): Promise<string | null> {
    const entries = await this.#run(`Reading '${key}'`, (client) =>
      client.xRevRange(this.#key(key), '+', '-', { COUNT: 1 }),
    );
    return entries?.[0]?.id ?? null;
  }

  async publish(channel: string, message: string): Promise<void> {
    await this.#run(`Publishing on '${channel}'`, (client) =>
      client.publish(this.#key(channel), message),
    );
  }

  async subscribe(channel: string, listener: (message: string) => void): Promise<Subscription> {
    let isOpen = true;
    const deliver = (message: string) => {
      // A listener's bug is an uncaught exception of its own; the connection goes on.
      queueMicrotask(() => {
        if (isOpen) listener(message);
      });
    };
    const name = this.#key(channel);
    await this.#bounded(`Subscribing to '${channel}'`, this.#connection.subscribe(name, deliver));
    return {
      close: async () => {
        if (!isOpen) return;
        isOpen = false;
        await this.#bounded(`Leaving '${channel}'`, this.#connection.unsubscribe(name, deliver));
      },
    };
  }

  async ping(): Promise<void> {
    await this.#run('Looking for Redis', (client) => client.ping());
  }

  close(): Promise<void> {
    return this.#connection.close();
  }
}

/**
 * The version of Redis that the server says it is compatible with, such as `7.2.4`.
 * @throws BackendError when it does not answer, or wants another password.
 */
export async function redisVersion(options: RedisLiveStoreOptions): Promise<string> {
  const { username, password, db = 0, log } = options;
  const clock = options.clock ?? systemClock;
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const server = {
    product: 'Redis',
    addr: describePlace(options),
    advice: 'that its address and password are right',
  };
  try {
    const connection = await RedisConnection.open({
      ...{ place: options, username, password, db, timeoutMs, log, clock },
    });
    try {
      const asked = connection.use((client) => client.info('server'));
      const info = await within(clock, timeoutMs, asked);
      return /^redis_version:(\S+)/m.exec(info)?.[1] ?? '';
    } finally {
      await connection.close();
    }
  } catch (error) {
    throw unavailable(server, 'Asking for its version', error);
  }
}

/**
 * Connects to Redis.
 * @throws BackendError ServiceUnavailable naming the address, at once when nothing listens there
 * and within `timeoutMs` when nothing answers.
 */
export async function openRedisLiveStore(options: RedisLiveStoreOptions): Promise<LiveStore> {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  const clock = options.clock ?? systemClock;
  const { username, password, db = 0, log, keyPrefix = '' } = options;
  const server = {
    product: 'Redis',
    addr: describePlace(options),
    advice: "that the configuration key 'config/redis/addr' (and 'password') is right",
  };
  try {
    const connection = await RedisConnection.open({
      ...{ place: options, username, password, db, timeoutMs, log, clock },
    });
    return new RedisLiveStore({ server, clock, timeoutMs, keyPrefix }, connection);
  } catch (error) {
    throw unavailable(server, 'Connecting', error);
  }
}
