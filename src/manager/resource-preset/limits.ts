/** Amounts that may be unlimited, slot by slot. Pure. */
import { formatAmount, parseSlots, type SlotMap, type Slots } from '../../common/slots.ts';

/** Slot name → millionths; null means unlimited. Names every known slot. */
export type Limits = ReadonlyMap<string, bigint | null>;

/**
 * A limit for each known slot.
 * @param stored decimal strings; `Infinity`, as old rows have it, means unlimited.
 * @param unnamed what a slot that is left out means.
 */
export function toLimits(
  stored: SlotMap,
  known: readonly string[],
  unnamed: 'LIMITED' | 'UNLIMITED',
): Limits {
  const finite = Object.entries(stored).filter(([, text]) => text.toLowerCase() !== 'infinity');
  const amounts = parseSlots(Object.fromEntries(finite));
  return new Map(
    known.map((slot) => {
      const free = stored[slot] !== undefined || unnamed === 'UNLIMITED' ? null : 0n;
      return [slot, amounts.get(slot) ?? free];
    }),
  );
}

/** What a limit leaves; negative when more is held than the limit allows. */
export const remaining = (limits: Limits, held: Slots): Limits =>
  new Map(
    [...limits].map(([slot, limit]) => [
      slot,
      limit === null ? null : limit - (held.get(slot) ?? 0n),
    ]),
  );

const smaller = (a: bigint | null, b: bigint | null): bigint | null => {
  if (a === null) return b;
  return b === null || a < b ? a : b;
};

/** Slot by slot the smaller amount of all that name it. */
export const smallest = (first: Limits, ...others: readonly Limits[]): Limits =>
  new Map(
    [...first].map(([slot, amount]) => [
      slot,
      others.reduce((least, other) => smaller(least, other.get(slot) ?? null), amount),
    ]),
  );

/** Whether the limits leave room for every slot of a request. */
export const leaveRoom = (limits: Limits, request: Slots): boolean =>
  [...request].every(([slot, amount]) => {
    const limit = limits.get(slot);
    return limit === undefined || limit === null || amount <= limit;
  });

/** Decimal strings; `Infinity` for unlimited. */
export const formatLimits = (limits: Limits): SlotMap =>
  Object.fromEntries(
    [...limits].map(([slot, amount]) => [
      slot,
      amount === null ? 'Infinity' : formatAmount(amount),
    ]),
  );

/** Exactly the known slots, with zero for those not held. */
export const onlyKnown = (slots: Slots, known: readonly string[]): Limits =>
  new Map(known.map((slot) => [slot, slots.get(slot) ?? 0n]));
