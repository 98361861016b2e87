/**
 * Brings the agent's events to the manager, in order and until they are acknowledged. While the
 * manager is away they wait on disk.
 */
import { join } from 'node:path';
import type { Clock, Timer } from '../common/clock.ts';
import { errorMessage } from '../common/errors.ts';
import type { Logger } from '../common/logger.ts';
import type { AgentEvent, AgentEventBody } from '../common/protocol/manager.ts';
import { type BegunEnd, type KernelEnd, OutboxStore, PROGRESS_KINDS } from './outbox-store.ts';

const MAX_EVENTS = 10_000;
const MAX_BATCH_EVENTS = 500;
const MAX_BATCH_BYTES = 8 * 1024 * 1024;
/** How long progress waits for company: a quick start is reported as a whole. */
const PROGRESS_DELAY_MS = 100;
const FIRST_RETRY_MS = 100;
const LAST_RETRY_MS = 10_000;

interface KernelRef {
  readonly kernelId: string;
  readonly sessionId: string;
}

export interface OutboxOptions {
  stateDir: string;
  /** Sends events; answers up to which number they were taken. */
  deliver: (events: AgentEvent[]) => Promise<{ ackedSeq: number }>;
  clock: Clock;
  log: Logger;
  maxEvents?: number;
}

export class Outbox {
  readonly #store: OutboxStore;
  readonly #options: OutboxOptions;
  readonly #stopping = new AbortController();
  #wake = Promise.withResolvers<void>();
  #soon: Timer | null = null;
  #retry = new AbortController();
  #running: Promise<void> | null = null;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#store = new OutboxStore(join(options.stateDir, 'outbox.sqlite'), {
      firstSeq: options.clock.now().getTime(),
      maxEvents: options.maxEvents ?? MAX_EVENTS,
    });
  }

  /** Begins delivering. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Stops delivering and closes the file; undelivered events stay in it. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the agent stops'));
    this.#signal();
    await this.#running;
    this.#store.close();
  }

  get size(): number {
    return this.#store.size;
  }

  /** Progress may wait a moment, since more of it or the end of it follows; all else goes at once. */
  add(kernel: KernelRef, body: AgentEventBody): void {
    this.#warnOfLoss(this.#store.append(this.#event(kernel, body)));
    if (PROGRESS_KINDS.includes(body.kind)) this.#signalSoon();
    else this.#signal();
  }

  /** Reports a start once, however often the agent is restarted. */
  addStarted(kernel: KernelRef, body: Extract<AgentEventBody, { kind: 'kernel-started' }>): void {
    if (this.#store.appendStarted(this.#event(kernel, body))) this.#signal();
  }

  /** Whether the kernel's start was reported, by this agent or an earlier one. */
  wasStarted(kernelId: string): boolean {
    return this.#store.wasStarted(kernelId);
  }

  beginEnd(end: BegunEnd): void {
    this.#store.beginEnd(end);
  }

  begunEnds(): BegunEnd[] {
    return this.#store.begunEnds();
  }

  finishEnd(kernel: KernelRef, end: KernelEnd): void {
    this.#warnOfLoss(this.#store.finishEnd(this.#event(kernel, end)));
    this.#signal();
  }

  unacknowledgedEnds(): KernelRef[] {
    return this.#store.unacknowledgedEnds();
  }

  /** The manager was just heard of: does not wait for the next try. */
  retryNow(): void {
    this.#retry.abort();
  }

  #event({ kernelId, sessionId }: KernelRef, body: AgentEventBody) {
    return { at: this.#options.clock.now().toISOString(), kernelId, sessionId, body };
  }

  #warnOfLoss(lost: number): void {
    if (lost > 0) {
      this.#options.log.warn('The outbox is full; old events were dropped', { lost });
    }
  }

  #signal(): void {
    this.#soon?.cancel();
    this.#soon = null;
    this.#wake.resolve();
  }

  #signalSoon(): void {
    this.#soon ??= this.#options.clock.timer(PROGRESS_DELAY_MS, () => this.#signal());
  }

  async #run(): Promise<void> {
    let retryMs = FIRST_RETRY_MS;
    while (!this.#stopping.signal.aborted) {
      this.#wake = Promise.withResolvers<void>();
      try {
        const events = this.#store.oldest(MAX_BATCH_EVENTS, MAX_BATCH_BYTES);
        if (events.length === 0) {
          await this.#wake.promise;
          continue;
        }
        const { ackedSeq } = await this.#options.deliver(events);
        this.#store.acknowledge(Math.min(ackedSeq, events.at(-1)?.seq ?? 0));
        if (ackedSeq < (events[0]?.seq ?? 0)) throw new Error(`only up to ${ackedSeq} was taken`);
        retryMs = FIRST_RETRY_MS;
      } catch (error) {
        this.#options.log.debug('Events could not be delivered', { error: errorMessage(error) });
        await this.#pause(retryMs);
        retryMs = Math.min(LAST_RETRY_MS, retryMs * 2);
      }
    }
  }

  async #pause(ms: number): Promise<void> {
    this.#retry = new AbortController();
    const signal = AbortSignal.any([this.#retry.signal, this.#stopping.signal]);
    await this.#options.clock.sleep(ms, signal).catch(() => {
      // Woken early: that is what the signals are for.
    });
  }
}
