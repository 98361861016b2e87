/** Shares and usage in the shapes of the schema. */
import * as v from 'valibot';
import { slotMapColumn } from '../db/json.ts';
import type { ResourceGroup } from '../resource-group/service.ts';
import { resourceWeight } from './calculate.ts';
import type { BucketRow, ShareRow } from './service.ts';

const DAY_SEC = 86_400;
const MS_PER_DAY = 86_400_000;

/** Amounts in slots' own units: at most six digits behind the point, no exponent. */
const decimal = (value: number): string =>
  value.toLocaleString('en-US', { useGrouping: false, maximumFractionDigits: 6 });

const entries = (amounts: Readonly<Record<string, number>>) => ({
  entries: Object.entries(amounts).map(([resourceType, amount]) => ({
    resourceType,
    quantity: decimal(amount),
  })),
});

const numbers = (column: unknown): Record<string, number> =>
  Object.fromEntries(
    Object.entries(v.parse(slotMapColumn, column)).map(([slot, text]) => [slot, Number(text)]),
  );

const mapped = (
  amounts: Readonly<Record<string, number>>,
  each: (amount: number, slot: string) => number,
) =>
  Object.fromEntries(Object.entries(amounts).map(([slot, amount]) => [slot, each(amount, slot)]));

/** Days from one to another, both included. */
const daysBetween = (first: string, last: string): number =>
  Math.round((Date.parse(last) - Date.parse(first)) / MS_PER_DAY) + 1;

/**
 * Every weight of the group and of its owner, and whether the owner has chosen it.
 * @param slots that the group has.
 */
export function weightEntries(
  slots: readonly string[],
  chosen: Readonly<Record<string, number>>,
  own: Readonly<Record<string, number>> | null,
) {
  const all = { ...chosen, ...own };
  const names = [...new Set([...slots, ...Object.keys(all)])].sort();
  return names.map((resourceType) => {
    const { weight, usesDefault } = resourceWeight(resourceType, all);
    const isDefault = own === null ? usesDefault : !Object.hasOwn(own, resourceType);
    return { resourceType, weight: decimal(weight), usesDefault: isDefault };
  });
}

export const groupSpec = ({ fairShare }: ResourceGroup, slots: readonly string[]) => ({
  halfLifeDays: fairShare.half_life_days,
  lookbackDays: fairShare.lookback_days,
  decayUnitDays: fairShare.decay_unit_days,
  defaultWeight: decimal(Number(fairShare.default_weight)),
  resourceWeights: weightEntries(slots, numbers(fairShare.resource_weights), null),
});

export const shareSpec = (
  row: ShareRow,
  { fairShare }: ResourceGroup,
  slots: readonly string[],
) => ({
  weight: decimal(Number(row.weight ?? fairShare.default_weight)),
  usesDefault: row.weight === null,
  halfLifeDays: fairShare.half_life_days,
  lookbackDays: fairShare.lookback_days,
  decayUnitDays: fairShare.decay_unit_days,
  resourceWeights: weightEntries(
    slots,
    numbers(fairShare.resource_weights),
    numbers(row.resource_weights),
  ),
});

/** @param today stands for the days of somebody for whom nothing has been calculated yet. */
export function snapshot(row: ShareRow, today: Date) {
  const day = today.toISOString().slice(0, 10);
  const lookbackStart = row.lookback_start ?? day;
  const lookbackEnd = row.lookback_end ?? day;
  const decayed = numbers(row.total_decayed_usage);
  const seconds = daysBetween(lookbackStart, lookbackEnd) * DAY_SEC;
  return {
    fairShareFactor: decimal(Number(row.fair_share_factor)),
    normalizedUsage: decimal(Number(row.normalized_usage)),
    totalDecayedUsage: entries(decayed),
    averageDailyDecayedUsage: entries(mapped(decayed, (amount) => amount / seconds)),
    lookbackStart,
    lookbackEnd,
    lastCalculatedAt: row.last_calculated_at ?? row.updated_at,
  };
}

export function bucketShape(row: BucketRow) {
  const usage = numbers(row.resource_usage);
  const capacity = numbers(row.capacity_snapshot);
  const seconds = daysBetween(row.period_start, row.period_end) * DAY_SEC;
  const average = mapped(usage, (amount) => amount / seconds);
  const known = Object.fromEntries(
    Object.entries(usage).filter(([slot]) => (capacity[slot] ?? 0) > 0),
  );
  return {
    domainName: row.domain_name,
    resourceGroupName: row.resource_group,
    metadata: {
      periodStart: row.period_start,
      periodEnd: row.period_end,
      decayUnitDays: row.decay_unit_days,
      createdAt: row.created_at,
      updatedAt: row.updated_at,
    },
    resourceUsage: entries(usage),
    capacitySnapshot: entries(capacity),
    averageDailyUsage: entries(average),
    usageCapacityRatio: entries(mapped(known, (amount, slot) => amount / (capacity[slot] ?? 1))),
  };
}
