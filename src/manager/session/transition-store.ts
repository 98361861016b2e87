/**
 * The SQL of transitions: locks and reads the sessions concerned, and writes what the fold decided.
 *
 * Every writer of a kernel's or session's status goes through here, so the row lock on the session
 * serialises them. Locks are taken in one order everywhere: agents, sessions, agent_resources.
 *
 * Rows to write come as columns. They are joined by `key = ANY(ARRAY[c.key])` and not `key = c.key`, to which a
 * plan that was made while the table was nearly empty answers by reading all of its index, once or for each
 * row, as long as the plan is kept. Of the former it makes nothing but a look-up; so does a subquery that
 * ends with OFFSET 0.
 */
import * as v from 'valibot';
import { formatAmount } from '../../common/slots.ts';
import type { Db } from '../db/connect.ts';
import { amountColumn, jsonColumn, listText, textColumn } from '../db/json.ts';
import { insertCallbacks } from './callback-store.ts';
import { sessionTrace } from './life-trace.ts';
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
  trace: v.nullable(sessionTrace),
});

/** The driver reads no NULL in lists. */
const notUsed = v.pipe(
  v.literal(''),
  v.transform(() => null),
);

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
  /** Of each slot that it holds, in the order of `slots`. */
  slots: v.nullable(v.array(v.string())),
  requested: v.nullable(v.array(amountColumn)),
  used: v.nullable(v.array(v.union([notUsed, amountColumn]))),
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

/** Nothing is read for sessions that nobody traces. */
const traceColumn = (sql: Db) => sql`
  CASE WHEN trace_context IS NOT NULL THEN jsonb_build_object('parent', trace_context,
    'resourceGroup', scaling_group_name, 'pendingAt', status_history->>'PENDING',
    'scheduledAt', status_history->>'SCHEDULED') END AS trace`;

/** Whose sessions are meant: the kernels' and those named themselves. */
export interface Concerned {
  readonly kernelIds: readonly string[];
  readonly sessionIds?: readonly string[];
}

/** Locks sessions until the transaction ends, and reads them whole. */
export async function lockSessions(
  tx: Db,
  { kernelIds, sessionIds = [] }: Concerned,
): Promise<SessionState[]> {
  if (kernelIds.length + sessionIds.length === 0) return [];
  const concerned = tx`
    unnest(ARRAY(SELECT session_id FROM (SELECT session_id FROM kernels
      WHERE id = ANY(${textColumn(tx, [...new Set(kernelIds)])}::uuid[]) OFFSET 0) AS k
      UNION SELECT unnest(${textColumn(tx, sessionIds)}::uuid[]) ORDER BY 1)) AS c(id)`;
  // Sent together: the later statement sees what the lock waited for. Locked in the order of ids.
  const [sessions, kernels] = await Promise.all([
    tx`
      SELECT s.* FROM ${concerned} CROSS JOIN LATERAL (
        SELECT id, status, status_info, status_data, result, callback_url, ${maxRetries(tx)},
          ${traceColumn(tx)}
        FROM sessions WHERE id = c.id FOR NO KEY UPDATE) AS s`,
    tx`
      SELECT k.*, held.* FROM ${concerned}
      CROSS JOIN LATERAL (
        SELECT id, session_id, status, status_info, cluster_role, cluster_idx,
          cluster_size > 1 AND cluster_joined_at IS NULL AS must_join, agent, agent_addr
        FROM kernels WHERE session_id = c.id OFFSET 0) AS k
      CROSS JOIN LATERAL (
        SELECT array_agg(slot_name ORDER BY slot_name) AS slots,
          array_agg(requested::text ORDER BY slot_name) AS requested,
          array_agg(coalesce(used::text, '') ORDER BY slot_name) AS used
        FROM resource_allocations WHERE kernel_id = k.id AND free_at IS NULL) AS held
      ORDER BY k.cluster_idx, k.id`,
  ]);
  const ofSession = groupBy(v.parse(v.array(kernelRow), [...kernels]), (row) => row.session_id);
  return v.parse(v.array(sessionRow), [...sessions]).map((row) => ({
    id: row.id,
    status: row.status,
    statusInfo: row.status_info,
    statusData: row.status_data ?? {},
    result: row.result,
    callbackUrl: row.callback_url,
    maxRetries: row.max_retries,
    trace: row.trace,
    kernels: (ofSession.get(row.id) ?? []).map(kernelState),
  }));
}

