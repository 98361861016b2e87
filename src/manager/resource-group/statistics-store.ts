/** SQL that adds up the agents of resource groups, and what somebody's sessions hold there. */
import * as v from 'valibot';
import type { Db } from '../db/connect.ts';
import { slotMapColumn } from '../db/json.ts';

const agentSums = v.array(
  v.object({
    name: v.string(),
    status: v.string(),
    agents: v.number(),
    available: slotMapColumn,
    occupied: slotMapColumn,
  }),
);
export type AgentSums = v.InferOutput<typeof agentSums>[number];

/** Per resource group and agent status: how many agents, and the sums of their slots. */
export async function sumAgents(sql: Db, names: readonly string[]): Promise<AgentSums[]> {
  const rows = await sql`
    WITH slots AS (
      SELECT a.scaling_group, a.status, r.slot_name, sum(r.capacity) AS available,
             sum(r.reserved + r.used) AS occupied
        FROM agents a JOIN agent_resources r ON r.agent_id = a.id
       WHERE a.scaling_group = ANY (${[...names]}::text[])
       GROUP BY a.scaling_group, a.status, r.slot_name)
    SELECT a.scaling_group AS name, a.status::text AS status, count(*)::int AS agents,
           (SELECT jsonb_object_agg(s.slot_name, trim_scale(s.available)::text) FROM slots s
             WHERE s.scaling_group = a.scaling_group AND s.status = a.status) AS available,
           (SELECT jsonb_object_agg(s.slot_name, trim_scale(s.occupied)::text) FROM slots s
             WHERE s.scaling_group = a.scaling_group AND s.status = a.status) AS occupied
      FROM agents a
     WHERE a.scaling_group = ANY (${[...names]}::text[])
     GROUP BY a.scaling_group, a.status`;
  return v.parse(agentSums, [...rows]);
}

const slotsByName = v.array(v.object({ name: v.string(), slots: slotMapColumn }));
export type GroupSlots = v.InferOutput<typeof slotsByName>[number];

/** Per resource group: the most of each slot that any one agent could give a session. */
export async function largestAgents(sql: Db, names: readonly string[]): Promise<GroupSlots[]> {
  const rows = await sql`
    SELECT name, jsonb_object_agg(slot_name, trim_scale(most)::text) AS slots
      FROM (SELECT a.scaling_group AS name, r.slot_name, max(r.capacity) AS most
              FROM agents a JOIN agent_resources r ON r.agent_id = a.id
             WHERE a.scaling_group = ANY (${[...names]}::text[])
               AND a.status = 'ALIVE' AND a.schedulable
             GROUP BY a.scaling_group, r.slot_name
            HAVING max(r.capacity) > 0) AS most_of
     GROUP BY name`;
  return v.parse(slotsByName, [...rows]);
}

/** Per resource group: what the user's sessions hold there. */
export async function sumOwnSessions(
  sql: Db,
  userId: string,
  names: readonly string[],
): Promise<GroupSlots[]> {
  const rows = await sql`
    SELECT name, jsonb_object_agg(slot_name, trim_scale(held)::text) AS slots
      FROM (SELECT k.scaling_group AS name, r.slot_name,
                   sum(coalesce(r.used, r.requested)) AS held
              FROM kernels k JOIN resource_allocations r ON r.kernel_id = k.id
             WHERE k.session_id IN (SELECT id FROM sessions WHERE user_uuid = ${userId}
                     AND status NOT IN ('ERROR', 'TERMINATED', 'CANCELLED'))
               AND k.scaling_group = ANY (${[...names]}::text[]) AND r.free_at IS NULL AND k.status <> 'PENDING'
             GROUP BY k.scaling_group, r.slot_name) AS held_of
     GROUP BY name`;
  return v.parse(slotsByName, [...rows]);
}
