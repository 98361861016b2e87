/** The SQL of idle checks: the sessions that run, with the limits of their owners' policies. */
import * as v from 'valibot';
import type { Db } from '../db/connect.ts';
import { slotMapColumn } from '../db/json.ts';
import { sessionTypeColumn } from '../session/status.ts';
import type { Subject } from './checks.ts';

const row = v.object({
  session_id: v.string(),
  session_type: sessionTypeColumn,
  scaling_group: v.nullable(v.string()),
  started_at: v.date(),
  created_at: v.date(),
  user_created_at: v.nullable(v.date()),
  idle_timeout: v.number(),
  max_session_lifetime: v.number(),
  requested_slots: slotMapColumn,
});

function toSubject(found: v.InferOutput<typeof row>): Subject {
  return {
    sessionId: found.session_id,
    sessionType: found.session_type,
    scalingGroup: found.scaling_group,
    startedAt: found.started_at,
    createdAt: found.created_at,
    userCreatedAt: found.user_created_at,
    idleTimeoutSec: found.idle_timeout,
    maxLifetimeSec: found.max_session_lifetime,
    requestedSlots: found.requested_slots,
  };
}

/**
 * A session's policy is that of its keypair; when that is gone, of its owner's main keypair; a session
 * with neither has no limits.
 */
const subjects = (sql: Db, condition: ReturnType<Db>) => sql`
  SELECT k.session_id, k.session_type, k.scaling_group, k.created_at,
    coalesce(k.starts_at, k.created_at) AS started_at, u.created_at AS user_created_at,
    coalesce(p.idle_timeout, -1)::float8 AS idle_timeout,
    coalesce(p.max_session_lifetime, 0)::float8 AS max_session_lifetime, k.requested_slots
  FROM kernels k
  LEFT JOIN users u ON u.uuid = k.user_uuid
  LEFT JOIN keypairs own ON own.access_key = k.access_key
  LEFT JOIN keypairs main ON main.access_key = u.main_access_key
  LEFT JOIN keypair_resource_policies p
    ON p.name = coalesce(own.resource_policy, main.resource_policy)
  WHERE k.status = 'RUNNING' AND k.cluster_role = 'main' AND k.session_type <> 'INFERENCE'
    AND ${condition}`;

/** The running sessions after `afterId`, by id. */
export async function selectSubjects(
  sql: Db,
  afterId: string | null,
  limit: number,
): Promise<Subject[]> {
  const rows = await sql`
    ${subjects(sql, afterId === null ? sql`true` : sql`k.session_id > ${afterId}::uuid`)}
    ORDER BY k.session_id LIMIT ${limit}`;
  return v.parse(v.array(row), [...rows]).map(toSubject);
}

/** Those of the given sessions that run. Who may see them is the caller's to decide. */
export async function selectSubjectsById(sql: Db, ids: readonly string[]): Promise<Subject[]> {
  const rows = await subjects(sql, sql`k.session_id = ANY(${[...ids]}::uuid[])`);
  return v.parse(v.array(row), [...rows]).map(toSubject);
}

const kernelRow = v.object({
  id: v.string(),
  session_id: v.string(),
  memory: v.number(),
});

/** The running kernels of sessions, on agents that report. `memory` is in bytes. */
export async function selectMeasurable(
  sql: Db,
  sessionIds: readonly string[],
): Promise<v.InferOutput<typeof kernelRow>[]> {
  const rows = await sql`
    SELECT k.id, k.session_id,
      coalesce((k.occupied_slots->>'mem')::float8, (k.requested_slots->>'mem')::float8, 0) AS memory
    FROM kernels k JOIN agents a ON a.id = k.agent AND a.status = 'ALIVE'
    WHERE k.session_id = ANY(${[...sessionIds]}::uuid[]) AND k.status = 'RUNNING'`;
  return v.parse(v.array(kernelRow), [...rows]);
}
