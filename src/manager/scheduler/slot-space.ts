/**
 * Slot amounts as plain numbers, so that a decision is arithmetic on typed arrays. Each kind of slot
 * is counted in the smallest unit in which every sum over the cluster is exact in a double; what does
 * not divide is rounded so that an agent never seems to have more than it has.
 */
import type { Slots } from '../../common/slots.ts';
import type { Snapshot } from './snapshot.ts';

/** Millionths, wholes (bytes), KiB, MiB, GiB. In millionths. */
const UNITS = [1n, 1_000_000n, 1_024_000_000n, 1_048_576_000_000n, 1_073_741_824_000_000n] as const;
const LARGEST_EXACT = BigInt(Number.MAX_SAFE_INTEGER);

/** A request: the slots of which something is wanted, by index, and how much of each. */
export interface Demand {
  readonly slots: readonly number[];
  /** Beside `slots`; greater than zero. */
  readonly amounts: readonly number[];
}

function unitFor(total: bigint): bigint {
  return UNITS.find((unit) => total / unit < LARGEST_EXACT) ?? UNITS[UNITS.length - 1] ?? 1n;
}

export class SlotSpace {
  /** Slot names; a slot's index is its place here. */
  readonly names: readonly string[];
  readonly #index = new Map<string, number>();
  readonly #units: bigint[];

  constructor(snapshot: Snapshot) {
    const totals = new Map<string, bigint>();
    const add = (slots: Slots) => {
      for (const [slot, amount] of slots) totals.set(slot, (totals.get(slot) ?? 0n) + amount);
    };
    for (const agent of snapshot.agents) {
      add(agent.capacity);
      add(agent.free);
    }
    for (const held of snapshot.occupancy.domains.values()) add(held);
    for (const session of snapshot.pending) {
      for (const kernel of session.kernels) {
        for (const slot of kernel.requested.keys()) if (!totals.has(slot)) totals.set(slot, 0n);
      }
    }
    this.names = [...totals.keys()].sort();
    this.#units = this.names.map((name, index) => {
      this.#index.set(name, index);
      return unitFor(totals.get(name) ?? 0n);
    });
  }

  get size(): number {
    return this.names.length;
  }

  indexOf(name: string): number | undefined {
    return this.#index.get(name);
  }

  /** The amount in the slot's unit, rounded up. */
  up(slot: number, amount: bigint): number {
    const unit = this.#units[slot] ?? 1n;
    return Number((amount + unit - 1n) / unit);
  }

  /** The amount in the slot's unit, rounded down. */
  down(slot: number, amount: bigint): number {
    return Number(amount / (this.#units[slot] ?? 1n));
  }

  /** Back to millionths. */
  amount(slot: number, count: number): bigint {
    return BigInt(count) * (this.#units[slot] ?? 1n);
  }

  /** A vector over all slots, rounded up; slots that nobody has or wants are left out. */
  vector(held: Slots): Float64Array {
    const out = new Float64Array(this.size);
    for (const [name, amount] of held) {
      const slot = this.#index.get(name);
      if (slot !== undefined) out[slot] = this.up(slot, amount);
    }
    return out;
  }

  /** What holders of `held` give back together, rounded down. */
  room(held: readonly Slots[]): Demand {
    const sums = new Map<string, bigint>();
    for (const slots of held) {
      for (const [name, amount] of slots) sums.set(name, (sums.get(name) ?? 0n) + amount);
    }
    const parts = [...sums].flatMap(([name, amount]) => {
      const slot = this.#index.get(name);
      return slot === undefined ? [] : { slot, amount: this.down(slot, amount) };
    });
    return { slots: parts.map(({ slot }) => slot), amounts: parts.map(({ amount }) => amount) };
  }

  demand(request: Slots): Demand {
    const slots: number[] = [];
    const amounts: number[] = [];
    for (const [name, amount] of request) {
      const slot = this.#index.get(name);
      if (slot === undefined || amount <= 0n) continue;
      slots.push(slot);
      amounts.push(this.up(slot, amount));
    }
    return { slots, amounts };
  }
}

/** The sum of several demands. */
export function sumDemands(demands: readonly Demand[]): Demand {
  const [first] = demands;
  if (first && demands.length === 1) return first;
  const sums = new Map<number, number>();
  for (const { slots, amounts } of demands) {
    slots.forEach((slot, at) => {
      sums.set(slot, (sums.get(slot) ?? 0) + (amounts[at] ?? 0));
    });
  }
  return { slots: [...sums.keys()], amounts: [...sums.values()] };
}
