/**
 * The connections to Redis, one for commands and one for subscriptions. With one server they come
 * back by themselves. With Sentinels a lost master is looked for anew, and both move to the server
 * that was made master; commands wait for that for a bounded time.
 */
import { createClient } from 'redis';
import type { Clock } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import { within } from '../failures.ts';
import { currentAddr, describePlace, type RedisPlace, splitAddr } from './redis-server.ts';

export interface ConnectionOptions {
  readonly place: RedisPlace;
  readonly username?: string;
  readonly password?: string;
  readonly db: number;
  /** Longest wait for one command. */
  readonly timeoutMs: number;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  readonly clock: Clock;
}

const MAX_RECONNECT_DELAY_MS = 2000;
/** Commands waiting for the server beyond this fail at once. */
const MAX_QUEUED_COMMANDS = 10_000;
/** Between two attempts to find the new master, and how often a connection is tried out. */
const SEARCH_PAUSE_MS = 200;
const PING_MS = 1_000;

type OnLost = (error: unknown) => void;

/** @param onLost told of a connection that is gone for good; null: the client reconnects by itself. */
function newClient(options: ConnectionOptions, addr: string, onLost: OnLost | null) {
  let wasReady = false;
  let isLost = false;
  const { log, timeoutMs } = options;
  const client = createClient({
    username: options.username,
    password: options.password,
    database: options.db,
    socket: {
      ...splitAddr(addr),
      connectTimeout: timeoutMs,
      // The first connection is not retried, so that a wrong address is told at once.
      reconnectStrategy: (retries, cause) =>
        wasReady && onLost === null
          ? Math.min(50 * 2 ** Math.min(retries, 10), MAX_RECONNECT_DELAY_MS)
          : cause,
    },
    commandOptions: { timeout: timeoutMs },
    commandsQueueMaxLength: MAX_QUEUED_COMMANDS,
    maintNotifications: 'disabled',
    disableClientInfo: true,
  });
  client.on('ready', () => {
    if (isLost) log.info('Redis is back', { addr });
    wasReady = true;
    isLost = false;
  });
  client.on('error', (error) => {
    if (!wasReady || isLost) return;
    isLost = true;
    log.warn('lost the connection to Redis; reconnecting', { addr, error: errorMessage(error) });
    onLost?.(error);
  });
  return client;
}
export type Client = ReturnType<typeof newClient>;
type Deliver = (message: string) => void;

interface Clients {
  readonly addr: string;
  readonly commands: Client;
  /** Made when the first channel is subscribed to. */
  subscriber: Promise<Client> | null;
}

export class RedisConnection {
  readonly #options: ConnectionOptions;
  readonly #channels = new Map<string, Set<Deliver>>();
  readonly #closing = new AbortController();
  /** Pending while the master is looked for. */
  #clients: Promise<Clients>;
  #search: Promise<void> | null = null;
  #pings: { cancel(): void } | null = null;

  private constructor(options: ConnectionOptions, clients: Clients) {
    this.#options = options;
    this.#clients = Promise.resolve(clients);
  }

  /** @throws what the first attempt ends with, within the time of one command. */
  static async open(options: ConnectionOptions): Promise<RedisConnection> {
    const { place } = options;
    let lost: OnLost = () => {};
    const onLost = 'addr' in place ? null : (error: unknown) => lost(error);
    const clients = await connected(options, onLost);
    const connection = new RedisConnection(options, clients);
    lost = () => connection.#replace();
    if (!('addr' in place)) connection.#watch();
    return connection;
  }

  /** Runs a command, on the new master when the old one is lost before it was sent. */
  async use<T>(work: (client: Client) => Promise<T>): Promise<T> {
    const { commands } = await this.#clients;
    return await work(commands);
  }

