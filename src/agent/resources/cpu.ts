/** Which logical CPUs each kernel may use. Pure bookkeeping; amounts are millionths of a CPU. */
import { BackendError } from '../../common/errors.ts';
import { formatAmount } from '../../common/slots.ts';

const ONE = 1_000_000n;

/** CPU id → millionths of it given away. */
export type CpuLoad = ReadonlyMap<number, bigint>;

/** Parses a Linux CPU list such as `0-3,8`. */
export function parseCpuList(text: string): number[] {
  return text
    .trim()
    .split(',')
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [first = Number.NaN, last = first] = part.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
}

/**
 * Picks CPUs for an amount: as many as it rounds up to, those with the least load first. Each takes
 * an equal share of the amount.
 * @throws BackendError InstanceNotAvailable when there are too few CPUs or too little is left.
 */
export function allocateCpus(load: CpuLoad, amount: bigint): number[] {
  if (amount <= 0n) return [];
  const count = Number((amount + ONE - 1n) / ONE);
  const free = [...load.values()].reduce((sum, used) => sum + (used < ONE ? ONE - used : 0n), 0n);
  if (amount > free) {
    throw new BackendError(
      'InstanceNotAvailable',
      `The kernel asks for ${formatAmount(amount)} CPUs, but only ${formatAmount(free)} of ` +
        `${load.size} are free on this agent.`,
    );
  }
  return [...load]
    .sort(([a, usedA], [b, usedB]) => (usedA === usedB ? a - b : usedA < usedB ? -1 : 1))
    .slice(0, count)
    .map(([id]) => id)
    .sort((a, b) => a - b);
}

/** Keeps the load of an agent's CPUs by kernel. */
export class CpuAllocator {
  readonly #ids: readonly number[];
  readonly #byKernel = new Map<string, { ids: readonly number[]; amount: bigint }>();
  #released = Promise.withResolvers<void>();

  /** @param ids the CPUs that kernels may use. */
  constructor(ids: readonly number[]) {
    this.#ids = ids;
  }

  get load(): CpuLoad {
    const load = new Map<number, bigint>(this.#ids.map((id) => [id, 0n]));
    for (const { ids, amount } of this.#byKernel.values()) {
      for (const id of ids) {
        const used = load.get(id);
        if (used !== undefined) load.set(id, used + amount / BigInt(ids.length));
      }
    }
    return load;
  }

  /** Gives CPUs to a kernel. @throws BackendError InstanceNotAvailable. */
  allocate(kernelId: string, amount: bigint): number[] {
    const ids = allocateCpus(this.load, amount);
    this.#byKernel.set(kernelId, { ids, amount });
    return ids;
  }

  /** Notes what a kernel of an earlier agent holds, even if that is too much. */
  restore(kernelId: string, ids: readonly number[], amount: bigint): void {
    this.#byKernel.set(kernelId, { ids, amount });
  }

  release(kernelId: string): void {
    this.#byKernel.delete(kernelId);
    this.#released.resolve();
    this.#released = Promise.withResolvers();
  }

  /** Resolves when the next kernel gives its CPUs back. */
  nextRelease(): Promise<void> {
    return this.#released.promise;
  }
}
