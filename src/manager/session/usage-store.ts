/** SQL about how much somebody's sessions still matter: before an account or a project goes. */
import type { Db } from '../db/connect.ts';

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
