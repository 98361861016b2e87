/** SQL behind the check of presets: what somebody holds, may hold, and what agents have left. */
import * as v from 'valibot';
import type { Db } from '../db/connect.ts';
import { slotMapColumn } from '../db/json.ts';

/** Presets for all resource groups, and those of `groupName` when it is given, by name. */
export async function selectUsablePresets(sql: Db, groupName: string | null, limit: number) {
  const rows = await sql`
    SELECT id, name, resource_slots, shared_memory::text AS shared_memory
      FROM resource_presets
     WHERE scaling_group_name IS NULL OR scaling_group_name = ${groupName}
     ORDER BY name, id LIMIT ${limit}`;
  return v.parse(presets, [...rows]);
}

const presets = v.array(
  v.object({
    id: v.string(),
    name: v.string(),
    resource_slots: slotMapColumn,
    /** Bytes. */
    shared_memory: v.nullable(v.string()),
  }),
);
export type UsablePreset = v.InferOutput<typeof presets>[number];

const held = v.tuple([
  v.object({ keypair: slotMapColumn, project: slotMapColumn, domain: slotMapColumn }),
]);

/** Kernels that hold resources: placed, not yet ended; as the scheduler counts them. */
const holding = (
  sql: Db,
) => sql`k.terminated_at IS NULL AND r.free_at IS NULL AND k.status <> 'PENDING'
  AND k.session_type <> 'SYSTEM'`;

/** What the keypair, the project and the domain hold at present. */
export async function selectHeld(
  sql: Db,
  scope: { readonly accessKey: string; readonly projectId: string; readonly domainName: string },
) {
  const sum = (whose: ReturnType<typeof holding>) => sql`
    (SELECT jsonb_object_agg(slot_name, trim_scale(held)::text) FROM (
       SELECT slot_name, sum(held) AS held FROM holding WHERE ${whose} GROUP BY slot_name) AS sums)`;
  const { accessKey, projectId, domainName } = scope;
  const rows = await sql`
    WITH holding AS MATERIALIZED (
      SELECT k.access_key, k.group_id, k.domain_name, r.slot_name,
             sum(coalesce(r.used, r.requested)) AS held
        FROM kernels k JOIN resource_allocations r ON r.kernel_id = k.id
       WHERE ${holding(sql)} AND (k.access_key = ${accessKey} OR k.group_id = ${projectId}
             OR k.domain_name = ${domainName})
       GROUP BY k.access_key, k.group_id, k.domain_name, r.slot_name)
    SELECT ${sum(sql`access_key = ${accessKey}`)} AS keypair,
           ${sum(sql`group_id = ${projectId}`)} AS project,
           ${sum(sql`domain_name = ${domainName}`)} AS domain`;
  return v.parse(held, [...rows])[0];
}

const byGroup = v.array(v.object({ name: v.string(), slots: slotMapColumn }));

/** Per resource group: what the user's sessions hold there. */
export async function selectHeldByUser(sql: Db, userId: string, names: readonly string[]) {
  const rows = await sql`
    SELECT name, jsonb_object_agg(slot_name, trim_scale(held)::text) AS slots FROM (
      SELECT k.scaling_group AS name, r.slot_name, sum(coalesce(r.used, r.requested)) AS held
        FROM kernels k JOIN resource_allocations r ON r.kernel_id = k.id
       WHERE k.session_id IN (SELECT id FROM sessions WHERE user_uuid = ${userId}
               AND status NOT IN ('ERROR', 'TERMINATED', 'CANCELLED'))
         AND k.scaling_group = ANY (${[...names]}::text[]) AND r.free_at IS NULL AND k.status <> 'PENDING'
       GROUP BY k.scaling_group, r.slot_name) AS sums
     GROUP BY name`;
  return v.parse(byGroup, [...rows]);
}

/** What each schedulable agent of the resource groups has left; at most `limit` agents. */
export async function selectAgentsFree(sql: Db, names: readonly string[], limit: number) {
  const rows = await sql`
    SELECT a.scaling_group AS name,
           (SELECT jsonb_object_agg(r.slot_name,
                     trim_scale(greatest(r.capacity - r.reserved - r.used, 0))::text)
              FROM agent_resources r WHERE r.agent_id = a.id) AS slots
      FROM agents a
     WHERE a.scaling_group = ANY (${[...names]}::text[]) AND a.status = 'ALIVE' AND a.schedulable
     ORDER BY a.id LIMIT ${limit}`;
  return v.parse(byGroup, [...rows]);
}
