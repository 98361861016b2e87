/** The leader's loop of usage and fair shares: adds up the days' usage and calculates what follows. */
import type { Sql, TransactionSql } from 'postgres';
import type { Clock } from '../../common/clock.ts';
import {
  listAllResourceGroups,
  loadResourceGroup,
  type ResourceGroup,
} from '../resource-group/service.ts';
import { fairShare } from './calculate.ts';
import { LEVELS, type Level } from './levels.ts';
import * as store from './upkeep-store.ts';

/** How often usage is added up by itself. Milliseconds. */
export const FAIR_SHARE_SWEEP_MS = 300_000;

async function calculateLevel(
  tx: TransactionSql,
  level: Level,
  group: ResourceGroup,
  how: store.Calculation,
  capacity: Readonly<Record<string, number>>,
): Promise<void> {
  const { default_weight, resource_weights } = group.fairShare;
  const groupWeights = Object.fromEntries(
    Object.entries(resource_weights).map(([slot, weight]) => [slot, Number(weight)]),
  );
  const owners = await store.selectUsage(tx, level, group.name, how.today, how.lookbackDays);
  if (owners.length === 0) return;
  const shares = owners.map(({ owner, weight, resource_weights: own, days }) => {
    const rules = {
      halfLifeDays: how.halfLifeDays,
      lookbackDays: how.lookbackDays,
      weight: weight ?? Number(default_weight),
      resourceWeights: { ...groupWeights, ...own },
    };
    const counted = days.map(({ age, usage }) => ({ ageDays: age, usage }));
    return { owner, ...fairShare(counted, capacity, rules) };
  });
  await store.writeShares(tx, level, how, shares);
}

async function calculateGroup(tx: TransactionSql, group: ResourceGroup, now: Date): Promise<void> {
  const { half_life_days, lookback_days, decay_unit_days } = group.fairShare;
  const how: store.Calculation = {
    group: group.name,
    now,
    today: now.toISOString().slice(0, 10),
    halfLifeDays: half_life_days,
    lookbackDays: lookback_days,
    decayUnitDays: decay_unit_days,
  };
  const capacity = await store.selectCapacity(tx, group.name);
  for (const level of LEVELS) await calculateLevel(tx, level, group, how, capacity);
  await store.rankUsers(tx, group.name);
}

/** Brings usage and all shares up to date. Repeating it changes nothing but the time of calculation. */
export async function fairSharePass(
  ctx: { readonly sql: Sql; readonly clock: Clock },
  signal: AbortSignal,
): Promise<void> {
  const now = ctx.clock.now();
  await store.refreshBuckets(ctx.sql, now);
  for (const group of await listAllResourceGroups(ctx.sql)) {
    if (signal.aborted) return;
    await ctx.sql.begin((tx) => calculateGroup(tx, group, now));
  }
}

/** The shares of one group, right after its rules or weights have changed. */
export async function calculateGroupNow(
  { sql, clock }: { readonly sql: Sql; readonly clock: Clock },
  name: string,
): Promise<void> {
  const group = await loadResourceGroup(sql, name);
  if (group) await sql.begin((tx) => calculateGroup(tx, group, clock.now()));
}
