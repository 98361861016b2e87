/** Turns what the manager wants into wishes for kernels of the registry. */
import type { Clock } from '../common/clock.ts';
import { BackendError, errorMessage } from '../common/errors.ts';
import type { Logger } from '../common/logger.ts';
import type { DesiredKernel } from '../common/protocol/kernel.ts';
import type { Executor } from './executor.ts';
import { type KernelRegistry, wantedKernel } from './kernels.ts';
import type { Outbox } from './outbox.ts';

/** Ended kernels remembered, to tell late wishes from new ones. */
const MAX_REMEMBERED = 10_000;

export interface WishesOptions {
  registry: KernelRegistry;
  executor: Pick<Executor, 'wish' | 'wake' | 'reportAgain'>;
  outbox: Pick<Outbox, 'add' | 'unacknowledgedEnds'>;
  clock: Pick<Clock, 'monotonicMs'>;
  log: Pick<Logger, 'error'>;
}

export class Wishes {
  readonly #options: WishesOptions;
  /** Kernel id → when its end was acknowledged, by the monotonic clock. */
  readonly #endedAtMs = new Map<string, number>();

  constructor(options: WishesOptions) {
    this.#options = options;
  }

  /** The manager knows of these ends. */
  noteAcknowledgedEnds(kernelIds: readonly string[]): void {
    for (const kernelId of kernelIds) {
      this.#endedAtMs.delete(kernelId);
      this.#endedAtMs.set(kernelId, this.#options.clock.monotonicMs());
    }
    for (const kernelId of this.#endedAtMs.keys()) {
      if (this.#endedAtMs.size <= MAX_REMEMBERED) return;
      this.#endedAtMs.delete(kernelId);
    }
  }

  /**
   * Records wishes.
   * @param askedAtMs when the manager was asked, if the wishes are an answer. A wish for a kernel
   *   whose end was acknowledged after that was made without knowing of the end.
   * @returns how many were taken.
   */
  accept(wishes: readonly DesiredKernel[], askedAtMs?: number): number {
    const unknownEnds = new Set(
      this.#options.outbox.unacknowledgedEnds().map(({ kernelId }) => kernelId),
    );
    return wishes.filter((wish) => this.#acceptOne(wish, unknownEnds, askedAtMs)).length;
  }

  #acceptOne(
    wish: DesiredKernel,
    unknownEnds: ReadonlySet<string>,
    askedAtMs: number | undefined,
  ): boolean {
    const { registry, executor, outbox, log } = this.#options;
    const kernelId = wish.desired === 'running' ? wish.spec.kernelId : wish.kernelId;
    const known = registry.get(kernelId);
    if (wish.desired === 'terminated') {
      if (known) executor.wish(known, wish);
      else if (!unknownEnds.has(kernelId)) {
        const { sessionId } = wish;
        const body = { kind: 'kernel-terminated', reason: 'already-terminated' } as const;
        outbox.add({ kernelId, sessionId }, { ...body, exitCode: null, message: null, logs: null });
      }
      return true;
    }
    if (known) {
      executor.wish(known, { desired: 'running' });
      // Its placement was taken back and given again, and the manager took no notice in between.
      if (known.wish.desired === 'running') executor.reportAgain(known);
      return true;
    }
    const endedAtMs = this.#endedAtMs.get(kernelId);
    const isStale = askedAtMs !== undefined && endedAtMs !== undefined && endedAtMs >= askedAtMs;
    if (unknownEnds.has(kernelId) || isStale) return false;
    try {
      executor.wake(registry.add(wantedKernel(wish.spec)));
      return true;
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      log.error('A kernel was not accepted', { kernelId, error: errorMessage(error) });
      return false;
    }
  }
}
