/** A circuit that this worker serves: who may use it, where it leads, and how much it is used. */
import { AddressBlocks } from '../../common/address-blocks.ts';
import type { Clock } from '../../common/clock.ts';
import { errorMessage } from '../../common/errors.ts';
import type { Random } from '../../common/random.ts';
import type { CircuitInfo, RouteInfo } from '../shared/protocol.ts';
import { IdleConnections } from './http/idle.ts';
import { connectWire, type Wire } from './wire.ts';

const CONNECT_TIMEOUT_MS = 10_000;
/** A route that refused so many connections in a row is left out for a while. */
const MAX_FAILURES = 3;
const LEFT_OUT_MS = 10_000;

interface RouteHealth {
  failures: number;
  /** On the monotonic clock. */
  retryMs: number;
}

const routeKey = (route: RouteInfo): string =>
  `${route.route_id} ${route.kernel_host}:${route.kernel_port}`;

export class Circuit {
  #info: CircuitInfo;
  #allowed: AddressBlocks | null;
  readonly clock: Clock;
  readonly #random: Random;
  readonly #health = new Map<string, RouteHealth>();
  readonly #wires = new Set<Wire>();
  readonly idle: IdleConnections;
  requests = 0;
  /** Connections that count as use for as long as they are open: WebSockets and TCP. */
  held = 0;
  /** Milliseconds of the epoch; 0 before the first use. */
  #lastAccessMs = 0;

  constructor(info: CircuitInfo, clock: Clock, random: Random) {
    this.#info = info;
    this.#allowed = Circuit.#blocksOf(info);
    this.clock = clock;
    this.#random = random;
    this.idle = new IdleConnections(clock);
  }

  static #blocksOf({ allowed_client_ips }: CircuitInfo): AddressBlocks | null {
    if (allowed_client_ips === null || allowed_client_ips.trim() === '') return null;
    return new AddressBlocks(allowed_client_ips.split(',').map((block) => block.trim()));
  }

  get info(): CircuitInfo {
    return this.#info;
  }

  /**
   * Takes up what changed, such as other routes. Open connections stay, unless no kernel is at the
   * host of one any more: those lead nowhere, and may not notice it by themselves for long.
   */
  update(info: CircuitInfo): void {
    const hosts = new Set(info.route_info.map(({ kernel_host }) => kernel_host));
    const hasMoved = !this.#info.route_info.some(({ kernel_host }) => hosts.has(kernel_host));
    this.#info = info;
    this.#allowed = Circuit.#blocksOf(info);
    const routes = new Set(info.route_info.map(routeKey));
    for (const key of this.#health.keys()) if (!routes.has(key)) this.#health.delete(key);
    this.idle.closeAll();
    if (hasMoved && hosts.size > 0) this.#breakOff();
  }

  admitsAddress(address: string): boolean {
    return this.#allowed?.has(address) ?? true;
  }

  /** Where the next connection goes: by weight among what works; null when nothing takes traffic. */
  chooseRoute(): RouteInfo | null {
    const active = this.#info.route_info.filter(({ traffic_ratio }) => traffic_ratio > 0);
    const [only] = active;
    if (active.length <= 1) return only ?? null;
    const nowMs = this.clock.monotonicMs();
    const healthy = active.filter((route) => {
      const health = this.#health.get(routeKey(route));
      return !health || health.failures < MAX_FAILURES || health.retryMs <= nowMs;
    });
    // When none is known to work, any is worth a try.
    const candidates = healthy.length > 0 ? healthy : active;
    const total = candidates.reduce((sum, { traffic_ratio }) => sum + traffic_ratio, 0);
    const [high = 0, low = 0] = this.#random.bytes(2);
    let point = ((high * 256 + low) / 65_536) * total;
    for (const route of candidates) {
      point -= route.traffic_ratio;
      if (point < 0) return route;
    }
    return candidates.at(-1) ?? null;
  }

  /**
   * Connects to where a route leads, and notes whether that worked.
   * @throws Error saying why the application does not answer.
   */
  async connect(route: RouteInfo): Promise<Wire> {
    try {
      const wire = await connectWire(route.kernel_host, route.kernel_port, {
        clock: this.clock,
        timeoutMs: CONNECT_TIMEOUT_MS,
      });
      if (this.#health.size > 0) this.#health.delete(routeKey(route));
      return wire;
    } catch (error) {
      this.#routeFailed(route);
      throw new Error(`The application does not answer (${errorMessage(error)}).`, {
        cause: error,
      });
    }
  }

  #routeFailed(route: RouteInfo): void {
    const failures = (this.#health.get(routeKey(route))?.failures ?? 0) + 1;
    const retryMs = this.clock.monotonicMs() + LEFT_OUT_MS;
    this.#health.set(routeKey(route), { failures, retryMs });
  }

  used(): void {
    this.requests += 1;
    this.#lastAccessMs = this.clock.now().getTime();
  }

  get lastAccessMs(): number {
    if (this.held > 0) this.#lastAccessMs = this.clock.now().getTime();
    return this.#lastAccessMs;
  }

  /** A client's connection that ends with the circuit. */
  opened(wire: Wire): void {
    this.#wires.add(wire);
  }

  closed(wire: Wire): void {
    this.#wires.delete(wire);
  }

  get openConnections(): number {
    return this.#wires.size;
  }

  /** Breaks off every connection. */
  close(): void {
    this.idle.closeAll();
    this.#breakOff();
  }

  #breakOff(): void {
    for (const wire of this.#wires) wire.destroy();
  }
}
