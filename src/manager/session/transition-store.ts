/**
 * The SQL of transitions: locks and reads the sessions concerned, and writes what the fold decided.
 *
 * Every writer of a kernel's or session's status goes through here, so the row lock on the session
 * serialises them. Locks are taken in one order everywhere: agents, sessions, agent_resources.
 */
import * as v from 'valibot';
import { formatAmount } from '../../common/slots.ts';
import type { Db } from '../db/connect.ts';
import { amountColumn, jsonText, keyedRows } from '../db/json.ts';
import { insertCallbacks } from './callback-store.ts';
import type { Allocation, KernelState, SessionState } from './reports.ts';
import { kernelStatus, sessionResult, sessionStatus } from './status.ts';
import type { Changes, HistoryEntry, ResourceDelta } from './transition-fold.ts';

const sessionRow = v.object({
  id: v.string(),
  status: sessionStatus,
  status_info: v.nullable(v.string()),
  status_data: v.nullable(v.record(v.string(), v.unknown())),
  result: sessionResult,
  callback_url: v.nullable(v.string()),
  max_retries: v.nullable(v.number()),
});

const kernelRow = v.object({
  id: v.string(),
  session_id: v.string(),
  status: kernelStatus,
  status_info: v.nullable(v.string()),
  cluster_role: v.string(),
  cluster_idx: v.number(),
  must_join: v.boolean(),
  agent: v.nullable(v.string()),
  agent_addr: v.nullable(v.string()),
});

const allocationRow = v.object({
  kernel_id: v.string(),
  slot_name: v.string(),
  requested: amountColumn,
  used: v.nullable(amountColumn),
});

function groupBy<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const out = new Map<string, T[]>();
  for (const item of items) {
    const list = out.get(key(item));
    if (list) list.push(item);
    else out.set(key(item), [item]);
  }
  return out;
}

/** As the session's options say of starting it, else as they say in general, else five times. */
const maxRetries = (sql: Db) => sql`
  CASE WHEN jsonb_typeof(options#>'{handler_options,by_handler,start-sessions,max_retry_count}') = 'number'
      THEN (options#>>'{handler_options,by_handler,start-sessions,max_retry_count}')::numeric::int
    WHEN options#>'{handler_options,default}' ? 'max_retry_count'
      THEN (options#>>'{handler_options,default,max_retry_count}')::numeric::int
    ELSE 5 END AS max_retries`;

/** Locks the sessions of the given kernels until the transaction ends, and reads them whole. */
export async function lockSessions(tx: Db, kernelIds: readonly string[]): Promise<SessionState[]> {
  if (kernelIds.length === 0) return [];
  const ids = tx.array([...new Set(kernelIds)]);
  const concerned = tx`ARRAY(SELECT session_id FROM kernels WHERE id = ANY(${ids}::uuid[]))`;
  // Sent together: the later statements see what the lock waited for.
  const [sessions, kernels, allocations] = await Promise.all([
    tx`
      SELECT id, status, status_info, status_data, result, callback_url, ${maxRetries(tx)}
      FROM sessions
      WHERE id = ANY(${concerned})
      ORDER BY id FOR NO KEY UPDATE`,
    tx`
      SELECT id, session_id, status, status_info, cluster_role, cluster_idx,
        cluster_size > 1 AND cluster_joined_at IS NULL AS must_join, agent, agent_addr
      FROM kernels
      WHERE session_id = ANY(${concerned})
      ORDER BY cluster_idx, id`,
    tx`
      SELECT kernel_id, slot_name, requested, used FROM resource_allocations
      WHERE free_at IS NULL
        AND kernel_id = ANY(ARRAY(SELECT id FROM kernels WHERE session_id = ANY(${concerned})))
      ORDER BY slot_name`,
  ]);
  const held = groupBy(v.parse(v.array(allocationRow), [...allocations]), (row) => row.kernel_id);
  const ofSession = groupBy(v.parse(v.array(kernelRow), [...kernels]), (row) => row.session_id);
  return v.parse(v.array(sessionRow), [...sessions]).map((row) => ({
    id: row.id,
    status: row.status,
    statusInfo: row.status_info,
    statusData: row.status_data ?? {},
    result: row.result,
    callbackUrl: row.callback_url,
    maxRetries: row.max_retries,
    kernels: (ofSession.get(row.id) ?? []).map((kernel) =>
      kernelState(kernel, held.get(kernel.id) ?? []),
    ),
  }));
}

