/**
 * Tells the manager the agent's full state: at start, when it changes, and at least every so often.
 * The answer says what differs from what should be.
 */
import type { Clock } from '../common/clock.ts';
import { errorMessage } from '../common/errors.ts';
import type { Logger } from '../common/logger.ts';
import type { DesiredKernel } from '../common/protocol/kernel.ts';
import type { Heartbeat } from '../common/protocol/manager.ts';

const FIRST_RETRY_MS = 200;

export interface HeartbeatOptions {
  intervalMs: number;
  /** Describes the agent as it is now. */
  describe: () => Promise<Heartbeat>;
  send: (heartbeat: Heartbeat) => Promise<{ desired: DesiredKernel[] }>;
  /** Takes the answer. @param askedAtMs monotonic time at which the state was described. */
  onAnswer: (desired: readonly DesiredKernel[], askedAtMs: number) => void;
  clock: Clock;
  log: Logger;
}

export class HeartbeatSender {
  readonly #options: HeartbeatOptions;
  readonly #stopping = new AbortController();
  #early = new AbortController();
  #running: Promise<void> | null = null;
  #isReachable: boolean | null = null;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Whether the manager took the last heartbeat. */
  get isHeard(): boolean {
    return this.#isReachable === true;
  }

  /** Sends soon, not waiting for the interval to pass. */
  beatNow(): void {
    this.#early.abort();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { intervalMs, clock } = this.#options;
    let retryMs = FIRST_RETRY_MS;
    while (!this.#stopping.signal.aborted) {
      this.#early = new AbortController();
      const succeeded = await this.#beat();
      const pauseMs = succeeded ? intervalMs : Math.min(retryMs, intervalMs);
      retryMs = succeeded ? FIRST_RETRY_MS : retryMs * 2;
      const signal = AbortSignal.any([this.#early.signal, this.#stopping.signal]);
      await clock.sleep(pauseMs, signal).catch(() => {
        // Woken early: that is what the signals are for.
      });
    }
  }

  /** @returns whether the manager answered. */
  async #beat(): Promise<boolean> {
    const { describe, send, onAnswer, clock, log } = this.#options;
    try {
      const askedAtMs = clock.monotonicMs();
      const { desired } = await send(await describe());
      if (this.#isReachable === false) log.info('The manager is back');
      this.#isReachable = true;
      if (!this.#stopping.signal.aborted) onAnswer(desired, askedAtMs);
      return true;
    } catch (error) {
      if (this.#isReachable !== false) {
        log.warn('The manager did not take the heartbeat; sessions run on', {
          error: errorMessage(error),
        });
      }
      this.#isReachable = false;
      return false;
    }
  }
}
