/** SQL about the cluster as a whole. */
import * as v from 'valibot';
import type { Db } from '../db/connect.ts';

const slotTypes = v.array(
  v.object({ slot_name: v.string(), slot_type: v.picklist(['count', 'bytes', 'unique']) }),
);

/** Name and kind of every resource slot in use, in display order. */
export async function selectSlotTypes(sql: Db) {
  const rows = await sql`
    SELECT slot_name, slot_type FROM resource_slot_types WHERE enabled ORDER BY rank, slot_name`;
  return v.parse(slotTypes, rows);
}

const count = v.tuple([v.object({ count: v.number() })]);

/** How many sessions hold resources at present. */
export async function countActiveSessions(sql: Db): Promise<number> {
  const rows = await sql`
    SELECT count(*)::int AS count FROM sessions
     WHERE status NOT IN ('PENDING', 'TERMINATED', 'CANCELLED')`;
  return v.parse(count, rows)[0].count;
}
