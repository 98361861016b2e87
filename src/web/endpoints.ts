/** The managers behind the web server: which are up, and which one a request goes to. */
import type { Clock, Timer } from '../common/clock.ts';
import { errorMessage } from '../common/errors.ts';
import type { Logger } from '../common/logger.ts';
import type { Random } from '../common/random.ts';
import { WebProblem } from './problems.ts';

const PROBE_INTERVAL_MS = 10_000;
const PROBE_TIMEOUT_MS = 2_000;
/** So many failed probes in a row take a manager out; one good probe brings it back. */
const MAX_FAILURES = 3;

export type BalancingPolicy = 'round_robin' | 'random' | 'least_connections';

/** One manager. `url` has no trailing slash. */
export interface Endpoint {
  readonly url: string;
}

interface State extends Endpoint {
  failures: number;
  active: number;
}

export class EndpointPool {
  readonly #states: readonly State[];
  readonly #policy: BalancingPolicy;
  readonly #deps: { clock: Clock; random: Random; log: Logger };
  #turn = 0;
  #timer: Timer | null = null;
  #isStopped = false;

  /** @param urls at least one. */
  constructor(
    urls: readonly string[],
    policy: BalancingPolicy,
    deps: { clock: Clock; random: Random; log: Logger },
  ) {
    this.#states = urls.map((url) => ({ url: url.replace(/\/+$/, ''), failures: 0, active: 0 }));
    this.#policy = policy;
    this.#deps = deps;
  }

  /** Probes all managers now and every ten seconds, until `stop`. */
  start(): void {
    void this.probe().finally(() => {
      if (this.#isStopped) return;
      this.#timer = this.#deps.clock.timer(PROBE_INTERVAL_MS, () => this.start());
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  /** Asks every manager once how it is. */
  async probe(): Promise<void> {
    await Promise.all(this.#states.map((state) => this.#probeOne(state)));
  }

  async #probeOne(state: State): Promise<void> {
    let problem: string | null = null;
    try {
      const response = await fetch(`${state.url}/health/readyz`, {
        signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
        redirect: 'manual',
      });
      await response.body?.cancel();
      if (response.status >= 500) problem = `it answered ${response.status}`;
    } catch (error) {
      problem = errorMessage(error);
    }
    const wasOut = isOut(state);
    state.failures = problem === null ? 0 : Math.min(MAX_FAILURES, state.failures + 1);
    if (wasOut === isOut(state)) return;
    const { log } = this.#deps;
    if (problem === null) log.info('a manager is back', { url: state.url });
    else log.warn('a manager is not available', { url: state.url, because: problem });
  }

  /** The first manager, which takes sign-ins. */
  first(): Endpoint {
    const [state] = this.#states;
    if (!state) throw new Error('a pool has at least one endpoint');
    return state;
  }

  get healthyCount(): number {
    return this.#states.filter((state) => !isOut(state)).length;
  }

  /**
   * The manager for the next request. Call `release` when the request is over.
   * @param stickyKey requests with the same key go to the same manager while it is up.
   * @throws WebProblem webserver/manager-connection-unavailable when none is up.
   */
  acquire(stickyKey: string | null = null): { endpoint: Endpoint; release(): void } {
    const up = this.#states.filter((state) => !isOut(state));
    const state = up[this.#choose(up, stickyKey)];
    if (!state) {
      throw new WebProblem(
        'webserver/manager-connection-unavailable',
        'No manager is available at present. Try again in a moment.',
      );
    }
    state.active += 1;
    let isReleased = false;
    const release = () => {
      if (isReleased) return;
      isReleased = true;
      state.active -= 1;
    };
    return { endpoint: state, release };
  }

  #choose(up: readonly State[], stickyKey: string | null): number {
    if (up.length <= 1) return 0;
    if (stickyKey !== null) return Number(Bun.hash(stickyKey) % BigInt(up.length));
    switch (this.#policy) {
      case 'random':
        return (this.#deps.random.bytes(1)[0] ?? 0) % up.length;
      case 'least_connections':
        return up.indexOf(
          up.reduce((least, state) => (state.active < least.active ? state : least)),
        );
      case 'round_robin':
        this.#turn = (this.#turn + 1) % up.length;
        return this.#turn;
    }
  }
}

const isOut = (state: State): boolean => state.failures >= MAX_FAILURES;
