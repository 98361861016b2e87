/**
 * One watch on etcd that outlives its server: whenever the stream breaks, or etcd has compacted the
 * revisions in between, it lists again, tells the differences and follows from there.
 */
import type { Watcher } from 'etcd3';
import type { Clock } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import type { WatchMirror } from './mirror.ts';
import type { Subscription } from './port.ts';

export interface WatchSource {
  /** All present entries, and the first revision that is not yet in them. */
  list(): Promise<{ entries: Map<string, string>; nextRevision: string }>;
  /** A watcher over the same keys, attached but perhaps not yet connected. */
  watcherFrom(revision: string): Watcher;
  logicalKey(physicalKey: string): string;
}

const MIN_RETRY_MS = 50;
const MAX_RETRY_MS = 2000;
/** A stream that is not up by then is given up and tried anew. */
const CONNECT_TIMEOUT_MS = 5000;

export class EtcdWatch implements Subscription {
  readonly #source: WatchSource;
  readonly #mirror: WatchMirror;
  readonly #clock: Clock;
  readonly #log: Pick<Logger, 'warn'>;
  readonly #stopping = new AbortController();
  #watcher: Watcher | null = null;
  #recovering: Promise<void> | null = null;

  constructor(source: WatchSource, mirror: WatchMirror, clock: Clock, log: Pick<Logger, 'warn'>) {
    this.#source = source;
    this.#mirror = mirror;
    this.#clock = clock;
    this.#log = log;
  }

  /** Resolves when changes from now on will be told. */
  async open(): Promise<void> {
    const { entries, nextRevision } = await this.#source.list();
    this.#mirror.seed(entries);
    await this.#follow(nextRevision);
  }

  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#drop();
    await this.#recovering;
  }

  get #isStopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** Attaches a watcher and waits until it is connected. @throws when it is refused or too late. */
  async #follow(nextRevision: string): Promise<void> {
    const watcher = this.#source.watcherFrom(nextRevision);
    this.#watcher = watcher;
    const connected = Promise.withResolvers<void>();
    const timer = this.#clock.timer(CONNECT_TIMEOUT_MS, () =>
      connected.reject(new Error('the watch was not established in time')),
    );
    let isUp = false;
    const onLoss = (error: Error) => {
      if (isUp) this.#recover(watcher, error);
      else connected.reject(error);
    };
    watcher.on('connected', () => {
      isUp = true;
      connected.resolve();
    });
    watcher.on('disconnected', onLoss);
    watcher.on('error', onLoss);
    watcher.on('put', ({ key, value }) => {
      if (this.#watcher !== watcher) return;
      const change = { key: this.#source.logicalKey(key.toString()), value: value.toString() };
      this.#mirror.apply({ type: 'put', ...change });
    });
    watcher.on('delete', ({ key }) => {
      if (this.#watcher !== watcher) return;
      this.#mirror.apply({ type: 'delete', key: this.#source.logicalKey(key.toString()) });
    });
    try {
      await connected.promise;
    } finally {
      timer.cancel();
    }
  }

  /** Detaches the present watcher; nothing it says afterwards is heard. */
  async #drop(): Promise<void> {
    const watcher = this.#watcher;
    this.#watcher = null;
    if (!watcher) return;
    await Promise.race([
      watcher.cancel().catch((error) => {
        this.#log.warn('could not cancel a watch on etcd', { error: errorMessage(error) });
      }),
      this.#clock.sleep(MAX_RETRY_MS),
    ]);
  }

  #recover(lost: Watcher, cause: Error): void {
    if (this.#isStopped || this.#recovering || this.#watcher !== lost) return;
    this.#log.warn('lost a watch on etcd; reconnecting', { error: errorMessage(cause) });
    this.#recovering = this.#reconnect().finally(() => {
      this.#recovering = null;
    });
  }

  async #reconnect(): Promise<void> {
    for (let delayMs = MIN_RETRY_MS; !this.#isStopped; delayMs *= 2) {
      await this.#drop();
      try {
        await this.#clock.sleep(Math.min(delayMs, MAX_RETRY_MS), this.#stopping.signal);
        const { entries, nextRevision } = await this.#source.list();
        if (this.#isStopped) return;
        this.#mirror.replaceFrom(entries);
        await this.#follow(nextRevision);
        return;
      } catch (error) {
        if (this.#isStopped) return;
        this.#log.warn('etcd is still away', { error: errorMessage(error) });
      }
    }
  }
}
