/** The SQL of enqueueing: what the checks need to know, and the one transaction that inserts. */
import * as v from 'valibot';
import type { Slots } from '../../common/slots.ts';
import type { Db } from '../db/connect.ts';
import { amountColumn, textColumn } from '../db/json.ts';
import type { AgentCapacity, SlotDefinition } from './resources.ts';
import { liveSessionStatuses, type SessionStatus, sessionStatus } from './status.ts';
import { hasStatus, isLive, ofKeysUser } from './visibility-store.ts';

const slotRow = v.object({ slot_name: v.string(), slot_type: v.string(), required: v.boolean() });

export async function selectSlotDefinitions(sql: Db): Promise<Map<string, SlotDefinition>> {
  const rows = await sql`
    SELECT slot_name, slot_type, required FROM resource_slot_types
    WHERE enabled ORDER BY rank, slot_name`;
  return new Map(
    v
      .parse(v.array(slotRow), [...rows])
      .map((row) => [
        row.slot_name,
        { name: row.slot_name, type: row.slot_type, required: row.required },
      ]),
  );
}

const capacityRow = v.object({
  id: v.string(),
  architecture: v.string(),
  slot_name: v.nullable(v.string()),
  capacity: v.nullable(amountColumn),
});

/** The agents of a resource group that may take sessions now or when they come back. */
export async function selectCapacities(sql: Db, group: string): Promise<AgentCapacity[]> {
  const rows = await sql`
    SELECT a.id, a.architecture, r.slot_name, r.capacity
    FROM agents a LEFT JOIN agent_resources r ON r.agent_id = a.id
    WHERE a.scaling_group = ${group} AND a.status <> 'TERMINATED' AND a.schedulable
    ORDER BY a.id`;
  const out = new Map<string, { architecture: string; capacity: Map<string, bigint> }>();
  for (const row of v.parse(v.array(capacityRow), [...rows])) {
    const agent = out.get(row.id) ?? { architecture: row.architecture, capacity: new Map() };
    if (row.slot_name !== null && row.capacity !== null) {
      agent.capacity.set(row.slot_name, row.capacity);
    }
    out.set(row.id, agent);
  }
  return [...out].map(([id, agent]) => ({ id, ...agent }));
}

const existingRow = v.object({
  id: v.string(),
  name: v.string(),
  user_uuid: v.string(),
  access_key: v.nullable(v.string()),
  status: sessionStatus,
  image_ids: v.nullable(v.array(v.string())),
});

/** A user's session by its name. */
export interface SessionName {
  readonly userId: string;
  readonly name: string;
}

export interface ExistingSession extends SessionName {
  readonly id: string;
  readonly accessKey: string | null;
  readonly status: SessionStatus;
  readonly imageIds: readonly string[];
}

/** The users' live sessions of those names. @param sql goes by keys, see `keyedConnections`. */
export async function selectLiveByName(
  sql: Db,
  names: readonly SessionName[],
): Promise<ExistingSession[]> {
  const users = textColumn(
    sql,
    names.map(({ userId }) => userId),
  );
  const wanted = textColumn(
    sql,
    names.map(({ name }) => name),
  );
  const rows = await sql`
    SELECT s.* FROM unnest(${users}::uuid[], ${wanted}::varchar[]) AS c(user_uuid, name)
    CROSS JOIN LATERAL (
      SELECT id, name, user_uuid, access_key, status, image_ids FROM sessions
      WHERE name = c.name AND user_uuid = c.user_uuid
        AND status NOT IN ('ERROR', 'TERMINATED', 'CANCELLED') OFFSET 0) AS s`;
  return v.parse(v.array(existingRow), [...rows]).map((row) => ({
    id: row.id,
    name: row.name,
    userId: row.user_uuid,
    accessKey: row.access_key,
    status: row.status,
    imageIds: row.image_ids ?? [],
  }));
}

const accountRow = v.object({
  sudo_session_enabled: v.boolean(),
  container_uid: v.nullable(v.number()),
  container_main_gid: v.nullable(v.number()),
  container_gids: v.nullable(v.array(v.number())),
});
export type AccountRow = v.InferOutput<typeof accountRow>;

/** The user's own settings. */
export async function selectAccount(sql: Db, userId: string): Promise<AccountRow | null> {
  const [row] = await sql`
    SELECT sudo_session_enabled, container_uid, container_main_gid, container_gids
    FROM users WHERE uuid = ${userId}`;
  return row ? v.parse(accountRow, row) : null;
}

const countRow = v.object({ live: v.number(), live_sftp: v.number(), pending: v.number() });
export type SessionCounts = v.InferOutput<typeof countRow>;

/** How many live and pending sessions the keypair has. */
export async function selectCounts(sql: Db, accessKey: string): Promise<SessionCounts> {
  const live = liveSessionStatuses.filter((status) => status !== 'TERMINATING');
  const [row] = await sql`
    SELECT count(*) FILTER (WHERE session_type <> 'SYSTEM')::int AS live,
      count(*) FILTER (WHERE session_type = 'SYSTEM')::int AS live_sftp,
      count(*) FILTER (WHERE status = 'PENDING')::int AS pending
    FROM sessions s WHERE ${ofKeysUser(sql, accessKey)} AND s.access_key = ${accessKey}
      AND ${hasStatus(sql, live)}`;
  return v.parse(countRow, row);
}

const pendingRow = v.object({ slot_name: v.string(), total: amountColumn });

/** What the keypair's pending sessions ask for together. Millionths. */
export async function selectPendingSlots(sql: Db, accessKey: string): Promise<Slots> {
  const rows = await sql`
    SELECT a.slot_name, sum(a.requested)::text AS total
    FROM kernels k JOIN resource_allocations a ON a.kernel_id = k.id AND a.free_at IS NULL
    WHERE k.session_id IN (SELECT s.id FROM sessions s
        WHERE ${ofKeysUser(sql, accessKey)} AND ${isLive(sql)})
      AND k.access_key = ${accessKey} AND k.status = 'PENDING' GROUP BY 1`;
  return new Map(v.parse(v.array(pendingRow), [...rows]).map((row) => [row.slot_name, row.total]));
}

/**
 * Those of `ids` that are sessions of the domain and, unless `userId` is null, of that user; with
 * whether they ended without success.
 */
export async function selectDependencies(
  sql: Db,
  ids: readonly string[],
  { domain, userId }: { readonly domain: string; readonly userId: string | null },
): Promise<Map<string, boolean>> {
  const rows = await sql`
    SELECT id, status IN ('CANCELLED', 'ERROR') OR (status = 'TERMINATED' AND result <> 'SUCCESS')
      AS has_failed FROM sessions
    WHERE id = ANY(${sql.array([...ids])}::uuid[]) AND domain_name = ${domain}
      AND (${userId}::uuid IS NULL OR user_uuid = ${userId}::uuid)`;
  const found = v.parse(v.array(v.object({ id: v.string(), has_failed: v.boolean() })), [...rows]);
  return new Map(found.map((row) => [row.id, row.has_failed]));
}
