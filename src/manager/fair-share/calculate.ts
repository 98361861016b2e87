/**
 * Fair shares: how much of a resource group somebody has used lately, weighed against what is due to
 * them. A pure function of the days' usage. Usage is in slot-seconds, so that one core for a day and
 * twenty-four cores for an hour are the same.
 */

/** Slot name → amount × seconds. */
export type SlotSeconds = Readonly<Record<string, number>>;

export interface DayUsage {
  /** Whole days before today; 0 is today. */
  readonly ageDays: number;
  readonly usage: SlotSeconds;
}

export interface ShareRules {
  readonly halfLifeDays: number;
  readonly lookbackDays: number;
  /** What is due, relative to others. */
  readonly weight: number;
  /** Slot name → how much its usage counts. */
  readonly resourceWeights: Readonly<Record<string, number>>;
}

export interface Share {
  /** The usage of the days that count, older days counting less. */
  readonly decayedUsage: Record<string, number>;
  /** Decayed usage as a part of what the group could have given in all these days. */
  readonly normalizedUsage: number;
  /** From 0 to 1; who has used less of what is due comes first. */
  readonly factor: number;
}

const DAY_SEC = 86_400;
/** Beyond this the factor is as good as 0. */
const MAX_EXPONENT = 10;
/** Weights of slots that neither the owner nor the group sets. */
const DEFAULT_RESOURCE_WEIGHTS: ReadonlyMap<string, number> = new Map([
  ['cpu', 1],
  ['mem', 0.001],
  ['cuda.device', 10],
  ['cuda.shares', 10],
]);

/** The weight of a slot's usage, and whether it is nobody's choice. */
export function resourceWeight(
  slot: string,
  chosen: Readonly<Record<string, number>>,
): { readonly weight: number; readonly usesDefault: boolean } {
  const weight = Object.hasOwn(chosen, slot) ? chosen[slot] : undefined;
  return weight === undefined
    ? { weight: DEFAULT_RESOURCE_WEIGHTS.get(slot) ?? 1, usesDefault: true }
    : { weight, usesDefault: false };
}

const clamp = (value: number, low: number, high: number): number =>
  Math.min(high, Math.max(low, value));

/**
 * @param capacity what the group has of each slot. Slots that it does not have count for nothing.
 */
export function fairShare(
  days: readonly DayUsage[],
  capacity: Readonly<Record<string, number>>,
  rules: ShareRules,
): Share {
  const decayedUsage: Record<string, number> = {};
  for (const { ageDays, usage } of days) {
    if (ageDays < 0 || ageDays >= rules.lookbackDays) continue;
    const part = 2 ** (-ageDays / rules.halfLifeDays);
    for (const [slot, amount] of Object.entries(usage)) {
      decayedUsage[slot] = (decayedUsage[slot] ?? 0) + amount * part;
    }
  }
  let weighted = 0;
  let weights = 0;
  for (const [slot, amount] of Object.entries(capacity)) {
    if (amount <= 0) continue;
    const { weight } = resourceWeight(slot, rules.resourceWeights);
    const available = amount * rules.lookbackDays * DAY_SEC;
    weighted += weight * ((decayedUsage[slot] ?? 0) / available);
    weights += weight;
  }
  const normalizedUsage = weights === 0 ? 0 : weighted / weights;
  const exponent = rules.weight > 0 ? normalizedUsage / rules.weight : MAX_EXPONENT;
  const factor = clamp(2 ** -clamp(exponent, -MAX_EXPONENT, MAX_EXPONENT), 0, 1);
  return { decayedUsage, normalizedUsage, factor };
}
