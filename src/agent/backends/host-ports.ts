/** Gives host ports to services of kernels. A freed port rests a while before it is used again. */
import type { Clock } from '../../common/clock.ts';
import { BackendError } from '../../common/errors.ts';
import { probePort } from '../../common/ports.ts';
import type { Random } from '../../common/random.ts';

export interface HostPortOptions {
  /** Both ends included. */
  range: readonly [number, number];
  cooldownMs: number;
  bindHost: string;
  clock: Clock;
  /** Begins anywhere in the range, as suits agents that share a host; else at its start. */
  random?: Random;
  /** Whether a port can be bound; by default it is tried. */
  isFree?: (port: number, host: string) => Promise<boolean>;
}

function firstOf({ range: [first, last], random }: HostPortOptions): number {
  const [high = 0, low = 0] = random?.bytes(2) ?? [];
  return first + ((high * 256 + low) % (last - first + 1));
}

const tryBinding = async (port: number, host: string): Promise<boolean> =>
  (await probePort(port, host)) !== null;

export class HostPorts {
  readonly #options: HostPortOptions;
  /** Port → the kernel that holds it. */
  readonly #held = new Map<number, string>();
  /** Port → when it may be used again, by the monotonic clock. */
  readonly #resting = new Map<number, number>();
  #next: number;

  constructor(options: HostPortOptions) {
    this.#options = options;
    this.#next = firstOf(options);
  }

  /**
   * Takes `count` ports for a kernel.
   * @throws BackendError InstanceNotAvailable when too few are free; none is taken then.
   */
  async take(kernelId: string, count: number): Promise<number[]> {
    const [first, last] = this.#options.range;
    const isFree = this.#options.isFree ?? tryBinding;
    const taken: number[] = [];
    for (let tried = 0; taken.length < count && tried <= last - first; tried += 1) {
      const port = this.#next;
      this.#next = port >= last ? first : port + 1;
      if (!this.#isUsable(port)) continue;
      // Held before it is probed, so that two kernels started together don't get the same.
      this.#held.set(port, kernelId);
      if (await isFree(port, this.#options.bindHost)) taken.push(port);
      else this.#held.delete(port);
    }
    if (taken.length === count) return taken;
    for (const port of taken) this.#held.delete(port);
    throw new BackendError(
      'InstanceNotAvailable',
      `The session needs ${count} host ports, but only ${taken.length} are free in ${first}-${last}. ` +
        'Widen port-range in the [container] section of agent.toml.',
    );
  }

  /** Notes what a kernel of an earlier agent holds. */
  restore(kernelId: string, ports: readonly number[]): void {
    for (const port of ports) this.#held.set(port, kernelId);
  }

  release(kernelId: string): void {
    const until = this.#options.clock.monotonicMs() + this.#options.cooldownMs;
    for (const [port, holder] of this.#held) {
      if (holder !== kernelId) continue;
      this.#held.delete(port);
      this.#resting.set(port, until);
    }
  }

  #isUsable(port: number): boolean {
    if (this.#held.has(port)) return false;
    const until = this.#resting.get(port);
    if (until === undefined) return true;
    if (until > this.#options.clock.monotonicMs()) return false;
    this.#resting.delete(port);
    return true;
  }
}
