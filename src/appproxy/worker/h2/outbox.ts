/** What is to be sent on a connection next: frames that follow each other in memory go out as one piece. */
import type { Wire } from '../wire.ts';

export class Outbox {
  readonly wire: Wire;
  #pieces: Buffer[] = [];
  /** Whether the other side made us say something: it has to read before it may go on. */
  #owes = false;

  constructor(wire: Wire) {
    this.wire = wire;
  }

  /** Passes on what the other end of the proxy sent. */
  pass(bytes: Buffer): void {
    const last = this.#pieces.at(-1);
    if (last?.buffer === bytes.buffer && last.byteOffset + last.length === bytes.byteOffset) {
      const joined = Buffer.from(bytes.buffer, last.byteOffset, last.length + bytes.length);
      this.#pieces[this.#pieces.length - 1] = joined;
    } else this.#pieces.push(bytes);
  }

  /** Says something of this proxy's own. */
  say(bytes: Buffer): void {
    this.#owes = true;
    this.#pieces.push(bytes);
  }

  /** Whether this side may not be read from: it does not take the answers to what it sends. */
  get isOverdue(): boolean {
    return this.#owes && !this.wire.isDrained;
  }

  flush(): void {
    const [first, ...others] = this.#pieces.splice(0);
    if (first === undefined) return;
    this.wire.write(others.length === 0 ? first : Buffer.concat([first, ...others]));
    if (this.wire.isDrained) this.#owes = false;
  }

  drained(): void {
    this.#owes = false;
  }
}
