/** One who looks at a shared terminal: takes output as fast as it can, or falls behind and catches up. */
import type { TerminalSize } from '../process/terminal.ts';

/** Output that waits for a viewer before it counts as full, and before it is given up. Bytes. */
const FULL_BYTES = 256 * 1024;
const MAX_WAITING_BYTES = 1024 * 1024;

export interface ViewerOptions {
  readonly size: TerminalSize;
  /** Sends output; false: nothing more until `flow(true)`. */
  readonly send: (bytes: Uint8Array) => boolean;
  /** Told of the end of the program. */
  readonly ended: (exitCode: number) => void;
}

export class Viewer {
  size: TerminalSize;
  readonly #options: ViewerOptions;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #isBlocked = false;
  #hasMissed = false;

  constructor(options: ViewerOptions) {
    this.#options = options;
    this.size = options.size;
  }

  /** Whether output should wait, as far as this viewer goes. */
  get isFull(): boolean {
    return this.#isBlocked && (this.#hasMissed || this.#waitingBytes > FULL_BYTES);
  }

  offer(bytes: Uint8Array): void {
    if (this.#hasMissed) return;
    if (!this.#isBlocked) {
      this.#isBlocked = !this.#options.send(bytes);
      return;
    }
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes <= MAX_WAITING_BYTES) return;
    this.#hasMissed = true;
    this.#forget();
  }

  /** Takes output or no more. @param replay what to show in place of what was missed. */
  flow(isOpen: boolean, replay: () => Uint8Array): void {
    this.#isBlocked = !isOpen;
    if (this.#isBlocked) return;
    const waiting = this.#hasMissed ? [replay()] : this.#waiting;
    this.#hasMissed = false;
    this.#forget();
    for (const bytes of waiting) this.offer(bytes);
  }

  end(exitCode: number): void {
    this.#options.ended(exitCode);
  }

  #forget(): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
  }
}
