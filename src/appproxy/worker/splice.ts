/** Joins two connections: every byte that one sends the other gets, as fast as that one takes it. */
import type { Clock } from '../../common/clock.ts';
import { BULK_BYTES, type Wire, type WireOwner } from './wire.ts';

/** How long what a closed connection still sent may take to be delivered. Milliseconds. */
const FLUSH_MS = 30_000;

/** One side of a joint: takes what its wire sends and gives it to the other one. */
class Half implements WireOwner {
  readonly #wire: Wire;
  readonly #target: Wire;
  readonly #joint: Joint;
  readonly #counted: (bytes: number) => void;

  constructor(wire: Wire, target: Wire, joint: Joint, counted: (bytes: number) => void) {
    this.#wire = wire;
    this.#target = target;
    this.#joint = joint;
    this.#counted = counted;
  }

  received(chunk: Buffer): void {
    this.#counted(chunk.length);
    let isTaken = this.#target.write(chunk);
    if (isTaken && chunk.length >= BULK_BYTES) {
      const relayed = this.#wire.relayTo(this.#target, Number.POSITIVE_INFINITY);
      this.#counted(relayed.bytes);
      isTaken = relayed.isTaken;
    }
    if (!isTaken) this.#wire.pause();
  }

  drained(): void {
    this.#target.resume();
  }

  ended(): void {
    this.#target.end();
  }

  closed(isBroken: boolean): void {
    if (isBroken) this.#target.breakOff();
    else this.#target.close();
    this.#joint.halfClosed(this.#target);
  }
}

class Joint {
  #open = 2;
  readonly #clock: Clock;
  readonly #onClosed: () => void;

  constructor(clock: Clock, onClosed: () => void) {
    this.#clock = clock;
    this.#onClosed = onClosed;
  }

  halfClosed(other: Wire): void {
    this.#open -= 1;
    if (this.#open === 0) this.#onClosed();
    else if (!other.isDrained) this.#clock.timer(FLUSH_MS, () => other.destroy());
  }
}

export interface Traffic {
  /** Told how many bytes the client, or the application, has just sent. */
  readonly fromClient: (bytes: number) => void;
  readonly fromApp: (bytes: number) => void;
}

/**
 * Joins two open connections until both are over. A half that ends is passed on; when one
 * connection is gone, the other one gets what still waits for it and is closed, or broken off as well.
 * @param onClosed told once, when both are gone.
 */
export function splice(
  client: Wire,
  app: Wire,
  options: { clock: Clock; traffic: Traffic; onClosed: () => void },
): void {
  const { clock, traffic, onClosed } = options;
  const joint = new Joint(clock, onClosed);
  client.owner = new Half(client, app, joint, traffic.fromClient);
  app.owner = new Half(app, client, joint, traffic.fromApp);
  client.resume();
  app.resume();
}
