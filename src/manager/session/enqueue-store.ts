/** The SQL of enqueueing: what the checks need to know, and the one transaction that inserts. */
import * as v from 'valibot';
import type { Slots } from '../../common/slots.ts';
import type { Db } from '../db/connect.ts';
import { amountColumn } from '../db/json.ts';
import type { AgentCapacity, SlotDefinition } from './resources.ts';
import { liveSessionStatuses, type SessionStatus, sessionStatus } from './status.ts';

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
  name: v.nullable(v.string()),
  access_key: v.nullable(v.string()),
  status: sessionStatus,
  image_ids: v.nullable(v.array(v.string())),
});

export interface ExistingSession {
  readonly id: string;
  readonly accessKey: string | null;
  readonly status: SessionStatus;
  readonly imageIds: readonly string[];
}

/** The user's live session of that name. */
export async function selectLiveByName(
  sql: Db,
  userId: string,
  name: string,
): Promise<ExistingSession | null> {
  const [row] = await sql`
    SELECT id, name, access_key, status, image_ids FROM sessions
    WHERE name = ${name} AND user_uuid = ${userId}
      AND status NOT IN ('ERROR', 'TERMINATED', 'CANCELLED')`;
  if (!row) return null;
  const parsed = v.parse(existingRow, row);
  return {
    id: parsed.id,
    accessKey: parsed.access_key,
    status: parsed.status,
    imageIds: parsed.image_ids ?? [],
  };
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
  const live = sql.array([...liveSessionStatuses.filter((status) => status !== 'TERMINATING')]);
  const [row] = await sql`
    SELECT count(*) FILTER (WHERE session_type <> 'SYSTEM')::int AS live,
      count(*) FILTER (WHERE session_type = 'SYSTEM')::int AS live_sftp,
      count(*) FILTER (WHERE status = 'PENDING')::int AS pending
    FROM sessions WHERE access_key = ${accessKey} AND status = ANY(${live}::varchar[])`;
  return v.parse(countRow, row);
}

const pendingRow = v.object({ slot_name: v.string(), total: amountColumn });

/** What the keypair's pending sessions ask for together. Millionths. */
export async function selectPendingSlots(sql: Db, accessKey: string): Promise<Slots> {
  const rows = await sql`
    SELECT a.slot_name, sum(a.requested)::text AS total
    FROM kernels k JOIN resource_allocations a ON a.kernel_id = k.id AND a.free_at IS NULL
    WHERE k.access_key = ${accessKey} AND k.status = 'PENDING' GROUP BY 1`;
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
