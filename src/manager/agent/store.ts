/** The SQL about agents: their rows, their books, and the kernels placed on them. */
import * as v from 'valibot';
import type { Heartbeat, SlotFormat } from '../../common/protocol/manager.ts';
import type { SlotMap, SlotType } from '../../common/slots.ts';
import type { Db } from '../db/connect.ts';
import { jsonText, slotMapColumn } from '../db/json.ts';
import { kernelStatus } from '../session/status.ts';
import type { KnownKernel } from './reconcile.ts';

const agentRow = v.object({
  status: v.picklist(['ALIVE', 'LOST', 'RESTARTING', 'TERMINATED']),
  last_event_seq: v.string(),
  region: v.string(),
  scaling_group: v.string(),
  available_slots: slotMapColumn,
  addr: v.string(),
  public_host: v.nullable(v.string()),
  identity_key: v.nullable(v.string()),
  version: v.string(),
  architecture: v.string(),
  backend: v.nullable(v.string()),
  compute_plugins: v.record(v.string(), v.unknown()),
});
export type AgentRow = v.InferOutput<typeof agentRow>;

export async function selectAgent(sql: Db, agentId: string): Promise<AgentRow | null> {
  const [row] = await sql`
    SELECT status, last_event_seq::text AS last_event_seq, region, scaling_group, available_slots,
      addr, public_host, identity_key, version, architecture, backend, compute_plugins
    FROM agents WHERE id = ${agentId}`;
  return row ? v.parse(agentRow, row) : null;
}

const knownRow = v.object({
  id: v.string(),
  session_id: v.string(),
  status: kernelStatus,
  status_info: v.nullable(v.string()),
  agent: v.nullable(v.string()),
  kernel_host: v.nullable(v.string()),
  status_changed: v.nullable(v.date()),
});

/**
 * The kernels placed on an agent and not ended, and those with the given ids.
 * @param sql goes by keys, see `keyedConnections`.
 */
export async function selectKnownKernels(
  sql: Db,
  agentId: string,
  heldIds: readonly string[],
): Promise<KnownKernel[]> {
  const rows = await sql`
    SELECT id, session_id, status, status_info, agent, kernel_host, status_changed FROM kernels
    WHERE agent = ${agentId} AND terminated_at IS NULL
    UNION
    SELECT id, session_id, status, status_info, agent, kernel_host, status_changed FROM kernels
    WHERE id = ANY(${sql.array([...heldIds])}::uuid[])`;
  return v.parse(v.array(knownRow), [...rows]).map((row) => ({
    id: row.id,
    sessionId: row.session_id,
    status: row.status,
    statusInfo: row.status_info,
    agentId: row.agent,
    host: row.kernel_host,
    statusChangedAt: row.status_changed,
  }));
}

/** Notes where kernels are reached now that their agent has another address. */
export async function moveKernels(
  sql: Db,
  agentId: string,
  moved: readonly { readonly kernelId: string; readonly host: string }[],
): Promise<void> {
  await sql`
    UPDATE kernels k SET kernel_host = c.host
    FROM unnest(${sql.array(moved.map(({ kernelId }) => kernelId))}::uuid[],
      ${sql.array(moved.map(({ host }) => host))}::varchar[]) AS c(id, host)
    WHERE k.id = ANY(ARRAY[c.id]) AND k.agent = ${agentId} AND k.terminated_at IS NULL`;
}

/** Names of the slots that may be counted. */
export async function selectSlotNames(sql: Db): Promise<Set<string>> {
  const rows = await sql`SELECT slot_name FROM resource_slot_types WHERE enabled`;
  return new Set(
    v.parse(v.array(v.object({ slot_name: v.string() })), [...rows]).map((row) => row.slot_name),
  );
}

export interface NewSlotType {
  readonly slot_name: string;
  readonly slot_type: SlotType;
  readonly format: SlotFormat;
}

/** Slot types that one cluster may have. */
const MAX_SLOT_TYPES = 200;

/**
 * Adds kinds of resources that an agent brings, after all others. Those that exist, disabled ones
 * too, stay as they are. @returns names of the added ones.
 */
export async function addSlotTypes(sql: Db, types: readonly NewSlotType[]): Promise<string[]> {
  const rows = await sql`
    INSERT INTO resource_slot_types (slot_name, slot_type, display_name, description, display_unit,
      display_icon, number_format, rank)
    SELECT t.slot_name, t.slot_type, t.format->>'human_readable_name', t.format->>'description',
      t.format->>'display_unit', t.format->>'display_icon', t.format->'number_format',
      (SELECT coalesce(max(rank), 0) FROM resource_slot_types) + 100 * t.position
    FROM jsonb_to_recordset(${jsonText(types.map((type, index) => ({ ...type, position: index + 1 })))}::text::jsonb)
      AS t(slot_name varchar, slot_type varchar, format jsonb, position int)
    WHERE (SELECT count(*) FROM resource_slot_types) + t.position <= ${MAX_SLOT_TYPES}
    ON CONFLICT (slot_name) DO NOTHING RETURNING slot_name`;
  return v
    .parse(v.array(v.object({ slot_name: v.string() })), [...rows])
    .map((row) => row.slot_name);
}

