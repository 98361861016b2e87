/**
 * Ctrl-C while code runs: the first interrupts the code, the second leaves. When no code runs, the
 * first one leaves.
 */

/** The reason of the `leave` signal. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

export class Interrupts {
  private readonly running = new Set<() => void>();
  private readonly controller = new AbortController();
  private readonly listener = () => this.press();
  private pressed = false;

  constructor() {
    process.on('SIGINT', this.listener);
  }

  /** Aborts when the user wants to leave. */
  get leave(): AbortSignal {
    return this.controller.signal;
  }

  /** While `work` runs, the first Ctrl-C calls `interrupt`. */
  async during<T>(interrupt: () => void, work: () => Promise<T>): Promise<T> {
    this.running.add(interrupt);
    try {
      return await work();
    } finally {
      this.running.delete(interrupt);
    }
  }

  private press(): void {
    if (this.pressed || this.running.size === 0) {
      this.controller.abort(new Interrupted('Interrupted.'));
      return;
    }
    this.pressed = true;
    for (const interrupt of this.running) interrupt();
  }

  /** Gives Ctrl-C back to the program's own handler. */
  close(): void {
    process.removeListener('SIGINT', this.listener);
  }
}

/** Dies by the signal, through the program's own handler. */
export async function dieInterrupted(): Promise<never> {
  process.kill(process.pid, 'SIGINT');
  return await new Promise<never>(() => {});
}