function kernelState(
  row: v.InferOutput<typeof kernelRow>,
  allocations: readonly v.InferOutput<typeof allocationRow>[],
): KernelState {
  return {
    id: row.id,
    sessionId: row.session_id,
    status: row.status,
    statusInfo: row.status_info,
    isMain: row.cluster_role === 'main' && row.cluster_idx === 1,
    mustJoin: row.must_join,
    agentId: row.agent,
    agentAddr: row.agent_addr,
    allocations: allocations.map(
      ({ slot_name, requested, used }): Allocation => ({ slot: slot_name, requested, used }),
    ),
  };
}

/** What is free on an agent, by slot. Millionths. */
export type FreeSlots = Map<string, bigint>;

const resourceRow = v.object({
  agent_id: v.string(),
  slot_name: v.string(),
  capacity: amountColumn,
  reserved: amountColumn,
  used: amountColumn,
});

/** Locks the books of the given agents and reads what is free on each. */
export async function lockAgentResources(
  tx: Db,
  agentIds: readonly string[],
): Promise<Map<string, FreeSlots>> {
  if (agentIds.length === 0) return new Map();
  const rows = await tx`
    SELECT agent_id, slot_name, capacity, reserved, used FROM agent_resources
    WHERE agent_id = ANY(${tx.array([...new Set(agentIds)])}::varchar[])
    ORDER BY agent_id, slot_name FOR NO KEY UPDATE`;
  const out = new Map<string, FreeSlots>();
  for (const row of v.parse(v.array(resourceRow), [...rows])) {
    const free = out.get(row.agent_id) ?? new Map<string, bigint>();
    free.set(row.slot_name, row.capacity - row.reserved - row.used);
    out.set(row.agent_id, free);
  }
  return out;
}

/**
 * Writes the changes. The caller holds the locks of `lockSessions`.
 * @throws Error when reserving would exceed an agent's capacity; the transaction must not commit.
 */
export async function writeChanges(tx: Db, changes: Changes, now: Date): Promise<void> {
  await Promise.all([
    writeResources(tx, changes.resources, now),
    writeAllocations(tx, changes, now),
    writeKernels(tx, changes, now),
    writeSessions(tx, changes, now),
    insertHistory(tx, changes.history, now),
  ]);
  // After the sessions, which the calls show.
  await insertCallbacks(tx, changes.callbacks, now);
}

async function writeResources(tx: Db, deltas: readonly ResourceDelta[], now: Date) {
  if (deltas.length === 0) return;
  const rows = keyedRows(
    deltas.map((delta) => ({
      agent_id: delta.agentId,
      slot_name: delta.slot,
      reserved: formatAmount(delta.reserved),
      used: formatAmount(delta.used),
    })),
  );
  const [, updated] = await Promise.all([
    tx`
      SELECT 1 FROM agent_resources WHERE (agent_id, slot_name) IN (
        SELECT agent_id, slot_name
        FROM json_to_recordset(${rows}::text::json) AS c(agent_id varchar, slot_name varchar))
      ORDER BY agent_id, slot_name FOR NO KEY UPDATE`,
    tx`
      UPDATE agent_resources r
      SET reserved = greatest(0, r.reserved + c.reserved), used = greatest(0, r.used + c.used),
        updated_at = ${now}
      FROM json_to_recordset(${rows}::text::json)
        AS c(agent_id varchar, slot_name varchar, reserved numeric, used numeric, one int)
      WHERE c.one = 1 AND r.agent_id = c.agent_id AND r.slot_name = c.slot_name
        AND (c.reserved <= 0 OR r.reserved + c.reserved + r.used + c.used <= r.capacity)
      RETURNING c.reserved > 0 AS reserving`,
  ]);
  const reserving = deltas.filter((delta) => delta.reserved > 0n).length;
  if (updated.filter((row) => row.reserving).length !== reserving) {
    throw new Error('a reservation exceeds the capacity of an agent');
  }
}

