/** SQL that keeps usage per day and the shares that follow from it. */
import type { Fragment } from 'postgres';
import * as v from 'valibot';
import type { Db } from '../db/connect.ts';
import { jsonText, slotMapColumn } from '../db/json.ts';
import { allColumns, bucketTable, ownerColumns, shareTable } from './level-store.ts';
import type { Level } from './levels.ts';

/** Days that are added up again at most, after a long absence. */
const MAX_DAYS = 60;

/** What each group has, of the agents that are alive. */
const capacities = (sql: Db): Fragment => sql`
  SELECT scaling_group, jsonb_object_agg(slot_name, trim_scale(capacity)::text) AS capacity
    FROM (SELECT a.scaling_group, r.slot_name, sum(r.capacity) AS capacity
            FROM agents a JOIN agent_resources r ON r.agent_id = a.id
           WHERE a.status = 'ALIVE' GROUP BY a.scaling_group, r.slot_name) AS held
   GROUP BY scaling_group`;

/** Writes the days' usage of one level; `used` holds it by user. */
const written = (sql: Db, level: Level): Fragment => sql`
  INSERT INTO ${bucketTable(sql, level)}
         (${allColumns(sql, level)}, resource_group, period_start, period_end, resource_usage,
          capacity_snapshot)
  SELECT ${allColumns(sql, level)}, resource_group, day, day,
         jsonb_object_agg(slot_name, trim_scale(round(amount, 3))::text),
         coalesce((SELECT capacity FROM capacities c WHERE c.scaling_group = resource_group), '{}')
    FROM (SELECT ${allColumns(sql, level)}, resource_group, day, slot_name, sum(amount) AS amount
            FROM used GROUP BY ${allColumns(sql, level)}, resource_group, day, slot_name) AS added
   GROUP BY ${allColumns(sql, level)}, resource_group, day
  ON CONFLICT (${ownerColumns(sql, level)}, resource_group, period_start) DO UPDATE
     SET resource_usage = excluded.resource_usage,
         capacity_snapshot = excluded.capacity_snapshot, updated_at = now()
   WHERE ${bucketTable(sql, level)}.resource_usage IS DISTINCT FROM excluded.resource_usage
  RETURNING 1`;

/**
 * Adds up, from what kernels have held, the usage of every UTC day since the last one that is
 * written. Repeating it changes nothing. @returns how many rows were written.
 */
export async function refreshBuckets(sql: Db, now: Date): Promise<number> {
  const until = now.toISOString();
  const [row] = await sql<{ written: number }[]>`
    WITH span AS (
      SELECT greatest(coalesce((SELECT max(period_start) FROM user_usage_buckets), '-infinity'),
                      (${until}::text::timestamptz AT TIME ZONE 'UTC')::date - ${MAX_DAYS}::int) AS since),
    days AS (
      SELECT day::date AS day, day AT TIME ZONE 'UTC' AS opens,
             least((day + interval '1 day') AT TIME ZONE 'UTC', ${until}::text::timestamptz) AS closes
        FROM span, generate_series(since::timestamp,
                                   (${until}::text::timestamptz AT TIME ZONE 'UTC')::date::timestamp,
                                   interval '1 day') AS day),
    used AS (
      SELECT k.user_uuid, k.group_id AS project_id, k.domain_name,
             k.scaling_group AS resource_group, d.day, r.slot_name,
             sum(r.used * extract(epoch FROM least(coalesce(r.free_at, d.closes), d.closes)
                                             - greatest(r.used_at, d.opens))) AS amount
        FROM resource_allocations r
        JOIN days d ON r.used_at < d.closes AND (r.free_at IS NULL OR r.free_at > d.opens)
        -- OFFSET 0: looked up by what they hold; few of all kernels held anything in these days.
        CROSS JOIN LATERAL (SELECT user_uuid, group_id, domain_name, scaling_group FROM kernels
          WHERE id = r.kernel_id OFFSET 0) AS k
       WHERE r.used > 0 AND k.scaling_group IS NOT NULL AND k.user_uuid IS NOT NULL
         AND (r.free_at IS NULL
              OR r.free_at > (SELECT since::timestamp AT TIME ZONE 'UTC' FROM span))
       GROUP BY k.user_uuid, k.group_id, k.domain_name, k.scaling_group, d.day, r.slot_name),
    capacities AS (${capacities(sql)}),
    domains AS (${written(sql, 'domain')}),
    projects AS (${written(sql, 'project')}),
    users AS (${written(sql, 'user')})
    SELECT ((SELECT count(*) FROM domains) + (SELECT count(*) FROM projects)
            + (SELECT count(*) FROM users))::int AS written`;
  return row?.written ?? 0;
}

const weights = v.record(
  v.string(),
  v.pipe(v.union([v.string(), v.number()]), v.transform(Number)),
);
const numbers = v.pipe(
  slotMapColumn,
  v.transform((map) => Object.fromEntries(Object.entries(map).map(([k, n]) => [k, Number(n)]))),
);
const ownerUsage = v.array(
  v.object({
    owner: v.record(v.string(), v.string()),
    weight: v.nullable(v.pipe(v.string(), v.transform(Number))),
    resource_weights: weights,
    days: v.array(v.object({ age: v.number(), usage: numbers })),
  }),
);
export type OwnerUsage = v.InferOutput<typeof ownerUsage>[number];

