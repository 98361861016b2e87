/**
 * The shape of every background loop: it runs when its cause happens, once more if the cause
 * repeats meanwhile, and now and then in any case, as the safety net.
 */
import { type Clock, systemClock, type Timer } from '../common/clock.ts';
import { errorMessage } from '../common/errors.ts';
import type { Logger } from '../common/logger.ts';
import { withoutSpan } from '../common/tracing.ts';
import type { FinishedPass } from '../metrics/passes.ts';

export interface LoopOptions {
  readonly name: string;
  /** One pass. It must end on its own in bounded time. A failure is logged and retried. */
  readonly run: (signal: AbortSignal) => Promise<void>;
  /** Longest pause between two passes. Milliseconds. */
  readonly sweepMs: number;
  /** Pause after a failed pass. Milliseconds, 1000 by default. */
  readonly retryMs?: number;
  readonly clock?: Clock;
  readonly log: Logger;
  /** Told of every pass. */
  readonly onPass?: (pass: FinishedPass) => void;
}

export interface Loop {
  /** Asks for a pass as soon as possible. */
  wake(): void;
  /** Ends the loop; resolves when the pass in progress is over. */
  stop(): Promise<void>;
}

const DEFAULT_RETRY_MS = 1000;

/** Starts a loop with an immediate first pass. */
export function startLoop(options: LoopOptions): Loop {
  const { name, run, sweepMs, retryMs = DEFAULT_RETRY_MS, clock = systemClock, log } = options;
  const abort = new AbortController();
  let timer: Timer | undefined;
  let current: Promise<void> | undefined;
  let again = false;
  let failing = false;

  const pass = async () => {
    let pauseMs = sweepMs;
    let status: FinishedPass['status'] = 'success';
    const startedMs = clock.monotonicMs();
    try {
      await run(abort.signal);
      if (failing) log.info(`${name}: works again`);
      failing = false;
    } catch (error) {
      status = 'failure';
      pauseMs = Math.min(retryMs, sweepMs);
      if (!abort.signal.aborted && !failing) {
        log.error(`${name}: failed, will be retried`, { error: errorMessage(error) });
      }
      failing = true;
    }
    options.onPass?.({ operation: name, status, elapsedMs: clock.monotonicMs() - startedMs });
    current = undefined;
    if (abort.signal.aborted) return;
    // After a failure a pending wake waits too: its cause is most likely still there.
    if (again && !failing) start();
    else timer = clock.timer(pauseMs, start);
  };

  const start = () => {
    if (abort.signal.aborted || current) return;
    timer?.cancel();
    again = false;
    // Whose request woke it does not matter to a pass, which is for everybody.
    current = withoutSpan(pass);
  };

  start();
  return {
    wake() {
      if (current) again = true;
      else if (!failing) start();
    },
    async stop() {
      abort.abort();
      timer?.cancel();
      await current;
    },
  };
}