async function writeAllocations(tx: Db, changes: Changes, now: Date) {
  const used = keyedRows(
    changes.usedAllocations.map((item) => ({ ...item, used: formatAmount(item.used) })),
  );
  await Promise.all([
    changes.requeuedKernels.length > 0 &&
      tx`
        UPDATE resource_allocations SET used = NULL, used_at = NULL
        WHERE kernel_id = ANY(${tx.array([...changes.requeuedKernels])}::uuid[]) AND free_at IS NULL`,
    changes.usedAllocations.length > 0 &&
      tx`
        UPDATE resource_allocations a SET used = c.used, used_at = ${now}
        FROM json_to_recordset(${used}::text::json)
          AS c("kernelId" uuid, slot varchar, used numeric, one int)
        WHERE c.one = 1 AND a.kernel_id = c."kernelId" AND a.slot_name = c.slot`,
    changes.freedKernels.length > 0 &&
      tx`
        UPDATE resource_allocations SET free_at = ${now}
        WHERE kernel_id = ANY(${tx.array([...changes.freedKernels])}::uuid[]) AND free_at IS NULL`,
  ]);
}

async function writeKernels(tx: Db, changes: Changes, now: Date) {
  if (changes.kernels.length === 0) return;
  const rows = changes.kernels.map(({ logs, ...kernel }) => ({
    ...kernel,
    logs: logs === null ? null : Buffer.from(logs.toWellFormed()).toString('base64'),
  }));
  await tx`
    UPDATE kernels k SET
      status = c.status,
      status_changed = CASE WHEN k.status = c.status THEN k.status_changed ELSE ${now} END,
      status_info = c."statusInfo",
      status_data = coalesce(k.status_data, '{}') || c."dataPatch",
      status_history = coalesce(k.status_history, '{}') || c."historyPatch",
      agent = c."agentId",
      agent_addr = c."agentAddr",
      container_id = coalesce(left(c.info->>'containerId', 64), k.container_id),
      kernel_host = coalesce(left(c.info->>'kernelHost', 128), k.kernel_host),
      service_ports = coalesce(c.info->'servicePorts', k.service_ports),
      attached_devices = coalesce(c.info->'attachedDevices', k.attached_devices),
      occupied_slots = coalesce(c.info->'occupiedSlots', k.occupied_slots),
      isolation_gaps = coalesce(c.info->'isolationGaps', k.isolation_gaps),
      starts_at = CASE WHEN c.status = 'PENDING' THEN NULL
        WHEN c.info IS NULL THEN k.starts_at ELSE ${now} END,
      terminated_at = CASE WHEN c.ended THEN coalesce(k.terminated_at, ${now}) END,
      result = coalesce(c.result, k.result),
      container_log = coalesce(decode(c.logs, 'base64'), k.container_log),
      cluster_joined_at = CASE WHEN c."mustJoin" OR k.cluster_size = 1 THEN NULL
        ELSE coalesce(k.cluster_joined_at, ${now}) END
    FROM json_to_recordset(${keyedRows(rows)}::text::json) AS c(
      id uuid, status varchar, "statusInfo" varchar, "dataPatch" jsonb, "historyPatch" jsonb,
      "agentId" varchar, "agentAddr" varchar, info jsonb, ended boolean, result varchar, logs text,
      "mustJoin" boolean, one int)
    WHERE c.one = 1 AND k.id = c.id`;
}

