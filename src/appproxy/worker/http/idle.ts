/** Connections to an application that wait for the next request. */
import type { Clock, Timer } from '../../../common/clock.ts';
import type { RouteInfo } from '../../shared/protocol.ts';
import type { Wire } from '../wire.ts';

/** Servers close idle connections after five seconds or more; ours go first. Milliseconds. */
const MAX_IDLE_MS = 4_000;
const MAX_PER_CIRCUIT = 128;

interface IdleConnection {
  readonly wire: Wire;
  readonly place: string;
  readonly sinceMs: number;
}

const placeOf = (route: RouteInfo): string => `${route.kernel_host}:${route.kernel_port}`;

export class IdleConnections {
  readonly #clock: Clock;
  /** The one that waits longest comes first. */
  #waiting: IdleConnection[] = [];
  #sweep: Timer | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The most recently used connection to this place, or null. */
  take(route: RouteInfo): Wire | null {
    const place = placeOf(route);
    const index = this.#waiting.findLastIndex((one) => one.place === place && one.wire.isOpen);
    if (index === -1) return null;
    const [found] = this.#waiting.splice(index, 1);
    return found?.wire ?? null;
  }

  give(route: RouteInfo, wire: Wire): void {
    if (this.#waiting.length >= MAX_PER_CIRCUIT) {
      wire.close();
      return;
    }
    const forget = () => {
      const index = this.#waiting.findIndex((one) => one.wire === wire);
      if (index !== -1) this.#waiting.splice(index, 1);
    };
    const endNow = () => {
      forget();
      wire.destroy();
    };
    // An answer that nobody asked for must not become the answer of the next request.
    wire.owner = { received: endNow, ended: endNow, drained() {}, closed: forget };
    wire.resume();
    this.#waiting.push({ wire, place: placeOf(route), sinceMs: this.#clock.monotonicMs() });
    this.#sweep ??= this.#clock.timer(MAX_IDLE_MS, () => this.#closeOld());
  }

  #closeOld(): void {
    this.#sweep = null;
    const oldestMs = this.#clock.monotonicMs() - MAX_IDLE_MS;
    const old = this.#waiting.filter(({ sinceMs }) => sinceMs <= oldestMs);
    this.#waiting = this.#waiting.filter(({ sinceMs }) => sinceMs > oldestMs);
    for (const { wire } of old) wire.close();
    const [oldest] = this.#waiting;
    if (oldest) {
      this.#sweep = this.#clock.timer(oldest.sinceMs - oldestMs, () => this.#closeOld());
    }
  }

  closeAll(): void {
    this.#sweep?.cancel();
    this.#sweep = null;
    for (const { wire } of this.#waiting.splice(0)) wire.close();
  }
}