  /** A server that is no master any more, or never answers: look for another one. */
  doubt(): void {
    if (!('addr' in this.#options.place)) this.#replace();
  }

  async subscribe(channel: string, deliver: Deliver): Promise<void> {
    const listeners = this.#channels.get(channel) ?? new Set();
    this.#channels.set(channel, listeners.add(deliver));
    try {
      const clients = await this.#clients;
      await (await this.#subscriber(clients)).subscribe(channel, deliver);
    } catch (error) {
      this.#forget(channel, deliver);
      throw error;
    }
  }

  async unsubscribe(channel: string, deliver: Deliver): Promise<void> {
    this.#forget(channel, deliver);
    const subscriber = await (await this.#clients).subscriber;
    // While the connection is away there is nothing to unsubscribe from.
    if (subscriber?.isReady) await subscriber.unsubscribe(channel, deliver);
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the connection was closed'));
    this.#pings?.cancel();
    await this.#search;
    await this.#clients.then(destroy, () => {});
  }

  #forget(channel: string, deliver: Deliver): void {
    const listeners = this.#channels.get(channel);
    listeners?.delete(deliver);
    if (listeners?.size === 0) this.#channels.delete(channel);
  }

  #subscriber(clients: Clients): Promise<Client> {
    const { clock, timeoutMs, place } = this.#options;
    clients.subscriber ??= (async () => {
      const onLost = 'addr' in place ? null : () => this.#replace();
      const client = newClient(this.#options, clients.addr, onLost);
      try {
        await within(clock, timeoutMs, client.connect());
        return client;
      } catch (error) {
        if (client.isOpen) client.destroy();
        clients.subscriber = null;
        throw error;
      }
    })();
    return clients.subscriber;
  }

  /** Tries the connection out now and then: a master that vanished from the network closes nothing. */
  #watch(): void {
    const { clock } = this.#options;
    this.#pings = clock.timer(PING_MS, () => {
      void this.#clients
        .then(({ commands }) => within(clock, PING_MS, commands.ping()))
        .then(
          () => this.#watch(),
          () => {
            this.#replace();
            this.#watch();
          },
        );
    });
  }

  /** Looks for the master and moves everything to it; once at a time. */
  #replace(): void {
    if (this.#search !== null || this.#closing.signal.aborted) return;
    const old = this.#clients;
    const found = Promise.withResolvers<Clients>();
    // Rejected when it is closed meanwhile; whoever waits then hears of it.
    found.promise.catch(() => {});
    this.#clients = found.promise;
    this.#search = this.#find(old)
      .then(found.resolve, found.reject)
      .finally(() => {
        this.#search = null;
      });
  }

  async #find(old: Promise<Clients>): Promise<Clients> {
    const { clock, timeoutMs, log } = this.#options;
    await old.then(destroy, () => {});
    for (;;) {
      this.#closing.signal.throwIfAborted();
      let clients: Clients | null = null;
      try {
        clients = await connected(this.#options, () => this.#replace());
        for (const [channel, listeners] of this.#channels) {
          const subscriber = await this.#subscriber(clients);
          for (const deliver of listeners) {
            await within(clock, timeoutMs, subscriber.subscribe(channel, deliver));
          }
        }
        log.info('Redis is back', { addr: clients.addr });
        return clients;
      } catch {
        // The old master is named until the Sentinels have agreed on another one.
        if (clients) await destroy(clients);
        await clock.sleep(SEARCH_PAUSE_MS, this.#closing.signal);
      }
    }
  }
}

/** As `connect`, within the time of one command. */
async function connected(options: ConnectionOptions, onLost: OnLost | null): Promise<Clients> {
  const attempt = connect(options, onLost);
  try {
    return await within(options.clock, options.timeoutMs, attempt);
  } catch (error) {
    // One that comes too late is of no use.
    void attempt.then(destroy, () => {});
    throw error;
  }
}

/** Connects to the server that takes writes. @throws when there is none at present. */
async function connect(options: ConnectionOptions, onLost: OnLost | null): Promise<Clients> {
  const { place } = options;
  const addr = await currentAddr(place);
  const commands = newClient(options, addr, onLost);
  try {
    await commands.connect();
    if (!('addr' in place)) {
      const standing = await commands.role();
      if (standing?.role !== 'master') throw new Error('it is not the master (any more)');
    }
    return { addr, commands, subscriber: null };
  } catch (error) {
    if (commands.isOpen) commands.destroy();
    const where = 'addr' in place ? '' : `${describePlace(place)} at ${addr}: `;
    throw new Error(`${where}${errorMessage(error)}`, { cause: error });
  }
}

async function destroy({ commands, subscriber }: Clients): Promise<void> {
  const other = await subscriber?.catch(() => null);
  for (const client of [other, commands]) if (client?.isOpen) client.destroy();
}
