/** Slows a WebSocket's peer down, by not reading what it sends. */
import type { Clock, Timer } from '../clock.ts';

/** A peer that is so far ahead has to wait, until no more than this of it is left. Bytes. */
export const HOLD_BYTES = 1024 * 1024;
export const GO_ON_BYTES = 256 * 1024;
/**
 * Who waits cannot answer pings either, and is taken for lost after two minutes. So a little is taken
 * now and then. Milliseconds.
 */
const BREATH_MS = 60_000;

export class Brake {
  readonly #act: (isHeld: boolean) => void;
  readonly #clock: Clock;
  /** While the peer is held: when it may send a little. */
  #breath: Timer | null = null;

  /** @param act keeps the peer from sending more, and lets it go on. */
  constructor(act: (isHeld: boolean) => void, clock: Clock) {
    this.#act = act;
    this.#clock = clock;
  }

  /** Called whenever too much has come; the peer is held from then on. */
  hold(): void {
    if (this.#breath !== null) return;
    this.#act(true);
    this.#breath = this.#clock.timer(BREATH_MS, () => this.letGo());
  }

  letGo(): void {
    if (this.#breath === null) return;
    this.#breath.cancel();
    this.#breath = null;
    this.#act(false);
  }
}
