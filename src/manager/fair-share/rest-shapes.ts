/** Shares and usage as the HTTP operations tell them. */
import { isoTime } from '../../common/time.ts';
import type { ResourceGroup } from '../resource-group/service.ts';
import type { Level } from './levels.ts';
import type { BucketRow, ShareRow } from './service.ts';
import { bucketShape, groupSpec, shareSpec, snapshot } from './shapes.ts';

type Amounts = ReturnType<typeof snapshot>['totalDecayedUsage'];
type Weights = ReturnType<typeof groupSpec>['resourceWeights'];

const slotEntries = ({ entries }: Amounts) => ({
  entries: entries.map(({ resourceType, quantity }) => ({ resource_type: resourceType, quantity })),
});
const weightEntries = (weights: Weights) => ({
  entries: weights.map(({ resourceType, weight }) => ({
    resource_type: resourceType,
    quantity: weight,
  })),
});

interface Owned {
  readonly domain_name: string;
  readonly project_id: string | null;
  readonly user_uuid: string | null;
}
const ownerItem = (level: Level, row: Owned) => ({
  domain_name: row.domain_name,
  ...(level !== 'domain' && { project_id: row.project_id }),
  ...(level === 'user' && { user_uuid: row.user_uuid }),
});

/** Shares that are not kept have an id too, always the same one: that of their names. */
function shareId(level: Level, { resource_group, owner_key, project_id }: ShareRow): string {
  const place = level === 'user' ? `:${project_id}` : '';
  return Bun.randomUUIDv5(`${resource_group}:${owner_key}${place}`, 'dns');
}

/** @param today stands for the days of somebody for whom nothing has been calculated yet. */
export function shareItem(
  level: Level,
  row: ShareRow,
  group: ResourceGroup,
  slots: readonly string[],
  today: Date,
) {
  const spec = shareSpec(row, group, slots);
  const calculated = snapshot(row, today);
  return {
    id: shareId(level, row),
    resource_group: row.resource_group,
    ...ownerItem(level, row),
    spec: {
      weight: spec.usesDefault ? null : spec.weight,
      half_life_days: spec.halfLifeDays,
      lookback_days: spec.lookbackDays,
      decay_unit_days: spec.decayUnitDays,
      resource_weights: weightEntries(spec.resourceWeights),
    },
    calculation_snapshot: {
      fair_share_factor: calculated.fairShareFactor,
      total_decayed_usage: slotEntries(calculated.totalDecayedUsage),
      normalized_usage: calculated.normalizedUsage,
      lookback_start: calculated.lookbackStart,
      lookback_end: calculated.lookbackEnd,
      last_calculated_at: isoTime(calculated.lastCalculatedAt),
    },
    created_at: isoTime(row.created_at),
    updated_at: isoTime(row.updated_at),
  };
}

export function groupItem(group: ResourceGroup, slots: readonly string[]) {
  const spec = groupSpec(group, slots);
  return {
    resource_group: group.name,
    fair_share_spec: {
      half_life_days: spec.halfLifeDays,
      lookback_days: spec.lookbackDays,
      decay_unit_days: spec.decayUnitDays,
      default_weight: spec.defaultWeight,
      resource_weights: weightEntries(spec.resourceWeights),
    },
  };
}

export function bucketItem(level: Level, row: BucketRow) {
  const { metadata, ...amounts } = bucketShape(row);
  return {
    id: row.id,
    resource_group: row.resource_group,
    ...ownerItem(level, row),
    metadata: {
      period_start: metadata.periodStart,
      period_end: metadata.periodEnd,
      decay_unit_days: metadata.decayUnitDays,
      created_at: isoTime(metadata.createdAt),
      updated_at: isoTime(metadata.updatedAt),
      average_daily_usage: slotEntries(amounts.averageDailyUsage),
      usage_capacity_ratio: slotEntries(amounts.usageCapacityRatio),
    },
    resource_usage: slotEntries(amounts.resourceUsage),
    capacity_snapshot: slotEntries(amounts.capacitySnapshot),
  };
}
