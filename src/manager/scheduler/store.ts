/** The SQL of scheduling: reading a snapshot. */
import * as v from 'valibot';
import { addSlots, parseAmount, parseSlots, type SlotMap, type Slots } from '../../common/slots.ts';
import type { Db } from '../db/connect.ts';
import { amountColumn, slotMapColumn } from '../db/json.ts';
import {
  occupyingSessionStatuses,
  placedKernelStatuses,
  sessionTypeColumn,
} from '../session/status.ts';
import type {
  AgentSnapshot,
  EndingSession,
  KeypairLimits,
  Occupancy,
  PendingSession,
  SlotLimits,
} from './snapshot.ts';

/** Running sessions with a known end that are looked at: those that end first. */
const MAX_ENDING = 10_000;

const agentRow = v.object({
  id: v.string(),
  addr: v.string(),
  scaling_group: v.string(),
  architecture: v.string(),
  slots: v.nullable(v.record(v.string(), v.tuple([v.string(), v.string()]))),
  sessions: v.number(),
});

/** An agent whose capacity shrank below what is in use has nothing free. */
function agentSlots(slots: Readonly<Record<string, readonly [string, string]>>) {
  const capacity = new Map<string, bigint>();
  const free = new Map<string, bigint>();
  for (const [slot, [all, left]] of Object.entries(slots)) {
    capacity.set(slot, parseAmount(all) ?? 0n);
    free.set(slot, parseAmount(left) ?? 0n);
  }
  return { capacity, free };
}

/** Agents that may take kernels, by id. @param sql goes by keys, see `keyedConnections`. */
export async function selectAgents(sql: Db): Promise<AgentSnapshot[]> {
  const rows = await sql`
    SELECT a.id, a.addr, a.scaling_group, a.architecture,
      (SELECT json_object_agg(slot_name, json_build_array(
          capacity::text, greatest(0, capacity - reserved - used)::text))
        FROM agent_resources WHERE agent_id = a.id) AS slots,
      -- OFFSET 0: only the agent leads to its kernels, never their status.
      (SELECT count(DISTINCT k.session_id)::int FROM (SELECT session_id, status FROM kernels
          WHERE agent = a.id AND terminated_at IS NULL OFFSET 0) AS k
        WHERE k.status = ANY(${sql.array([...placedKernelStatuses])}::varchar[])) AS sessions
    FROM agents a WHERE a.status = 'ALIVE' AND a.schedulable ORDER BY a.id`;
  return v.parse(v.array(agentRow), [...rows]).map((row) => ({
    id: row.id,
    addr: row.addr,
    scalingGroup: row.scaling_group,
    architecture: row.architecture,
    sessions: row.sessions,
    ...agentSlots(row.slots ?? {}),
  }));
}

const endingRow = v.object({
  id: v.string(),
  access_key: v.string(),
  user_uuid: v.string(),
  group_id: v.string(),
  domain_name: v.string(),
  session_type: sessionTypeColumn,
  ends_at: v.date(),
  kernels: v.array(v.object({ agent: v.string(), slots: slotMapColumn })),
});

/**
 * Placed sessions whose end is known: by the timeout of a batch job, or by the longest life that the
 * keypair's policy gives to sessions. The first to end come first.
 */
