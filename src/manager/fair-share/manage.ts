/** Changing what is due to whom, by superadmins; every change is recorded and counts at once. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { type ChangeContext, change } from '../audit/service.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import { fairShareSpec } from '../resource-group/options.ts';
import type { Level } from './levels.ts';
import * as store from './manage-store.ts';
import { calculateGroupNow } from './upkeep.ts';

export type { OwnerKey } from './manage-store.ts';

/** The most weights of one change. */
const MAX_WEIGHTS = 1000;
/** The columns have four digits behind the point and six before it. */
const MAX_WEIGHT = 999_999;
const MAX_DAYS = 365;

const invalid = (message: string) => new BackendError('InvalidAPIParameters', message);

function checkWeight(what: string, weight: string | null): void {
  if (weight === null) return;
  const value = Number(weight);
  if (Number.isFinite(value) && value >= 0 && value <= MAX_WEIGHT) return;
  throw invalid(`${what}: '${weight}' is no weight; give a number from 0 to ${MAX_WEIGHT}.`);
}

export interface WeightWish {
  readonly owner: store.OwnerKey;
  /** Decimal text; null: the group's default counts again. */
  readonly weight: string | null;
}

const nameOf = (level: Level, { domainName, projectId, userId }: store.OwnerKey): string =>
  ({
    domain: `domain '${domainName}'`,
    project: `project ${projectId} in domain '${domainName}'`,
    user: `user ${userId} in project ${projectId} of domain '${domainName}'`,
  })[level];

/**
 * Sets weights in a resource group and calculates its shares anew.
 * @throws BackendError GenericForbidden; ScalingGroupNotFound; InvalidAPIParameters for an owner that
 *   does not exist, or a number that is no weight.
 */
export async function setWeights(
  by: ChangeContext,
  level: Level,
  group: string,
  wishes: readonly WeightWish[],
): Promise<void> {
  requireAdministrator(by.caller);
  if (wishes.length > MAX_WEIGHTS) throw invalid(`At most ${MAX_WEIGHTS} weights at once.`);
  for (const { weight } of wishes) checkWeight('weight', weight);
  await change(by, async (tx, note) => {
    await requireGroup(await store.lockSpec(tx, group), group);
    for (const { owner, weight } of wishes) {
      if (!(await store.ownerExists(tx, level, owner))) {
        throw invalid(`There is no ${nameOf(level, owner)}.`);
      }
      const before = { weight: await store.selectWeight(tx, level, group, owner) };
      await store.setWeight(tx, level, group, owner, weight);
      const entityId = `${group}:${owner.userId ?? owner.projectId ?? owner.domainName}`;
      const entityType = `${level}:fair_share`;
      note({ entityType, entityId, operation: 'update', before, after: { weight } });
    }
  });
  await calculateGroupNow(by.ctx, group);
}

function requireGroup(spec: unknown, group: string): void {
  if (spec !== undefined) return;
  throw new BackendError('ScalingGroupNotFound', `There is no resource group '${group}'.`);
}

/** What an administrator says about a group's rules; undefined leaves it as it is. */
export interface SpecWishes {
  readonly halfLifeDays?: number;
  readonly lookbackDays?: number;
  readonly decayUnitDays?: number;
  readonly defaultWeight?: string;
  /** Replaces all unless `keepsOtherWeights`; null takes a slot's weight away. */
  readonly resourceWeights?: readonly {
    readonly resourceType: string;
    readonly weight: string | null;
  }[];
  /** Slots that are not named keep their weights. */
  readonly keepsOtherWeights?: boolean;
}

function checkSpec(wishes: SpecWishes): void {
  for (const name of ['halfLifeDays', 'lookbackDays', 'decayUnitDays'] as const) {
    const days = wishes[name];
    if (days !== undefined && (days < 1 || days > MAX_DAYS)) {
      throw invalid(`${name}: from 1 to ${MAX_DAYS} days.`);
    }
  }
  checkWeight('defaultWeight', wishes.defaultWeight ?? null);
  for (const { resourceType, weight } of wishes.resourceWeights ?? []) {
    checkWeight(`resourceWeights: ${resourceType}`, weight);
  }
}

function weightsAfter(
  before: Readonly<Record<string, string>>,
  { resourceWeights, keepsOtherWeights = false }: SpecWishes,
): Readonly<Record<string, string>> {
  if (resourceWeights === undefined) return before;
  const weights = new Map(keepsOtherWeights ? Object.entries(before) : []);
  for (const { resourceType, weight } of resourceWeights) {
    if (weight === null) weights.delete(resourceType);
    else weights.set(resourceType, weight);
  }
  return Object.fromEntries(weights);
}

/**
 * Changes how a group's usage turns into shares, and calculates them anew.
 * @throws BackendError GenericForbidden, ScalingGroupNotFound, InvalidAPIParameters.
 */
export async function setSpec(by: ChangeContext, group: string, wishes: SpecWishes): Promise<void> {
  requireAdministrator(by.caller);
  checkSpec(wishes);
  await change(by, async (tx, note) => {
    const stored = await store.lockSpec(tx, group);
    requireGroup(stored, group);
    const before = v.parse(fairShareSpec, stored);
    const after = {
      half_life_days: wishes.halfLifeDays ?? before.half_life_days,
      lookback_days: wishes.lookbackDays ?? before.lookback_days,
      decay_unit_days: wishes.decayUnitDays ?? before.decay_unit_days,
      default_weight: wishes.defaultWeight ?? before.default_weight,
      resource_weights: weightsAfter(before.resource_weights, wishes),
    };
    await store.setSpec(tx, group, after);
    note({ entityType: 'scaling_group', entityId: group, operation: 'update', before, after });
  });
  await calculateGroupNow(by.ctx, group);
}
