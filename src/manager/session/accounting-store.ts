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
    FROM kernels WHERE (status = 'PENDING') <> (agent IS NULL) AND status <> 'CANCELLED'`;
  return v.parse(v.array(discrepancy), [...rows]).map((row) => row.problem);
}
