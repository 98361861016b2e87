/** Knows which containers should be running, and tells once when one of them ended by itself. */
import type { KernelExit } from '../backend.ts';

interface Watched {
  /** null while the container is being created. */
  containerId: string | null;
  readonly endListeners: Set<() => void>;
}

export class ExitWatch {
  readonly #kernels = new Map<string, Watched>();
  /** Ends the daemon has told about; its list of containers may lag behind. */
  readonly #ends = new Map<string, number | null>();
  readonly #report: (exit: KernelExit) => void;

  constructor(report: (exit: KernelExit) => void) {
    this.#report = report;
  }

  /** Watches a kernel from before its container exists, so that no end can be missed. */
  expect(kernelId: string): void {
    this.#kernels.set(kernelId, { containerId: null, endListeners: new Set() });
  }

  watch(kernelId: string, containerId: string): void {
    const known = this.#kernels.get(kernelId);
    if (known) known.containerId = containerId;
    else this.#kernels.set(kernelId, { containerId, endListeners: new Set() });
  }

  /** Stops watching: an end from now on was asked for. */
  forget(kernelId: string): void {
    const watched = this.#kernels.get(kernelId);
    this.#kernels.delete(kernelId);
    this.#ends.delete(kernelId);
    for (const listener of watched?.endListeners ?? []) listener();
  }

  /** How a kernel ended that was watched and not yet forgotten; undefined while it has not. */
  endOf(kernelId: string): { exitCode: number | null } | undefined {
    const exitCode = this.#ends.get(kernelId);
    return exitCode === undefined ? undefined : { exitCode };
  }

  /** Kernels with a container. */
  watched(): { kernelId: string; containerId: string }[] {
    return [...this.#kernels].flatMap(([kernelId, { containerId }]) =>
      containerId === null ? [] : [{ kernelId, containerId }],
    );
  }

  /** Calls `listener` when the kernel ends, or now if it is not watched. @returns a way to stop. */
  onEnd(kernelId: string, listener: () => void): () => void {
    const watched = this.#kernels.get(kernelId);
    if (!watched) {
      listener();
      return () => {};
    }
    watched.endListeners.add(listener);
    return () => watched.endListeners.delete(listener);
  }

  /** Notes that a container ended; says so if its kernel is watched. */
  ended(kernelId: string, exitCode: number | null): void {
    const watched = this.#kernels.get(kernelId);
    if (!watched) return;
    this.#kernels.delete(kernelId);
    this.#ends.set(kernelId, exitCode);
    for (const listener of watched.endListeners) listener();
    this.#report({ kernelId, exitCode });
  }
}