/**
 * Notes that an agent was heard. Who has its row locked is writing what it told, and notes it as well: a
 * heartbeat that waited for that would have agents taken for lost when the database is slow.
 */
export async function touchAgent(sql: Db, agentId: string, now: Date): Promise<void> {
  await sql`
    UPDATE agents SET last_heartbeat = ${now}
    WHERE id = (SELECT id FROM agents WHERE id = ${agentId} FOR NO KEY UPDATE SKIP LOCKED)`;
}

/** Registers or refreshes an agent, alive, with its capacities; slots it lost get capacity 0. */
export async function upsertAgent(
  tx: Db,
  beat: Heartbeat,
  slots: SlotMap,
  now: Date,
): Promise<void> {
  await tx`
    INSERT INTO agents (id, status, status_changed, region, scaling_group, available_slots,
      occupied_slots, addr, public_host, identity_key, first_contact, version, architecture,
      compute_plugins, backend, last_heartbeat)
    VALUES (${beat.agentId}, 'ALIVE', ${now}, ${beat.region}, ${beat.scalingGroup},
      ${jsonText(slots)}::text::jsonb, '{}', ${beat.addr}, ${beat.publicHost}, ${beat.publicKey},
      ${now}, ${beat.version}, ${beat.architecture}, ${jsonText(beat.computePlugins)}::text::jsonb,
      ${beat.backend}, ${now})
    ON CONFLICT (id) DO UPDATE SET
      status = 'ALIVE', lost_at = NULL,
      status_changed = CASE WHEN agents.status = 'ALIVE' THEN agents.status_changed
        ELSE excluded.status_changed END,
      region = excluded.region, scaling_group = excluded.scaling_group,
      available_slots = excluded.available_slots, addr = excluded.addr,
      public_host = excluded.public_host, identity_key = excluded.identity_key,
      version = excluded.version, architecture = excluded.architecture,
      compute_plugins = excluded.compute_plugins, backend = excluded.backend,
      last_heartbeat = excluded.last_heartbeat`;
  await tx`
    INSERT INTO agent_resources (agent_id, slot_name, capacity)
    SELECT ${beat.agentId}, c.key, c.value::numeric
    FROM jsonb_each_text(${jsonText(slots)}::text::jsonb) AS c ORDER BY c.key
    ON CONFLICT (agent_id, slot_name)
    DO UPDATE SET capacity = excluded.capacity, updated_at = ${now}
    WHERE agent_resources.capacity <> excluded.capacity`;
  await tx`
    UPDATE agent_resources SET capacity = 0, updated_at = ${now}
    WHERE agent_id = ${beat.agentId} AND capacity <> 0
      AND NOT slot_name = ANY(${tx.array(Object.keys(slots))}::varchar[])`;
}

/** Notes that an agent left on purpose. @returns whether it was known. */
export async function markGone(
  sql: Db,
  agentId: string,
  status: 'RESTARTING' | 'TERMINATED',
  now: Date,
): Promise<boolean> {
  const rows = await sql`
    UPDATE agents SET status = ${status}, status_changed = ${now}, lost_at = ${now}
    WHERE id = ${agentId} RETURNING 1`;
  return rows.length > 0;
}

/** Marks agents lost that were last heard of before `deadline`. @returns their ids. */
export async function markLost(sql: Db, deadline: Date, now: Date): Promise<string[]> {
  const rows = await sql`
    UPDATE agents SET status = 'LOST', status_changed = ${now},
      lost_at = coalesce(lost_at, ${now})
    WHERE status IN ('ALIVE', 'RESTARTING')
      AND coalesce(last_heartbeat, first_contact, '-infinity') < ${deadline}
    RETURNING id`;
  return v.parse(v.array(v.object({ id: v.string() })), [...rows]).map((row) => row.id);
}

const orphanRow = v.object({
  id: v.string(),
  status: kernelStatus,
  agent: v.string(),
  lost_at: v.nullable(v.date()),
});
export type Orphan = v.InferOutput<typeof orphanRow>;

/** Placed kernels whose agent is away; at most `limit`. */
export async function selectOrphans(sql: Db, limit: number): Promise<Orphan[]> {
  const rows = await sql`
    SELECT k.id, k.status, k.agent, a.lost_at
    FROM agents a JOIN kernels k ON k.agent = a.id AND k.terminated_at IS NULL
    WHERE a.status IN ('LOST', 'TERMINATED') ORDER BY k.id LIMIT ${limit}`;
  return v.parse(v.array(orphanRow), [...rows]);
}

const overdueRow = v.object({ id: v.string(), status: kernelStatus, limit_sec: v.number() });

/** Upstream's handlers, whose options a session carries, by the status in which each is at work. */
const HANDLERS = {
  SCHEDULED: 'check-precondition',
  PREPARING: 'check-precondition',
  PULLING: 'check-precondition',
  PREPARED: 'start-sessions',
  CREATING: 'start-sessions',
  TERMINATING: 'terminate-sessions',
};

