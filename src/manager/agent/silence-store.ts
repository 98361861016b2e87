/** What the history of sessions says of agents that fall silent and are heard again. */
import type { Db } from '../db/connect.ts';

const entries = {
  lost: {
    phase: 'agent-lost',
    result: 'STALE',
    says: 'is not heard any more. What runs there is left as it is, in case the agent comes back.',
  },
  back: {
    phase: 'agent-back',
    result: 'SUCCESS',
    says: 'is heard again. The session goes on.',
  },
} as const;

/** Adds one entry for each session, and each kernel, that has not ended on one of the agents. */
export async function noteSilence(
  tx: Db,
  what: keyof typeof entries,
  agentIds: readonly string[],
  now: Date,
): Promise<void> {
  if (agentIds.length === 0) return;
  const { phase, result, says } = entries[what];
  await tx`
    WITH affected AS (
      SELECT k.id, k.session_id, k.status, k.agent FROM kernels k
      WHERE k.agent = ANY(${tx.array([...agentIds])}::varchar[]) AND k.terminated_at IS NULL
    ), kernel_entries AS (
      INSERT INTO kernel_scheduling_history (kernel_id, session_id, phase, from_status, to_status,
        result, message, attempts, created_at, updated_at)
      SELECT id, session_id, ${phase}, status, status, ${result},
        format('The agent %s ', agent) || ${says}, 1, ${now}::timestamptz, ${now}::timestamptz
      FROM affected
    )
    INSERT INTO session_scheduling_history (session_id, phase, from_status, to_status, result,
      message, attempts, created_at, updated_at)
    SELECT s.id, ${phase}, s.status, s.status, ${result},
      format('The agent %s ', string_agg(DISTINCT a.agent, ', ')) || ${says}, 1,
      ${now}::timestamptz, ${now}::timestamptz
    FROM affected a JOIN sessions s ON s.id = a.session_id GROUP BY s.id, s.status`;
}
