/** Proof that the books balance: what agents have reserved and used is what kernels hold on them. */
import * as v from 'valibot';
import type { Db } from '../db/connect.ts';

const discrepancy = v.object({ problem: v.string() });

/**
 * Compares `agent_resources` with the allocations of live kernels, and allocations with the states
 * of their kernels.
 * @returns what does not match, in words; empty when everything does.
 */
export async function checkAccounting(sql: Db): Promise<string[]> {
  const rows = await sql`
    WITH held AS (
      SELECT k.agent, a.slot_name,
        coalesce(sum(a.requested) FILTER (WHERE a.used IS NULL), 0) AS reserved,
        coalesce(sum(a.used), 0) AS used
      FROM resource_allocations a JOIN kernels k ON k.id = a.kernel_id
      WHERE a.free_at IS NULL AND k.agent IS NOT NULL GROUP BY 1, 2
    )
    SELECT format('%s %s: reserved %s used %s in the books, %s and %s held',
      coalesce(r.agent_id, held.agent), coalesce(r.slot_name, held.slot_name), r.reserved, r.used,
      coalesce(held.reserved, 0), coalesce(held.used, 0)) AS problem
    FROM agent_resources r
    FULL JOIN held ON held.agent = r.agent_id AND held.slot_name = r.slot_name
    WHERE r.reserved IS DISTINCT FROM coalesce(held.reserved, 0)
      OR r.used IS DISTINCT FROM coalesce(held.used, 0)
    UNION ALL
    SELECT format('%s %s: oversold, %s of %s', agent_id, slot_name, reserved + used, capacity)
    FROM agent_resources WHERE reserved + used > capacity
    UNION ALL
    SELECT format('kernel %s is %s and holds %s', k.id, k.status, a.slot_name)
    FROM resource_allocations a JOIN kernels k ON k.id = a.kernel_id
    WHERE (a.free_at IS NULL) = (k.status IN ('TERMINATED', 'CANCELLED', 'ERROR'))
    UNION ALL
    SELECT format('kernel %s is %s and %s is%s in use', k.id, k.status, a.slot_name,
      CASE WHEN a.used IS NULL THEN ' not' ELSE '' END)
    FROM resource_allocations a JOIN kernels k ON k.id = a.kernel_id
    WHERE k.status = 'RUNNING' AND a.used IS NULL
      OR k.status IN ('PENDING', 'SCHEDULED', 'PREPARING', 'PULLING', 'PREPARED', 'CREATING')
        AND a.used IS NOT NULL
    UNION ALL
    SELECT format('kernel %s is %s with agent %s', id, status, coalesce(agent, 'none'))
    FROM kernels WHERE (status = 'PENDING') <> (agent IS NULL) AND status <> 'CANCELLED'
    UNION ALL
    -- What no constraint says of kernels, as those of their sessions do; see migration 25.
    SELECT format('kernel %s belongs elsewhere than its session', k.id)
    FROM kernels k JOIN sessions s ON s.id = k.session_id
    WHERE (k.domain_name, k.group_id, k.scaling_group)
      IS DISTINCT FROM (s.domain_name, s.group_id, s.scaling_group_name)
    UNION ALL
    SELECT DISTINCT format('slot %s has no type', slot_name) FROM resource_allocations
    WHERE slot_name NOT IN (SELECT slot_name FROM resource_slot_types)`;
  return v.parse(v.array(discrepancy), [...rows]).map((row) => row.problem);
}

const correction = v.object({
  entityId: v.string(),
  before: v.record(v.string(), v.unknown()),
  after: v.record(v.string(), v.unknown()),
});
export type Correction = v.InferOutput<typeof correction>;

/**
 * Frees what ended kernels still hold, and sets `agent_resources` to what the others hold.
 * Transitions change the books under the same row locks, so none gets lost meanwhile.
 */
export async function correctAccounts(tx: Db): Promise<Correction[]> {
  await tx`SELECT 1 FROM agent_resources ORDER BY agent_id, slot_name FOR NO KEY UPDATE`;
  const freed = await tx`
    UPDATE resource_allocations a SET free_at = now()
      FROM kernels k
     WHERE k.id = a.kernel_id AND a.free_at IS NULL
       AND k.status IN ('TERMINATED', 'CANCELLED', 'ERROR')
    RETURNING a.kernel_id || ' ' || a.slot_name AS "entityId",
      jsonb_build_object('requested', a.requested, 'used', a.used) AS before,
      jsonb_build_object('freed', true) AS after`;
  const corrected = await tx`
    WITH held AS (
      SELECT k.agent, a.slot_name,
        coalesce(sum(a.requested) FILTER (WHERE a.used IS NULL), 0) AS reserved,
        coalesce(sum(a.used), 0) AS used
      FROM resource_allocations a JOIN kernels k ON k.id = a.kernel_id
      WHERE a.free_at IS NULL AND k.agent IS NOT NULL GROUP BY 1, 2
    ), wrong AS (
      SELECT r.agent_id, r.slot_name, r.reserved AS old_reserved, r.used AS old_used,
        coalesce(held.reserved, 0) AS reserved, coalesce(held.used, 0) AS used
      FROM agent_resources r
      LEFT JOIN held ON held.agent = r.agent_id AND held.slot_name = r.slot_name
      WHERE r.reserved IS DISTINCT FROM coalesce(held.reserved, 0)
        OR r.used IS DISTINCT FROM coalesce(held.used, 0)
    )
    UPDATE agent_resources r SET reserved = w.reserved, used = w.used, updated_at = now()
      FROM wrong w WHERE r.agent_id = w.agent_id AND r.slot_name = w.slot_name
    RETURNING r.agent_id || ' ' || r.slot_name AS "entityId",
      jsonb_build_object('reserved', w.old_reserved, 'used', w.old_used) AS before,
      jsonb_build_object('reserved', w.reserved, 'used', w.used) AS after`;
  return v.parse(v.array(correction), [...freed, ...corrected]);
}
