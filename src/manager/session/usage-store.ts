/** SQL about how much somebody's sessions still matter: before an account or a project goes. */
import type { Db } from '../db/connect.ts';
import { occupyingSessionStatuses } from './status.ts';
import { hasStatus } from './visibility-store.ts';

/** Whose sessions. */
export type SessionOwner =
  | { readonly kind: 'user'; readonly userId: string }
  | { readonly kind: 'project'; readonly projectId: string }
  | { readonly kind: 'domain'; readonly domainName: string };

function ownedBy(sql: Db, owner: SessionOwner) {
  switch (owner.kind) {
    case 'user':
      return sql`user_uuid = ${owner.userId}`;
    case 'project':
      return sql`group_id = ${owner.projectId}`;
    case 'domain':
      return sql`domain_name = ${owner.domainName}`;
  }
}

export async function countUnfinished(sql: Db, owner: SessionOwner): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    SELECT count(*)::int AS count FROM sessions
     WHERE ${ownedBy(sql, owner)} AND status NOT IN ('TERMINATED', 'CANCELLED', 'ERROR')`;
  return row?.count ?? 0;
}

/** Removes sessions with all their kernels. */
export async function deleteSessions(sql: Db, owner: SessionOwner): Promise<void> {
  await sql`DELETE FROM kernels WHERE ${ownedBy(sql, owner)}`;
  await sql`DELETE FROM sessions WHERE ${ownedBy(sql, owner)}`;
}

/** What the running sessions of a domain or project hold. */
export interface ActiveUse {
  readonly id: string;
  readonly sessionCount: number;
  /** Slot name → decimal amount. */
  readonly slots: Record<string, string>;
}

/** Of each of the owners that has any. */
export function selectActiveUse(
  sql: Db,
  owners: { readonly kind: 'domain' | 'project'; readonly ids: readonly string[] },
): Promise<ActiveUse[]> {
  const owner = owners.kind === 'domain' ? sql`s.domain_name` : sql`s.group_id::text`;
  return sql<ActiveUse[]>`
    WITH active AS MATERIALIZED (
      SELECT ${owner} AS id, s.occupying_slots AS slots FROM sessions s
       WHERE ${owner} = ANY (${[...owners.ids]}::text[])
         AND ${hasStatus(sql, occupyingSessionStatuses)}),
    held AS (
      SELECT a.id, e.key AS slot, sum(e.value::numeric) AS amount
        FROM active a, jsonb_each_text(coalesce(a.slots, '{}')) e
       WHERE e.value IS NOT NULL GROUP BY a.id, e.key)
    SELECT a.id, count(*)::int AS "sessionCount",
           coalesce((SELECT jsonb_object_agg(h.slot, trim_scale(h.amount)::text) FROM held h
                      WHERE h.id = a.id), '{}') AS slots
      FROM active a GROUP BY a.id`;
}
