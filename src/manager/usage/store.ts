/** SQL of usage: the kernels of a period. */
import type { Sql } from 'postgres';
import * as v from 'valibot';
import type { Db } from '../db/connect.ts';
import { slotMapColumn } from '../db/json.ts';

const statColumn = v.nullable(
  v.record(
    v.string(),
    v.record(
      v.string(),
      v.nullable(v.union([v.string(), v.pipe(v.number(), v.transform(String))])),
    ),
  ),
);

const livedRow = v.object({
  id: v.string(),
  created_at: v.date(),
  terminated_at: v.nullable(v.date()),
  occupied_slots: slotMapColumn,
  last_stat: statColumn,
});
export type LivedRow = v.InferOutput<typeof livedRow>;

/** Rows held at a time while a month is counted. */
const BATCH = 1000;

const lived = (sql: Sql) => sql`
  SELECT id, created_at, terminated_at, occupied_slots, last_stat FROM kernels`;

/** Kernels that ran after `since`, in batches; of one user unless `userId` is null. */
export async function* readLived(
  sql: Sql,
  since: Date,
  userId: string | null,
): AsyncGenerator<LivedRow[]> {
  // A user's sessions lead to the kernels; of everybody's, those that ended lately and those that live.
  const batches =
    userId === null
      ? sql`
          ${lived(sql)} WHERE created_at IS NOT NULL AND status = 'TERMINATED'
            AND terminated_at BETWEEN ${since} AND 'infinity'
          UNION ALL
          ${lived(sql)} WHERE created_at IS NOT NULL AND status = 'RUNNING' AND terminated_at IS NULL`
      : sql`
          ${lived(sql)} WHERE created_at IS NOT NULL
            AND ((status = 'TERMINATED' AND terminated_at >= ${since}) OR status = 'RUNNING')
            AND session_id IN (SELECT id FROM sessions WHERE user_uuid = ${userId}::uuid)`;
  for await (const rows of batches.cursor(BATCH)) yield v.parse(v.array(livedRow), [...rows]);
}

const text = v.nullable(v.string());
const usedRow = v.object({
  ...livedRow.entries,
  session_id: v.string(),
  session_name: text,
  container_id: text,
  access_key: text,
  agent: text,
  domain_name: v.string(),
  group_id: v.string(),
  group_name: v.string(),
  user_uuid: v.string(),
  email: text,
  full_name: text,
  image: text,
  status: v.string(),
  status_info: text,
  status_changed: v.nullable(v.date()),
  status_history: v.nullable(v.record(v.string(), v.unknown())),
  cluster_mode: v.string(),
  attached_devices: v.unknown(),
  resource_opts: v.nullable(v.record(v.string(), v.unknown())),
  vfolder_mounts: v.nullable(v.array(v.looseObject({ host_path: v.optional(v.string()) }))),
});
/** A kernel with whose it was. */
export type UsedRow = v.InferOutput<typeof usedRow>;

/** Kernels that ran at any time in the period, the first to end first; at most `limit`. */
export async function selectUsed(
  sql: Db,
  period: { readonly start: Date; readonly end: Date },
  projectIds: readonly string[] | null,
  limit: number,
): Promise<UsedRow[]> {
  const rows = await sql`
    SELECT k.id, k.session_id, k.session_name, k.container_id, k.access_key, k.agent, k.domain_name,
           k.group_id, g.name AS group_name, k.user_uuid, u.email, u.full_name, k.image, k.status,
           k.status_info, k.status_changed, k.status_history, k.cluster_mode, k.attached_devices,
           k.resource_opts, k.vfolder_mounts, k.occupied_slots, k.last_stat, k.created_at,
           k.terminated_at
      FROM kernels k
      JOIN groups g ON g.id = k.group_id
      LEFT JOIN users u ON u.uuid = k.user_uuid
     WHERE k.created_at < ${period.end}
       AND ((k.status = 'TERMINATED' AND k.terminated_at >= ${period.start}) OR k.status = 'RUNNING')
       AND (${projectIds === null} OR k.group_id = ANY (${[...(projectIds ?? [])]}::uuid[]))
     ORDER BY k.terminated_at NULLS LAST, k.id
     LIMIT ${limit}`;
  return v.parse(v.array(usedRow), [...rows]);
}
