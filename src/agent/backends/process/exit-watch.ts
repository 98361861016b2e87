/**
 * Notices the end of kernels. The agent that started a kernel is told by the operating system; one
 * that adopted it looks at its folder and its process from time to time.
 */
import type { Clock, Timer } from '../../../common/clock.ts';
import type { KernelExit } from '../backend.ts';
import { isAlive, readSupervisor } from './host-processes.ts';
import { type KernelLayout, readExitCode } from './layout.ts';

const LOOK_MS = 1000;

interface Watched {
  readonly layout: KernelLayout;
  /** false: nobody tells us when it ends. */
  readonly isOwn: boolean;
  readonly endListeners: Set<() => void>;
}

export class ExitWatch {
  readonly #clock: Clock;
  readonly #report: (exit: KernelExit) => void;
  readonly #kernels = new Map<string, Watched>();
  #timer: Timer | null = null;
  #looking: Promise<void> | null = null;
  #closed = false;

  constructor(clock: Clock, report: (exit: KernelExit) => void) {
    this.#clock = clock;
    this.#report = report;
  }

  /** Watches a kernel that this process started; `ended` settles when its supervisor is gone. */
  own(layout: KernelLayout, ended: Promise<unknown>): void {
    this.#kernels.set(layout.kernelId, { layout, isOwn: true, endListeners: new Set() });
    ended.then(() => this.#ended(layout.kernelId));
  }

  /** Watches a kernel of an earlier agent. */
  adopt(layout: KernelLayout): void {
    if (this.#closed || this.#kernels.has(layout.kernelId)) return;
    this.#kernels.set(layout.kernelId, { layout, isOwn: false, endListeners: new Set() });
    this.#schedule();
  }

  /** Stops watching: an end from now on was asked for. */
  forget(kernelId: string): void {
    this.#kernels.delete(kernelId);
  }

  /** Calls `listener` when the kernel ends, or soon if it is not watched. @returns a way to stop. */
  onEnd(layout: KernelLayout, listener: () => void): () => void {
    const watched = this.#kernels.get(layout.kernelId);
    if (!watched) {
      listener();
      return () => {};
    }
    watched.endListeners.add(listener);
    return () => watched.endListeners.delete(listener);
  }

  /** Looks at adopted kernels without waiting for the next turn. */
  checkNow(): void {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = null;
    });
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#kernels.clear();
  }

  #schedule(): void {
    if (this.#timer || this.#closed) return;
    this.#timer = this.#clock.timer(LOOK_MS, () => {
      this.#timer = null;
      this.checkNow();
    });
  }

  async #look(): Promise<void> {
    const adopted = [...this.#kernels.values()].filter((kernel) => !kernel.isOwn);
    for (const { layout } of adopted) {
      const supervisor = await readSupervisor(layout);
      const exitCode = await readExitCode(layout);
      if (exitCode === null && supervisor && (await isAlive(supervisor))) continue;
      await this.#ended(layout.kernelId);
    }
    if ([...this.#kernels.values()].some((kernel) => !kernel.isOwn)) this.#schedule();
  }

  async #ended(kernelId: string): Promise<void> {
    const watched = this.#kernels.get(kernelId);
    if (!watched || this.#closed) return;
    this.#kernels.delete(kernelId);
    for (const listener of watched.endListeners) listener();
    this.#report({ kernelId, exitCode: await readExitCode(watched.layout) });
  }
}
