/**
 * Resource slots: amounts of CPU, memory and accelerators by slot name.
 *
 * On the wire and in the database an amount is a decimal string (memory in bytes). Arithmetic is
 * exact: an amount is held as an integer number of millionths, the precision of numeric(24,6).
 */
import { parseSize } from './sizes.ts';

/** Slot name → decimal string, as stored and sent: `{"cpu":"1","mem":"1073741824"}`. */
export type SlotMap = Record<string, string>;
/** Slot name → millionths. A missing slot counts as zero. */
export type Slots = ReadonlyMap<string, bigint>;

/** How a slot is counted; `resource_slot_types.slot_type`. */
export type SlotType = 'count' | 'bytes' | 'unique';

const SCALE = 1_000_000n;
const DIGITS = 6;

/** Parses one amount (`"1"`, `"0.5"`, `2`, `"4g"`). @returns millionths, or null if malformed. */
export function parseAmount(value: string | number): bigint | null {
  const text = typeof value === 'number' ? String(value) : value.trim();
  const match = /^(\d+)(?:\.(\d+))?$/.exec(text);
  if (match) {
    const fraction = (match[2] ?? '').slice(0, DIGITS).padEnd(DIGITS, '0');
    return BigInt(match[1] ?? '0') * SCALE + BigInt(fraction);
  }
  const bytes = parseSize(text);
  return bytes === null ? null : bytes * SCALE;
}

/** Plain decimal notation with trailing zeros trimmed. */
export function formatAmount(amount: bigint): string {
  const sign = amount < 0n ? '-' : '';
  const absolute = amount < 0n ? -amount : amount;
  const fraction = (absolute % SCALE).toString().padStart(DIGITS, '0').replace(/0+$/, '');
  return `${sign}${absolute / SCALE}${fraction ? `.${fraction}` : ''}`;
}

/**
 * Parses a slot map.
 * @throws RangeError naming the slot whose amount is not a non-negative number or size.
 */
export function parseSlots(map: Readonly<Record<string, string | number | null>>): Slots {
  const out = new Map<string, bigint>();
  for (const [name, value] of Object.entries(map)) {
    if (value === null) continue;
    const amount = parseAmount(value);
    if (amount === null) throw new RangeError(`${name}: '${value}' is not an amount`);
    out.set(name, amount);
  }
  return out;
}

export function formatSlots(slots: Slots): SlotMap {
  const out: SlotMap = {};
  for (const [name, amount] of slots) out[name] = formatAmount(amount);
  return out;
}

function combine(a: Slots, b: Slots, op: (x: bigint, y: bigint) => bigint): Slots {
  const out = new Map<string, bigint>();
  for (const name of new Set([...a.keys(), ...b.keys()])) {
    out.set(name, op(a.get(name) ?? 0n, b.get(name) ?? 0n));
  }
  return out;
}

export const addSlots = (a: Slots, b: Slots): Slots => combine(a, b, (x, y) => x + y);
export const subtractSlots = (a: Slots, b: Slots): Slots => combine(a, b, (x, y) => x - y);

/** The slots of which `a` asks more than `b` has, with the missing amount. Empty: `a` fits in `b`. */
export function missingSlots(a: Slots, b: Slots): Slots {
  const out = new Map<string, bigint>();
  for (const [name, amount] of a) {
    const have = b.get(name) ?? 0n;
    if (amount > have) out.set(name, amount - have);
  }
  return out;
}

/** Whether every slot of `a` is at most that of `b`; missing slots are zero on both sides. */
export const slotsFit = (a: Slots, b: Slots): boolean => missingSlots(a, b).size === 0;