async function writeSessions(tx: Db, changes: Changes, now: Date) {
  if (changes.sessions.length === 0) return;
  await tx`
    UPDATE sessions s SET
      status = c.status,
      status_info = c."statusInfo",
      status_data = c."statusData",
      status_history = coalesce(s.status_history, '{}') || c."historyPatch",
      result = c.result,
      agent_ids = ARRAY(SELECT jsonb_array_elements_text(c."agentIds")),
      occupying_slots = coalesce(c."occupyingSlots", s.occupying_slots),
      starts_at = CASE WHEN c.status = 'RUNNING' THEN coalesce(s.starts_at, ${now})
        -- It runs again later, from the beginning.
        WHEN c.status = 'PENDING' AND s.status = 'TERMINATING' THEN NULL
        ELSE s.starts_at END,
      terminated_at = CASE WHEN c.ended THEN coalesce(s.terminated_at, ${now}) END,
      cluster_ssh_keypair = CASE WHEN c.ended THEN NULL ELSE s.cluster_ssh_keypair END
    FROM json_to_recordset(${keyedRows(changes.sessions)}::text::json) AS c(
      id uuid, status varchar, "statusInfo" varchar, "statusData" jsonb, "historyPatch" jsonb,
      result varchar, "agentIds" jsonb, "occupyingSlots" jsonb, ended boolean, one int)
    WHERE c.one = 1 AND s.id = c.id`;
}

/**
 * Adds history rows. Transitions never repeat without another in between, so there is nothing to
 * merge here. A microsecond apart, because rows of one batch must keep their order.
 */
async function insertHistory(tx: Db, entries: readonly HistoryEntry[], now: Date) {
  const numbered = entries.map((entry, index) => ({ ...entry, index }));
  const kernels = numbered.filter((entry) => entry.kernelId !== null);
  const sessions = numbered.filter((entry) => entry.kernelId === null);
  await Promise.all([
    kernels.length > 0 &&
      tx`
        INSERT INTO kernel_scheduling_history
          (kernel_id, session_id, phase, from_status, to_status, result, message, attempts,
           created_at, updated_at)
        SELECT "kernelId", "sessionId", phase, "from", "to", result, message, 1, at, at
        FROM (SELECT *, ${now}::timestamptz + index * interval '1 microsecond' AS at
          FROM json_to_recordset(${jsonText(kernels)}::text::json) AS c("kernelId" uuid,
            "sessionId" uuid, phase varchar, "from" varchar, "to" varchar, result varchar,
            message text, index int)) AS entries`,
    sessions.length > 0 &&
      tx`
        INSERT INTO session_scheduling_history
          (session_id, phase, from_status, to_status, result, message, attempts,
           created_at, updated_at)
        SELECT "sessionId", phase, "from", "to", result, message, 1, at, at
        FROM (SELECT *, ${now}::timestamptz + index * interval '1 microsecond' AS at
          FROM json_to_recordset(${jsonText(sessions)}::text::json) AS c("sessionId" uuid,
            phase varchar, "from" varchar, "to" varchar, result varchar, message text,
            index int)) AS entries`,
  ]);
}

const cursorRow = v.object({ id: v.string(), seq: v.pipe(v.string(), v.transform(Number)) });

/** Locks the agents' rows and reads the numbers of their last applied events. */
export async function lockEventCursors(
  tx: Db,
  agentIds: readonly string[],
): Promise<Map<string, number>> {
  if (agentIds.length === 0) return new Map();
  const rows = await tx`
    SELECT id, last_event_seq::text AS seq FROM agents
    WHERE id = ANY(${tx.array([...new Set(agentIds)])}::varchar[]) ORDER BY id FOR NO KEY UPDATE`;
  return new Map(v.parse(v.array(cursorRow), [...rows]).map(({ id, seq }) => [id, seq]));
}

export async function moveEventCursors(
  tx: Db,
  cursors: ReadonlyMap<string, number>,
): Promise<void> {
  if (cursors.size === 0) return;
  const rows = keyedRows([...cursors].map(([id, seq]) => ({ id, seq })));
  await tx`
    UPDATE agents a SET last_event_seq = c.seq
    FROM json_to_recordset(${rows}::text::json) AS c(id varchar, seq bigint, one int)
    WHERE c.one = 1 AND a.id = c.id`;
}
