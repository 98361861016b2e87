/** Gives away devices in whole units: CPUs, bytes of memory, GPUs. Pure; amounts are millionths. */
import type { AllocationRule } from '../../accelerator/family.ts';
import type { Candidate } from './affinity.ts';

const ONE = 1_000_000n;
type Given = Map<string, bigint>;

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/** What is left of a candidate beside what this kernel is given already. */
const leftOf = ({ device, used }: Candidate, given: Given): bigint =>
  device.amount - used - (given.get(device.deviceId) ?? 0n);

function give(given: Given, { device }: Candidate, amount: bigint): void {
  if (amount > 0n) given.set(device.deviceId, (given.get(device.deviceId) ?? 0n) + amount);
}

/** Takes all of the first, then of the next. @returns what could not be placed. */
function fill(candidates: readonly Candidate[], wanted: bigint, given: Given): bigint {
  let rest = wanted;
  for (const candidate of candidates) {
    const left = leftOf(candidate, given);
    if (rest <= 0n || left <= 0n) continue;
    const taken = least(rest, left);
    give(given, candidate, taken);
    rest -= taken;
  }
  return rest;
}

/** Spreads whole units over those with room, what does not divide going to the front. */
function spread(candidates: readonly Candidate[], wanted: bigint, given: Given): bigint {
  let units = wanted / ONE;
  while (units > 0n) {
    const open = candidates.filter((candidate) => leftOf(candidate, given) >= ONE);
    if (open.length === 0) break;
    const base = units / BigInt(open.length);
    const extra = Number(units % BigInt(open.length));
    for (const [index, candidate] of open.entries()) {
      const share = base + (index < extra ? 1n : 0n);
      const taken = least(share, leftOf(candidate, given) / ONE);
      give(given, candidate, taken * ONE);
      units -= taken;
    }
  }
  return units * ONE + (wanted % ONE);
}

/** A part of a unit goes where one is begun already, if it fits there. */
function placeRest(candidates: readonly Candidate[], rest: bigint, given: Given): bigint {
  const fitting = candidates.filter((candidate) => leftOf(candidate, given) >= rest);
  const [tightest] = fitting.toSorted((a, b) => Number(leftOf(a, given) - leftOf(b, given)));
  if (!tightest) return fill(candidates, rest, given);
  give(given, tightest, rest);
  return 0n;
}

/**
 * @param candidates in the order of preference; together they have what is wanted.
 * @returns device id → amount; sums up to `wanted`.
 */
export function allocateDiscrete(
  rule: Extract<AllocationRule, { kind: 'discrete' }>,
  candidates: readonly Candidate[],
  wanted: bigint,
): ReadonlyMap<string, bigint> {
  const given: Given = new Map();
  if (rule.strategy === 'fill') {
    fill(candidates, wanted, given);
    return given;
  }
  const rest = spread(candidates, wanted, given);
  if (rest > 0n) placeRest(candidates, rest, given);
  return given;
}
