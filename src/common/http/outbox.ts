/** What waits to be written to a socket that does not take it all; its source waits meanwhile. */
import type { Socket } from 'bun';

type Writable = Pick<Socket<unknown>, 'write' | 'end'>;
type Source = Pick<Socket<unknown>, 'pause' | 'resume'>;

export class Outbox {
  readonly #source: () => Source | null;
  #socket: Writable | null = null;
  #waiting: Buffer[] = [];
  #ending = false;
  #isHeld = false;

  /** @param source what brings the bytes that are written here: paused while some wait. */
  constructor(source: () => Source | null) {
    this.#source = source;
  }

  /** What was written until now goes to `socket`, as all that follows. */
  open(socket: Writable): void {
    this.#socket = socket;
    this.drained();
  }

  write(bytes: Buffer): void {
    if (this.#ending) return;
    if (this.#socket !== null && this.#waiting.length === 0) {
      const written = this.#socket.write(bytes);
      // Negative: the socket is closed, which its owner is told of.
      if (written < 0 || written === bytes.length) return;
      this.#waiting.push(bytes.subarray(written));
    } else {
      this.#waiting.push(bytes);
    }
    this.#source()?.pause();
  }

  /** The socket has room again. */
  drained(): void {
    const socket = this.#socket;
    if (socket === null) return;
    const waited = this.#waiting.length > 0;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const written = socket.write(next);
      if (written < 0) break;
      if (written < next.length) {
        this.#waiting[0] = next.subarray(written);
        return;
      }
      this.#waiting.shift();
    }
    this.#waiting = [];
    if (this.#ending) socket.end();
    else if (waited && !this.#isHeld) this.#source()?.resume();
  }

  /** Keeps the source waiting although the socket has room, until it is let go. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
    if (isHeld) this.#source()?.pause();
    else if (this.#waiting.length === 0) this.#source()?.resume();
  }

  /** Closes the socket when all that waits is written. */
  end(): void {
    this.#ending = true;
    if (this.#waiting.length === 0) this.#socket?.end();
  }
}
