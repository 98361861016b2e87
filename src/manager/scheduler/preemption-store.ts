/** The SQL that reads who could make room for sessions that wait. */
import * as v from 'valibot';
import { parseSlots } from '../../common/slots.ts';
import type { Db } from '../db/connect.ts';
import { slotMapColumn } from '../db/json.ts';
import { PREEMPTED, RESCHEDULING } from '../session/lifecycle.ts';
import { occupyingSessionStatuses, sessionTypeColumn } from '../session/status.ts';
import type { PlacedSession } from './snapshot.ts';

/** Sessions that are looked at: those that leave, then those of the lowest priority. */
const MAX_PLACED = 10_000;

const placedRow = v.object({
  id: v.string(),
  access_key: v.string(),
  user_uuid: v.string(),
  group_id: v.string(),
  domain_name: v.string(),
  session_type: sessionTypeColumn,
  scaling_group_name: v.string(),
  priority: v.number(),
  is_preemptible: v.boolean(),
  leaving: v.nullable(v.picklist(['preempted', 'ended'])),
  started_at: v.nullable(v.date()),
  kernels: v.array(v.object({ id: v.string(), agent: v.string(), slots: slotMapColumn })),
});

/**
 * Sessions on agents that leave, or that could be preempted.
 * @param priorities by resource group: only sessions below it are wanted.
 */
export async function selectPlaced(
  sql: Db,
  priorities: ReadonlyMap<string, number>,
): Promise<PlacedSession[]> {
  const rows = await sql`
    SELECT s.id, s.access_key, s.user_uuid, s.group_id, s.domain_name, s.session_type,
      s.scaling_group_name, s.priority, s.is_preemptible, k.kernels,
      CASE WHEN s.status <> 'TERMINATING' THEN NULL
        WHEN s.status_info IN (${PREEMPTED}, ${RESCHEDULING}) THEN 'preempted'
        ELSE 'ended' END AS leaving,
      CASE WHEN s.status IN ('RUNNING', 'RUNNING_DEGRADED') THEN k.started_at END AS started_at
    FROM sessions s
    JOIN unnest(${sql.array([...priorities.keys()])}::varchar[],
      ${sql.array([...priorities.values()])}::int[]) AS asked(name, priority)
      ON asked.name = s.scaling_group_name
    CROSS JOIN LATERAL (
      SELECT max(k.starts_at) AS started_at, json_agg(
        json_build_object('id', k.id, 'agent', k.agent, 'slots', held.slots)) AS kernels
      FROM kernels k CROSS JOIN LATERAL (
        SELECT json_object_agg(a.slot_name, coalesce(a.used, a.requested)::text) AS slots
        FROM resource_allocations a WHERE a.kernel_id = k.id AND a.free_at IS NULL) held
      WHERE k.session_id = s.id AND k.agent IS NOT NULL AND held.slots IS NOT NULL
    ) k
    WHERE s.status = ANY(${sql.array([...occupyingSessionStatuses])}::varchar[])
      AND s.access_key IS NOT NULL AND k.kernels IS NOT NULL
      AND (s.status = 'TERMINATING' OR s.is_preemptible AND s.priority < asked.priority)
    ORDER BY s.status = 'TERMINATING' DESC, s.priority, s.id LIMIT ${MAX_PLACED}`;
  return v.parse(v.array(placedRow), [...rows]).map((row) => ({
    id: row.id,
    accessKey: row.access_key,
    userId: row.user_uuid,
    projectId: row.group_id,
    domainName: row.domain_name,
    sessionType: row.session_type,
    scalingGroup: row.scaling_group_name,
    priority: row.priority,
    startedAt: row.started_at,
    isPreemptible: row.is_preemptible,
    leaving: row.leaving,
    kernels: row.kernels.map(({ id, agent, slots }) => ({
      ...{ id, agentId: agent, slots: parseSlots(slots) },
    })),
  }));
}