/**
 * Kernels that have been in their status for longer than their session's options allow, or else
 * `limitsSec`; at most `limit`.
 */
export async function selectOverdue(
  sql: Db,
  limitsSec: Readonly<Record<string, number>>,
  now: Date,
  limit: number,
): Promise<v.InferOutput<typeof overdueRow>[]> {
  const handlers = jsonText(HANDLERS);
  const rows = await sql`
    SELECT k.id, k.status, d.seconds::float AS limit_sec
    FROM jsonb_each_text(${jsonText(limitsSec)}::text::jsonb) AS c
    -- OFFSET 0: only these lead to kernels, and kernels to sessions, whatever is known of the tables.
    CROSS JOIN LATERAL (SELECT * FROM kernels WHERE status = c.key OFFSET 0) AS k
    CROSS JOIN LATERAL (SELECT options FROM sessions WHERE id = k.session_id OFFSET 0) AS s
    CROSS JOIN LATERAL (SELECT s.options->'handler_options' AS said,
      ${handlers}::text::jsonb->>k.status AS handler) AS o
    CROSS JOIN LATERAL (SELECT coalesce((o.said#>>ARRAY['by_handler', o.handler, 'timeout'])::numeric,
      (o.said#>>'{default,timeout}')::numeric, c.value::numeric) AS seconds) AS d
    WHERE k.status_changed < ${now}::timestamptz - d.seconds * interval '1 second'
    ORDER BY k.id LIMIT ${limit}`;
  return v.parse(v.array(overdueRow), [...rows]);
}

const doomedRow = v.object({ id: v.string(), name: v.nullable(v.string()), result: v.string() });

/** Kernels of sessions that wait for one which ended without success, and that one's name. */
export async function selectDoomed(
  sql: Db,
  limit: number,
): Promise<v.InferOutput<typeof doomedRow>[]> {
  const rows = await sql`
    SELECT DISTINCT ON (k.id) k.id, p.name, p.status || ', ' || p.result AS result
    FROM session_dependencies d
    JOIN sessions s ON s.id = d.session_id AND s.status = 'PENDING'
    JOIN sessions p ON p.id = d.depends_on
      AND p.status IN ('TERMINATED', 'CANCELLED', 'ERROR')
      AND (p.status <> 'TERMINATED' OR p.result <> 'SUCCESS')
    JOIN kernels k ON k.session_id = s.id AND k.status = 'PENDING'
    -- Who waits is not looked at where nobody has ever waited for anybody.
    WHERE EXISTS (SELECT FROM session_dependencies)
    ORDER BY k.id LIMIT ${limit}`;
  return v.parse(v.array(doomedRow), [...rows]);
}

/** Main kernels of batch sessions that run longer than they may by `graceSec`. */
export async function selectOutOfTime(
  sql: Db,
  now: Date,
  graceSec: number,
  limit: number,
): Promise<string[]> {
  const rows = await sql`
    SELECT k.id FROM sessions s
    CROSS JOIN LATERAL (
      SELECT * FROM kernels WHERE session_id = s.id AND cluster_role = 'main' OFFSET 0) AS k
    WHERE k.status = 'RUNNING' AND s.status = 'RUNNING' AND s.session_type = 'BATCH' AND s.batch_timeout > 0
      AND k.starts_at < ${now}::timestamptz - (s.batch_timeout + ${graceSec}) * interval '1 second'
    ORDER BY k.id LIMIT ${limit}`;
  return v.parse(v.array(v.object({ id: v.string() })), [...rows]).map((row) => row.id);
}

/** Kernels of sessions that wait longer than their resource group's `pending_timeout`. */
export async function selectPendingTooLong(sql: Db, now: Date, limit: number): Promise<string[]> {
  const rows = await sql`
    SELECT k.id
    FROM scaling_groups g
    -- OFFSET 0: only groups that have a limit lead to sessions, and these to kernels.
    CROSS JOIN LATERAL (SELECT * FROM sessions
      WHERE scaling_group_name = g.name AND status IN ('PENDING', 'DEPRIORITIZING') OFFSET 0) AS s
    CROSS JOIN LATERAL (SELECT * FROM kernels WHERE session_id = s.id OFFSET 0) AS k
    WHERE s.status = 'PENDING' AND k.status = 'PENDING'
      AND jsonb_typeof(g.scheduler_opts->'pending_timeout') = 'number'
      AND (g.scheduler_opts->>'pending_timeout')::numeric > 0
      AND greatest(s.created_at, CASE WHEN s.session_type = 'BATCH' THEN s.starts_at END,
          -- Back in the queue after it had run.
          CASE WHEN k.status_history ? 'TERMINATING' THEN k.status_changed END)
        < ${now}::timestamptz
          - (g.scheduler_opts->>'pending_timeout')::numeric * interval '1 second'
    ORDER BY k.id LIMIT ${limit}`;
  return v.parse(v.array(v.object({ id: v.string() })), [...rows]).map((row) => row.id);
}