export async function selectEnding(sql: Db, now: Date): Promise<EndingSession[]> {
  const rows = await sql`
    SELECT s.id, s.access_key, s.user_uuid, s.group_id, s.domain_name, s.session_type, e.ends_at,
      k.kernels
    FROM sessions s
    JOIN keypairs p ON p.access_key = s.access_key
    JOIN keypair_resource_policies r ON r.name = p.resource_policy
    CROSS JOIN LATERAL (SELECT least(
      CASE WHEN s.session_type = 'BATCH' AND s.batch_timeout > 0
        THEN coalesce(s.starts_at, ${now}::timestamptz) + s.batch_timeout * interval '1 second' END,
      CASE WHEN r.max_session_lifetime > 0
        THEN s.created_at + r.max_session_lifetime * interval '1 second' END) AS ends_at) e
    CROSS JOIN LATERAL (
      SELECT json_agg(json_build_object('agent', k.agent, 'slots', (
        SELECT json_object_agg(a.slot_name, coalesce(a.used, a.requested)::text)
        FROM resource_allocations a WHERE a.kernel_id = k.id AND a.free_at IS NULL))) AS kernels
      FROM kernels k WHERE k.session_id = s.id AND k.agent IS NOT NULL
    ) k
    WHERE s.status = ANY(${sql.array([...occupyingSessionStatuses])}::varchar[])
      AND e.ends_at IS NOT NULL AND k.kernels IS NOT NULL
    ORDER BY e.ends_at, s.id LIMIT ${MAX_ENDING}`;
  return v.parse(v.array(endingRow), [...rows]).map((row) => ({
    id: row.id,
    accessKey: row.access_key,
    userId: row.user_uuid,
    projectId: row.group_id,
    domainName: row.domain_name,
    sessionType: row.session_type,
    endsAt: row.ends_at,
    kernels: row.kernels.map(({ agent, slots }) => ({ agentId: agent, slots: parseSlots(slots) })),
  }));
}

const occupancyRow = v.object({
  access_key: v.nullable(v.string()),
  user_uuid: v.string(),
  group_id: v.string(),
  domain_name: v.string(),
  slot_name: v.string(),
  held: amountColumn,
});

const countRow = v.object({
  access_key: v.string(),
  is_sftp: v.boolean(),
  sessions: v.number(),
});

/**
 * What placed sessions hold, and how many there are.
 * @param sql goes by keys, see `keyedConnections`.
 */
export async function selectOccupancy(sql: Db): Promise<Occupancy> {
  const [held, counts] = await Promise.all([
    sql`
      SELECT k.access_key, k.user_uuid, k.group_id, k.domain_name, a.slot_name,
        sum(coalesce(a.used, a.requested))::text AS held
      -- OFFSET 0: only kernels that live lead to what they hold.
      FROM kernels k CROSS JOIN LATERAL (SELECT slot_name, used, requested
        FROM resource_allocations WHERE kernel_id = k.id AND free_at IS NULL OFFSET 0) AS a
      WHERE k.terminated_at IS NULL AND k.session_type <> 'SYSTEM'
        AND k.status = ANY(${sql.array([...placedKernelStatuses])}::varchar[])
      GROUP BY 1, 2, 3, 4, 5`,
    sql`
      SELECT access_key, session_type = 'SYSTEM' AS is_sftp, count(*)::int AS sessions
      FROM sessions
      WHERE status = ANY(${sql.array([...occupyingSessionStatuses])}::varchar[])
        AND access_key IS NOT NULL
      GROUP BY 1, 2`,
  ]);
  const keypairs = new Map<string, Slots>();
  const users = new Map<string, Slots>();
  const projects = new Map<string, Slots>();
  const domains = new Map<string, Slots>();
  const add = (map: Map<string, Slots>, key: string, slots: Slots) =>
    map.set(key, addSlots(map.get(key) ?? new Map(), slots));
  for (const row of v.parse(v.array(occupancyRow), [...held])) {
    const slots = new Map([[row.slot_name, row.held]]);
    if (row.access_key !== null) add(keypairs, row.access_key, slots);
    add(users, row.user_uuid, slots);
    add(projects, row.group_id, slots);
    add(domains, row.domain_name, slots);
  }
  const rows = v.parse(v.array(countRow), [...counts]);
  const countOf = (isSftp: boolean) =>
    new Map(
      rows.filter((row) => row.is_sftp === isSftp).map((row) => [row.access_key, row.sessions]),
    );
  return {
    ...{ keypairs, users, projects, domains },
    ...{ sessions: countOf(false), sftpSessions: countOf(true) },
  };
}

const keypairLimitRow = v.object({
  access_key: v.string(),
  max_concurrent_sessions: v.number(),
  max_concurrent_sftp_sessions: v.number(),
  max_pending_session_count: v.nullable(v.number()),
  max_pending_session_resource_slots: v.nullable(slotMapColumn),
  total_resource_slots: slotMapColumn,
  default_for_unspecified: v.picklist(['LIMITED', 'UNLIMITED']),
});