function kernelState(row: v.InferOutput<typeof kernelRow>): KernelState {
  const { slots, requested, used } = row;
  return {
    id: row.id,
    sessionId: row.session_id,
    status: row.status,
    statusInfo: row.status_info,
    isMain: row.cluster_role === 'main' && row.cluster_idx === 1,
    mustJoin: row.must_join,
    agentId: row.agent,
    agentAddr: row.agent_addr,
    allocations: (slots ?? []).map(
      (slot, index): Allocation => ({
        ...{ slot, requested: requested?.[index] ?? 0n, used: used?.[index] ?? null },
      }),
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
  const agents = textColumn(
    tx,
    deltas.map(({ agentId }) => agentId),
  );
  const slots = textColumn(
    tx,
    deltas.map(({ slot }) => slot),
  );
  const amounts = (of: 'reserved' | 'used') =>
    textColumn(
      tx,
      deltas.map((delta) => formatAmount(delta[of])),
    );
  const [, updated] = await Promise.all([
    tx`
      SELECT 1 FROM agent_resources WHERE (agent_id, slot_name) IN (
        SELECT agent_id, slot_name
        FROM unnest(${agents}::varchar[], ${slots}::varchar[]) AS c(agent_id, slot_name))
      ORDER BY agent_id, slot_name FOR NO KEY UPDATE`,
    tx`
      UPDATE agent_resources r
      SET reserved = greatest(0, r.reserved + c.reserved), used = greatest(0, r.used + c.used),
        updated_at = ${now}
      FROM unnest(${agents}::varchar[], ${slots}::varchar[], ${amounts('reserved')}::numeric[],
        ${amounts('used')}::numeric[]) AS c(agent_id, slot_name, reserved, used)
      WHERE r.agent_id = ANY(ARRAY[c.agent_id]) AND r.slot_name = ANY(ARRAY[c.slot_name])
        AND (c.reserved <= 0 OR r.reserved + c.reserved + r.used + c.used <= r.capacity)
      RETURNING c.reserved > 0 AS reserving`,
  ]);
  const reserving = deltas.filter((delta) => delta.reserved > 0n).length;
  if (updated.filter((row) => row.reserving).length !== reserving) {
    throw new Error('a reservation exceeds the capacity of an agent');
  }
}

async function writeAllocations(tx: Db, changes: Changes, now: Date) {
  const { usedAllocations: used } = changes;
  const usedColumn = (of: (item: (typeof used)[number]) => string) => textColumn(tx, used.map(of));
  await Promise.all([
    changes.requeuedKernels.length > 0 &&
      tx`
        UPDATE resource_allocations SET used = NULL, used_at = NULL
        WHERE kernel_id = ANY(${tx.array([...changes.requeuedKernels])}::uuid[]) AND free_at IS NULL`,
    used.length > 0 &&
      tx`
        UPDATE resource_allocations a SET used = c.used, used_at = ${now}
        FROM unnest(${usedColumn(({ kernelId }) => kernelId)}::uuid[],
          ${usedColumn(({ slot }) => slot)}::varchar[],
          ${usedColumn((item) => formatAmount(item.used))}::numeric[])
          AS c(kernel_id, slot_name, used)
        WHERE a.kernel_id = ANY(ARRAY[c.kernel_id]) AND a.slot_name = ANY(ARRAY[c.slot_name])`,
    changes.freedKernels.length > 0 &&
      tx`
        UPDATE resource_allocations SET free_at = ${now}
        WHERE kernel_id = ANY(${tx.array([...changes.freedKernels])}::uuid[]) AND free_at IS NULL`,
  ]);
}

async function writeKernels(tx: Db, { kernels }: Changes, now: Date) {
  if (kernels.length === 0) return;
  type Kernel = Changes['kernels'][number];
  const text = (of: (kernel: Kernel) => string | null) => textColumn(tx, kernels.map(of));
  const json = (of: (kernel: Kernel) => object | null) => jsonColumn(tx, kernels.map(of));
  const logsOf = ({ logs }: Kernel) =>
    logs === null ? null : Buffer.from(logs.toWellFormed()).toString('base64');
  await tx`
    UPDATE kernels k SET
      status = c.status,
      status_changed = CASE WHEN k.status = c.status THEN k.status_changed ELSE ${now} END,
      status_info = c.status_info,
      status_data = coalesce(k.status_data, '{}') || c.data_patch,
      status_history = coalesce(k.status_history, '{}') || c.history_patch,
      agent = c.agent,
      agent_addr = c.agent_addr,
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
      cluster_joined_at = CASE WHEN c.must_join OR k.cluster_size = 1 THEN NULL
        ELSE coalesce(k.cluster_joined_at, ${now}) END
    FROM unnest(
      ${text(({ id }) => id)}::uuid[], ${text(({ status }) => status)}::varchar[],
      ${text(({ statusInfo }) => statusInfo)}::varchar[],
      ${json(({ dataPatch }) => dataPatch)}::jsonb[],
      ${json(({ historyPatch }) => historyPatch)}::jsonb[],
      ${text(({ agentId }) => agentId)}::varchar[],
      ${text(({ agentAddr }) => agentAddr)}::varchar[], ${json(({ info }) => info)}::jsonb[],
      ${text(({ ended }) => String(ended))}::boolean[],
      ${text(({ result }) => result)}::varchar[], ${text(logsOf)}::text[],
      ${text(({ mustJoin }) => String(mustJoin))}::boolean[]
    ) AS c(id, status, status_info, data_patch, history_patch, agent, agent_addr, info, ended, result,
      logs, must_join)
    WHERE k.id = ANY(ARRAY[c.id])`;
}

async function writeSessions(tx: Db, { sessions }: Changes, now: Date) {
  if (sessions.length === 0) return;
  type Session = Changes['sessions'][number];
  const text = (of: (session: Session) => string | null) => textColumn(tx, sessions.map(of));
  const json = (of: (session: Session) => object | null) => jsonColumn(tx, sessions.map(of));
  await tx`
    UPDATE sessions s SET
      status = c.status,
      status_info = c.status_info,
      status_data = c.status_data,
      status_history = coalesce(s.status_history, '{}') || c.history_patch,
      result = c.result,
      agent_ids = c.agent_ids::varchar[],
      occupying_slots = coalesce(c.occupying_slots, s.occupying_slots),
      starts_at = CASE WHEN c.status = 'RUNNING' THEN coalesce(s.starts_at, ${now})
        -- It runs again later, from the beginning.
        WHEN c.status = 'PENDING' AND s.status = 'TERMINATING' THEN NULL
        ELSE s.starts_at END,
      terminated_at = CASE WHEN c.ended THEN coalesce(s.terminated_at, ${now}) END,
      cluster_ssh_keypair = CASE WHEN c.ended THEN NULL ELSE s.cluster_ssh_keypair END
    FROM unnest(
      ${text(({ id }) => id)}::uuid[], ${text(({ status }) => status)}::varchar[],
      ${text(({ statusInfo }) => statusInfo)}::varchar[],
      ${json(({ statusData }) => statusData)}::jsonb[],
      ${json(({ historyPatch }) => historyPatch)}::jsonb[],
      ${text(({ result }) => result)}::varchar[],
      ${text(({ agentIds }) => listText(agentIds))}::text[],
      ${json(({ occupyingSlots }) => occupyingSlots)}::jsonb[],
      ${text(({ ended }) => String(ended))}::boolean[]
    ) AS c(id, status, status_info, status_data, history_patch, result, agent_ids, occupying_slots,
      ended)
    WHERE s.id = ANY(ARRAY[c.id])`;
}

/**
 * Adds history rows. Transitions never repeat without another in between, so there is nothing to
 * merge here. A microsecond apart, because rows of one batch must keep their order.
 */
async function insertHistory(tx: Db, entries: readonly HistoryEntry[], now: Date) {
  const numbered = entries.map((entry, index) => ({ ...entry, index }));
  const rowsOf = (items: typeof numbered) => {
    const text = (of: (entry: (typeof numbered)[number]) => string | null) =>
      textColumn(tx, items.map(of));
    return tx`
      (SELECT *, ${now}::timestamptz + index * interval '1 microsecond' AS at FROM unnest(
        ${text(({ kernelId }) => kernelId)}::uuid[], ${text(({ sessionId }) => sessionId)}::uuid[],
        ${text(({ phase }) => phase)}::varchar[], ${text(({ from }) => from)}::varchar[],
        ${text(({ to }) => to)}::varchar[], ${text(({ result }) => result)}::varchar[],
        ${text(({ message }) => message)}::text[], ${text(({ index }) => String(index))}::int[]
      ) AS c(kernel_id, session_id, phase, from_status, to_status, result, message, index)) AS entries`;
  };
  const kernels = numbered.filter((entry) => entry.kernelId !== null);
  const sessions = numbered.filter((entry) => entry.kernelId === null);
  await Promise.all([
    kernels.length > 0 &&
      tx`
        INSERT INTO kernel_scheduling_history
          (kernel_id, session_id, phase, from_status, to_status, result, message, attempts,
           created_at, updated_at)
        SELECT kernel_id, session_id, phase, from_status, to_status, result, message, 1, at, at
        FROM ${rowsOf(kernels)}`,
    sessions.length > 0 &&
      tx`
        INSERT INTO session_scheduling_history
          (session_id, phase, from_status, to_status, result, message, attempts,
           created_at, updated_at)
        SELECT session_id, phase, from_status, to_status, result, message, 1, at, at
        FROM ${rowsOf(sessions)}`,
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

/** Notes the agents' last events, and that the agents were heard: see `touchAgent`. */
export async function moveEventCursors(
  tx: Db,
  cursors: ReadonlyMap<string, number>,
  now: Date,
): Promise<void> {
  if (cursors.size === 0) return;
  const agents = textColumn(tx, [...cursors.keys()]);
  const numbers = textColumn(
    tx,
    [...cursors.values()].map((seq) => String(seq)),
  );
  await tx`
    UPDATE agents a SET last_event_seq = c.seq,
      last_heartbeat = greatest(a.last_heartbeat, ${now}::timestamptz)
    FROM unnest(${agents}::varchar[], ${numbers}::bigint[]) AS c(id, seq)
    WHERE a.id = ANY(ARRAY[c.id])`;
}
