/** The SQL of what people change about agents, and of where an agent is to be told. */
import * as v from 'valibot';
import type { Db } from '../db/connect.ts';
import { jsonText } from '../db/json.ts';

const contactRow = v.object({
  status: v.string(),
  addr: v.string(),
  publicKey: v.string(),
});
/** Where an agent is, as it told. */
export type AgentContact = v.InferOutput<typeof contactRow>;

export async function selectContact(sql: Db, agentId: string): Promise<AgentContact | null> {
  const [row] = await sql`
    SELECT status::text, addr, coalesce(identity_key, '') AS "publicKey"
    FROM agents WHERE id = ${agentId}`;
  return row ? v.parse(contactRow, row) : null;
}

/** Where the agents that are alive can be called. */
export async function selectAliveContacts(
  sql: Db,
  group: string | null,
  limit: number,
): Promise<(Omit<AgentContact, 'status'> & { readonly id: string })[]> {
  const rows = await sql`
    SELECT id, addr, coalesce(identity_key, '') AS "publicKey"
      FROM agents
     WHERE status = 'ALIVE' AND (${group}::text IS NULL OR scaling_group = ${group})
     ORDER BY id LIMIT ${limit}`;
  const { addr, publicKey } = contactRow.entries;
  return v.parse(v.array(v.object({ id: v.string(), addr, publicKey })), [...rows]);
}

const changeable = v.object({ schedulable: v.boolean(), scaling_group: v.string() });
type Changeable = v.InferOutput<typeof changeable>;

/** Writes what is not null. @returns what it was and is; null when there is no such agent. */
export async function updateAgent(
  sql: Db,
  agentId: string,
  wishes: { readonly schedulable: boolean | null; readonly scalingGroup: string | null },
): Promise<{ before: Changeable; after: Changeable } | null> {
  const [before] = await sql`
    SELECT schedulable, scaling_group FROM agents WHERE id = ${agentId} FOR UPDATE`;
  if (!before) return null;
  const [after] = await sql`
    UPDATE agents SET schedulable = coalesce(${wishes.schedulable}::boolean, schedulable),
      scaling_group = coalesce(${wishes.scalingGroup}::text, scaling_group)
    WHERE id = ${agentId} RETURNING schedulable, scaling_group`;
  return { before: v.parse(changeable, before), after: v.parse(changeable, after) };
}

/**
 * Writes which devices kernels of this agent hold, where something else is written.
 * @returns the kernels whose record changed.
 */
export async function writeAttachedDevices(
  sql: Db,
  agentId: string,
  devices: Readonly<Record<string, unknown>>,
): Promise<string[]> {
  const rows = await sql`
    UPDATE kernels k SET attached_devices = d.value
    FROM jsonb_each(${jsonText(devices)}::text::jsonb) AS d(id, value)
    WHERE k.id::text = d.id AND k.agent = ${agentId}
      AND k.attached_devices IS DISTINCT FROM d.value
    RETURNING k.id`;
  return v.parse(v.array(v.object({ id: v.string() })), [...rows]).map(({ id }) => id);
}