const userLimitRow = v.object({
  id: v.string(),
  total_resource_slots: slotMapColumn,
  default_for_unspecified: v.picklist(['LIMITED', 'UNLIMITED']),
});

const scopeLimitRow = v.object({ id: v.string(), total_resource_slots: slotMapColumn });

/** Limits as stored; `Infinity`, as old rows have it, means that the slot is unlimited. */
function limits(map: SlotMap, unnamed: SlotLimits['unnamed']): SlotLimits {
  const finite = Object.entries(map).filter(([, text]) => text.toLowerCase() !== 'infinity');
  const slots = parseSlots(Object.fromEntries(finite));
  return { slots, unnamed };
}

export interface LimitTables {
  readonly keypairLimits: ReadonlyMap<string, KeypairLimits>;
  readonly userLimits: ReadonlyMap<string, SlotLimits>;
  readonly projectLimits: ReadonlyMap<string, SlotLimits>;
  readonly domainLimits: ReadonlyMap<string, SlotLimits>;
}

const unnamedBy = (policy: 'LIMITED' | 'UNLIMITED'): SlotLimits['unnamed'] =>
  policy === 'LIMITED' ? 'forbidden' : 'unlimited';

/** The limits that concern the given sessions. */
export async function selectLimits(
  sql: Db,
  sessions: readonly PendingSession[],
): Promise<LimitTables> {
  const distinct = (values: string[]) => sql.array([...new Set(values)]);
  const [keypairs, users, projects, domains] = await Promise.all([
    sql`
      SELECT k.access_key, p.max_concurrent_sessions, p.max_concurrent_sftp_sessions,
        p.max_pending_session_count, p.max_pending_session_resource_slots,
        p.total_resource_slots, p.default_for_unspecified
      FROM keypairs k JOIN keypair_resource_policies p ON p.name = k.resource_policy
      WHERE k.access_key = ANY(${distinct(sessions.map((item) => item.accessKey))}::varchar[])`,
    sql`
      SELECT u.uuid::text AS id, p.total_resource_slots, p.default_for_unspecified
      FROM users u JOIN keypairs k ON k.access_key = u.main_access_key
      JOIN keypair_resource_policies p ON p.name = k.resource_policy
      WHERE u.uuid = ANY(${distinct(sessions.map((item) => item.userId))}::uuid[])`,
    sql`
      SELECT id::text AS id, total_resource_slots FROM groups
      WHERE id = ANY(${distinct(sessions.map((item) => item.projectId))}::uuid[])`,
    sql`
      SELECT name AS id, total_resource_slots FROM domains
      WHERE name = ANY(${distinct(sessions.map((item) => item.domainName))}::varchar[])`,
  ]);
  const scoped = (rows: Iterable<unknown>) =>
    new Map(
      v
        .parse(v.array(scopeLimitRow), [...rows])
        .map((row) => [row.id, limits(row.total_resource_slots, 'unlimited')]),
    );
  const ofKeypair = (row: v.InferOutput<typeof keypairLimitRow>): KeypairLimits => ({
    maxConcurrentSessions: row.max_concurrent_sessions > 0 ? row.max_concurrent_sessions : null,
    maxConcurrentSftpSessions: row.max_concurrent_sftp_sessions,
    maxPendingSessions: row.max_pending_session_count,
    pendingSlots:
      row.max_pending_session_resource_slots &&
      limits(row.max_pending_session_resource_slots, 'unlimited'),
    slots: limits(row.total_resource_slots, unnamedBy(row.default_for_unspecified)),
  });
  return {
    keypairLimits: new Map(
      v
        .parse(v.array(keypairLimitRow), [...keypairs])
        .map((row) => [row.access_key, ofKeypair(row)]),
    ),
    userLimits: new Map(
      v
        .parse(v.array(userLimitRow), [...users])
        .map((row) => [
          row.id,
          limits(row.total_resource_slots, unnamedBy(row.default_for_unspecified)),
        ]),
    ),
    projectLimits: scoped(projects),
    domainLimits: scoped(domains),
  };
}
