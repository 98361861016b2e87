/**
 * Gives away shares of devices, in multiples of a smallest share (the quantum). Pure. Inside, amounts
 * are counted in quanta, so nothing is ever rounded away.
 */
import type { AllocationRule } from '../../accelerator/family.ts';
import type { Candidate } from './affinity.ts';

type FractionRule = Extract<AllocationRule, { kind: 'fraction' }>;

interface Room {
  readonly id: string;
  /** Whole quanta that are free. */
  readonly free: number;
}

/** Device id → quanta. */
type Shares = Map<string, number>;

const sum = (numbers: Iterable<number>): number => {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
};

const byFree = (a: Room, b: Room): number => b.free - a.free;

/** Levels the devices up to `wanted` in total; those with little room are used up. */
function levelled(rooms: readonly Room[], wanted: number): Shares {
  const shares: Shares = new Map();
  let rest = wanted;
  const tightestFirst = rooms.toSorted((a, b) => a.free - b.free);
  for (const [index, { id, free }] of tightestFirst.entries()) {
    // What does not divide goes to the last, which have the most room.
    const share = Math.min(free, Math.floor(rest / (tightestFirst.length - index)));
    if (share > 0) shares.set(id, share);
    rest -= share;
  }
  return shares;
}

/** How much the shares differ from one to the next; 0 is perfectly even. */
function unevenness(shares: Shares): number {
  const sorted = [...shares.values()].sort((a, b) => a - b);
  return sum(sorted.slice(1).map((share, index) => share - (sorted[index] ?? share)));
}

interface Choice {
  readonly shares: Shares;
  readonly unevenness: number;
  readonly devices: number;
  /** Quanta that stay free on the devices used: few are good, many are of no use to others. */
  readonly leftover: number;
}

const isBetter = (a: Choice, b: Choice): boolean =>
  a.unevenness !== b.unevenness
    ? a.unevenness < b.unevenness
    : a.devices !== b.devices
      ? a.devices < b.devices
      : a.leftover < b.leftover;

/** Over as few devices as make it as even as can be; neighbours in the order of free room. */
function acrossDevices(rooms: readonly Room[], wanted: number): Shares {
  const sorted = rooms.toSorted(byFree);
  let best: Choice | null = null;
  for (let count = 2; count <= sorted.length; count += 1) {
    for (let first = 0; first + count <= sorted.length; first += 1) {
      const window = sorted.slice(first, first + count);
      const free = sum(window.map((room) => room.free));
      if (free < wanted) break;
      const shares = levelled(window, wanted);
      const choice = {
        shares,
        unevenness: unevenness(shares),
        devices: shares.size,
        leftover: free - wanted,
      };
      if (best === null || isBetter(choice, best)) best = choice;
    }
    // One quantum apart is as even as it gets when the shares do not divide.
    if (best !== null && best.unevenness <= (wanted % best.devices === 0 ? 0 : 1)) break;
  }
  return best?.shares ?? new Map();
}

/** The one device whose room is just enough; among equals the one considered first. */
const tightest = (rooms: readonly Room[], wanted: number): Room | undefined =>
  rooms.filter(({ free }) => free >= wanted).toSorted((a, b) => a.free - b.free)[0];

function evenly(rooms: readonly Room[], near: readonly Room[], wanted: number): Shares {
  const one = tightest(near, wanted) ?? tightest(rooms, wanted);
  if (one) return new Map([[one.id, wanted]]);
  const isEnough = sum(near.map(({ free }) => free)) >= wanted;
  return acrossDevices(isEnough ? near : rooms, wanted);
}

function fill(rooms: readonly Room[], wanted: number): Shares {
  const shares: Shares = new Map();
  let rest = wanted;
  for (const { id, free } of rooms) {
    const taken = Math.min(rest, free);
    if (taken > 0) shares.set(id, taken);
    rest -= taken;
  }
  return shares;
}

/** Equal shares, one quantum apart at most, on as few devices as have the room; null: not possible. */
function unfragmented(rooms: readonly Room[], largest: number, wanted: number): Shares | null {
  const fewest = Math.ceil(wanted / Math.max(1, largest));
  // What fits a device is not split.
  const most = wanted <= largest ? 1 : rooms.length;
  const sorted = rooms.toSorted(byFree);
  for (let count = fewest; count <= Math.min(most, sorted.length); count += 1) {
    const low = Math.floor(wanted / count);
    const extra = wanted - low * count;
    const chosen = sorted.slice(0, count);
    const fits = chosen.every(({ free }, index) => free >= low + (index < extra ? 1 : 0));
    if (!fits) continue;
    const [one] = count === 1 ? [tightest(rooms, wanted)] : [];
    if (one) return new Map([[one.id, wanted]]);
    return new Map(chosen.map(({ id }, index) => [id, low + (index < extra ? 1 : 0)]));
  }
  return null;
}

/**
 * @param candidates in the order of preference; together they have what is wanted.
 * @param options.near how many of the first candidates are near to what the kernel has already.
 * @param options.mayFragment false: on one device if one could hold it, else in equal parts.
 * @returns device id → amount in millionths, summing up to `wanted` rounded down to the quantum; null
 *   when it would have to be fragmented.
 */
export function allocateFraction(
  rule: FractionRule,
  candidates: readonly Candidate[],
  wanted: bigint,
  options: { readonly near: number; readonly mayFragment: boolean },
): ReadonlyMap<string, bigint> | null {
  const { quantum, strategy } = rule;
  const rooms = candidates.map(({ device, used }) => ({
    id: device.deviceId,
    free: used < device.amount ? Number((device.amount - used) / quantum) : 0,
  }));
  const quanta = Number(wanted / quantum);
  const open = rooms.filter(({ free }) => free > 0);
  const near = rooms.slice(0, options.near).filter(({ free }) => free > 0);
  const largest = Math.max(...candidates.map(({ device }) => Number(device.amount / quantum)), 0);
  const shares = options.mayFragment
    ? strategy === 'fill'
      ? fill(open, quanta)
      : evenly(open, near, quanta)
    : unfragmented(open, largest, quanta);
  return shares && new Map([...shares].map(([id, share]) => [id, BigInt(share) * quantum]));
}