/** Whoever has used the group in the days that count, or has a share of it already. */
export async function selectUsage(
  sql: Db,
  level: Level,
  group: string,
  today: string,
  lookbackDays: number,
): Promise<OwnerUsage[]> {
  const rows = await sql`
    WITH usage AS (
      SELECT ${allColumns(sql, level)},
             jsonb_agg(jsonb_build_object('age', ${today}::date - period_start,
                                          'usage', resource_usage)) AS days
        FROM ${bucketTable(sql, level)}
       WHERE resource_group = ${group} AND period_start > ${today}::date - ${lookbackDays}::int
       GROUP BY ${allColumns(sql, level)}),
    shares AS (
      SELECT ${allColumns(sql, level)}, weight, resource_weights
        FROM ${shareTable(sql, level)} WHERE resource_group = ${group})
    SELECT to_jsonb(o) AS owner, s.weight::text AS weight,
           coalesce(s.resource_weights, '{}') AS resource_weights, coalesce(u.days, '[]') AS days
      FROM (SELECT ${allColumns(sql, level)} FROM usage
            UNION SELECT ${allColumns(sql, level)} FROM shares) AS o
      LEFT JOIN usage u USING (${allColumns(sql, level)})
      LEFT JOIN shares s USING (${allColumns(sql, level)})`;
  return v.parse(ownerUsage, [...rows]);
}

export interface CalculatedShare {
  readonly owner: Readonly<Record<string, string>>;
  readonly factor: number;
  readonly normalizedUsage: number;
  readonly decayedUsage: Readonly<Record<string, number>>;
}

/** The rules under which shares were calculated, kept with them. */
export interface Calculation {
  readonly group: string;
  readonly now: Date;
  readonly today: string;
  readonly halfLifeDays: number;
  readonly lookbackDays: number;
  readonly decayUnitDays: number;
}

/** The largest number that the column of normalized usage holds. */
const MAX_NORMALIZED = 99;

/** Writes shares; weights stay. Owners that are gone are left out. */
export async function writeShares(
  sql: Db,
  level: Level,
  how: Calculation,
  shares: readonly CalculatedShare[],
): Promise<void> {
  const rows = shares.map(({ owner, factor, normalizedUsage, decayedUsage }) => ({
    ...owner,
    factor,
    normalized: Math.min(normalizedUsage, MAX_NORMALIZED),
    decayed: Object.fromEntries(
      Object.entries(decayedUsage).map(([slot, amount]) => [slot, amount.toFixed(3)]),
    ),
  }));
  const exists = {
    domain: sql`EXISTS (SELECT FROM domains WHERE name = r.domain_name)`,
    project: sql`EXISTS (SELECT FROM groups WHERE id = r.project_id)`,
    user: sql`EXISTS (SELECT FROM users WHERE uuid = r.user_uuid)`,
  }[level];
  const table = shareTable(sql, level);
  await sql`
    INSERT INTO ${table} (resource_group, ${allColumns(sql, level)}, fair_share_factor,
                          normalized_usage, total_decayed_usage, last_calculated_at,
                          lookback_start, lookback_end, half_life_days, lookback_days,
                          decay_unit_days)
    SELECT ${how.group}, ${allColumns(sql, level)}, r.factor, r.normalized, r.decayed,
           ${how.now}, ${how.today}::date - ${how.lookbackDays - 1}::int, ${how.today}::date,
           ${how.halfLifeDays}, ${how.lookbackDays}, ${how.decayUnitDays}
      FROM jsonb_to_recordset(${jsonText(rows)}::text::jsonb)
           AS r(domain_name text, project_id uuid, user_uuid uuid, factor numeric,
                normalized numeric, decayed jsonb)
     WHERE ${exists}
    ON CONFLICT (resource_group, ${ownerColumns(sql, level)}) DO UPDATE
       SET fair_share_factor = excluded.fair_share_factor,
           normalized_usage = excluded.normalized_usage,
           total_decayed_usage = excluded.total_decayed_usage,
           last_calculated_at = excluded.last_calculated_at,
           lookback_start = excluded.lookback_start, lookback_end = excluded.lookback_end,
           half_life_days = excluded.half_life_days, lookback_days = excluded.lookback_days,
           decay_unit_days = excluded.decay_unit_days, updated_at = now()`;
}

/** Numbers the users of a group: by the factors of their domain, their project and themselves. */
export async function rankUsers(sql: Db, group: string): Promise<void> {
  await sql`
    UPDATE user_fair_shares u SET scheduling_rank = ranked.place
      FROM (SELECT s.id, row_number() OVER (
                     ORDER BY coalesce(d.fair_share_factor, 1) DESC,
                              coalesce(p.fair_share_factor, 1) DESC, s.fair_share_factor DESC, s.id)
                   AS place
              FROM user_fair_shares s
              LEFT JOIN project_fair_shares p
                     ON p.resource_group = s.resource_group AND p.project_id = s.project_id
              LEFT JOIN domain_fair_shares d
                     ON d.resource_group = s.resource_group AND d.domain_name = s.domain_name
             WHERE s.resource_group = ${group}) AS ranked
     WHERE ranked.id = u.id AND u.scheduling_rank IS DISTINCT FROM ranked.place`;
}

const capacityRow = v.array(v.object({ capacity: numbers }));

/** What the group's agents have of each slot. */
export async function selectCapacity(sql: Db, group: string): Promise<Record<string, number>> {
  const rows = await sql`
    SELECT capacity FROM (${capacities(sql)}) AS all_groups WHERE scaling_group = ${group}`;
  return v.parse(capacityRow, [...rows])[0]?.capacity ?? {};
}
