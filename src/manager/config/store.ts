/** SQL about the cluster as a whole. */
import * as v from 'valibot';
import type { Db } from '../db/connect.ts';
import type { Caller } from '../http/route.ts';

const slotTypes = v.array(
  v.object({ slot_name: v.string(), slot_type: v.picklist(['count', 'bytes', 'unique']) }),
);

/** Name and kind of every resource slot in use, in display order. */
export async function selectSlotTypes(sql: Db) {
  const rows = await sql`
    SELECT slot_name, slot_type FROM resource_slot_types WHERE enabled ORDER BY rank, slot_name`;
  return v.parse(slotTypes, rows);
}

/** Slots that every cluster has, and those of any agent there ever was. */
const isOffered = (sql: Db) => sql`
  (t.slot_name IN ('cpu', 'mem')
   OR t.slot_name IN (SELECT slot_name FROM agent_resources WHERE capacity > 0))`;

/** Name and kind of the resource slots that agents have, in display order. */
export async function selectOfferedSlotTypes(sql: Db) {
  const rows = await sql`
    SELECT t.slot_name, t.slot_type FROM resource_slot_types t
     WHERE t.enabled AND ${isOffered(sql)} ORDER BY t.rank, t.slot_name`;
  return v.parse(slotTypes, rows);
}

const count = v.tuple([v.object({ count: v.number() })]);

/** How many sessions hold resources at present. */
export async function countActiveSessions(sql: Db): Promise<number> {
  const rows = await sql`
    SELECT count(*)::int AS count FROM sessions
     WHERE status NOT IN ('PENDING', 'TERMINATED', 'CANCELLED', 'ERROR')`;
  return v.parse(count, rows)[0].count;
}

const slotDetails = v.array(
  v.object({
    slot_name: v.string(),
    display_name: v.string(),
    description: v.string(),
    display_unit: v.string(),
    display_icon: v.string(),
    number_format: v.object({ binary: v.boolean(), round_length: v.number() }),
  }),
);

/**
 * How slots are shown.
 * @param groupName only slots that agents of this resource group have; null: of any agent.
 * @param scope who asks about a group: it must be open to their domain, a project of theirs or their
 *   keypair; null reaches all.
 */
export async function selectSlotDetails(
  sql: Db,
  groupName: string | null,
  scope: Pick<Caller, 'domainName' | 'userId' | 'accessKey'> | null,
) {
  const open =
    scope === null
      ? sql``
      : sql`AND (EXISTS (SELECT FROM sgroups_for_domains d
                          WHERE d.scaling_group = a.scaling_group AND d.domain = ${scope.domainName})
              OR EXISTS (SELECT FROM sgroups_for_keypairs k
                          WHERE k.scaling_group = a.scaling_group
                            AND k.access_key = ${scope.accessKey})
              OR EXISTS (SELECT FROM sgroups_for_groups g
                           JOIN association_groups_users m ON m.group_id = g."group"
                          WHERE g.scaling_group = a.scaling_group
                            AND m.user_id = ${scope.userId}))`;
  const inGroup =
    groupName === null
      ? sql`AND ${isOffered(sql)}`
      : sql`AND EXISTS (SELECT FROM agents a JOIN agent_resources r ON r.agent_id = a.id
                         WHERE a.scaling_group = ${groupName} AND a.status = 'ALIVE'
                           AND r.slot_name = t.slot_name ${open})`;
  const rows = await sql`
    SELECT t.slot_name, t.display_name, t.description, t.display_unit, t.display_icon,
           t.number_format
      FROM resource_slot_types t WHERE t.enabled ${inGroup} ORDER BY t.rank, t.slot_name`;
  return v.parse(slotDetails, [...rows]);
}
