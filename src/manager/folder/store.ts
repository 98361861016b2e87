/** SQL that reads folders, each with how the viewer stands to it. */
import type { Fragment } from 'postgres';
import type { Db } from '../db/connect.ts';
import type { GroupRow, VfolderRow } from '../db/rows.generated.ts';
import type { Caller } from '../http/route.ts';
import { DEAD_STATUSES, type FolderPermission, type FolderStatus } from './rules.ts';

/** Who asks. */
export type Viewer = Pick<Caller, 'userId' | 'role' | 'isSuperadmin' | 'domainName'>;

export type FolderRecord = Omit<VfolderRow, 'status' | 'permission'> & {
  readonly status: FolderStatus;
  readonly permission: FolderPermission;
  readonly user_email: string | null;
  readonly group_name: string | null;
  readonly group_type: GroupRow['type'] | null;
  readonly group_domain: string | null;
  /** What the viewer was granted personally. */
  readonly granted: FolderPermission | null;
  readonly is_mine: boolean;
  readonly is_member: boolean;
};

/** Which folders are meant; what is absent does not restrict. */
export interface FolderFilter {
  readonly ids?: readonly string[];
  readonly names?: readonly string[];
  /** Of users, or of this project. */
  readonly projectId?: string | null;
  /** Names that begin with a dot. */
  readonly automounted?: boolean;
  readonly ownership?: VfolderRow['ownership_type'];
  readonly statuses?: readonly FolderStatus[];
  readonly notStatuses?: readonly FolderStatus[];
}

/**
 * How far a viewer sees. `own`: what is theirs, what is shared with them and what belongs to their
 * projects; administrators also the folders of the domain's projects. `all`: administrators also
 * those of the domain's users.
 */
export type FolderReach = 'own' | 'all';

export function within(sql: Db, viewer: Viewer, reach: FolderReach): Fragment {
  const { userId, domainName } = viewer;
  if (viewer.isSuperadmin && reach === 'all') return sql`true`;
  const member = sql`(m.user_id IS NOT NULL
    OR (g.type = 'model-store' AND g.domain_name = ${domainName}))`;
  const projects = viewer.isSuperadmin
    ? sql`true`
    : viewer.role === 'admin'
      ? sql`(g.domain_name = ${domainName} OR ${member})`
      : member;
  const domain =
    viewer.role === 'admin' && reach === 'all' ? sql`OR f.domain_name = ${domainName}` : sql``;
  return sql`(
    (f.ownership_type = 'user' AND f."user" = ${userId})
    OR (f.ownership_type = 'user' AND p.permission IS NOT NULL
        AND f.status <> ALL (${[...DEAD_STATUSES]}::text[]))
    OR (f.ownership_type = 'group' AND ${projects})
    ${domain})`;
}

/** The tables behind `within` and the columns. */
export const relations = (sql: Db, { userId }: Pick<Viewer, 'userId'>): Fragment => sql`
  vfolders f
  LEFT JOIN users u ON u.uuid = f."user"
  LEFT JOIN groups g ON g.id = f."group"
  LEFT JOIN association_groups_users m ON m.group_id = f."group" AND m.user_id = ${userId}
  LEFT JOIN vfolder_permissions p ON p.vfolder = f.id AND p."user" = ${userId}`;

/**
 * A folder is `mounted` while a session that has not ended mounts it. This follows from the sessions
 * and is stored nowhere, so that it is never out of date.
 */
export const statusColumn = (sql: Db): Fragment => sql`
  (CASE WHEN f.status = 'ready' AND EXISTS (
      SELECT FROM vfolder_attachment a
        JOIN kernels k ON k.id = a.kernel
       WHERE a.vfolder = f.id AND k.status NOT IN ('TERMINATED', 'CANCELLED'))
    THEN 'mounted' ELSE f.status END)`;

export const columns = (sql: Db, { userId }: Pick<Viewer, 'userId'>): Fragment => sql`
  f.id, f.host, f.domain_name, f.quota_scope_id, f.name, f.usage_mode,
  coalesce(f.permission, 'rw') AS permission, f.max_files, f.max_size, f.num_files, f.cur_size,
  f.created_at, f.last_used, f.updated_at, f.creator, f.creator_id, f.unmanaged_path,
  f.ownership_type, f."user", f."group", f.cloneable, ${statusColumn(sql)} AS status, f.status_history, f.status_changed,
  u.email AS user_email, g.name AS group_name, g.type AS group_type,
  g.domain_name AS group_domain, p.permission AS granted,
  (f.ownership_type = 'user' AND f."user" IS NOT DISTINCT FROM ${userId}::uuid) AS is_mine,
  m.user_id IS NOT NULL AS is_member`;

export const matching = (sql: Db, filter: FolderFilter): Fragment => {
  const list = (values: readonly string[]) => [...values];
  return sql`
    true
    ${filter.ids === undefined ? sql`` : sql`AND f.id = ANY (${list(filter.ids)}::uuid[])`}
    ${filter.names === undefined ? sql`` : sql`AND f.name = ANY (${list(filter.names)}::text[])`}
    ${
      filter.projectId == null
        ? sql``
        : sql`AND (f.ownership_type = 'user' OR f."group" = ${filter.projectId})`
    }
    ${filter.ownership === undefined ? sql`` : sql`AND f.ownership_type = ${filter.ownership}`}
    ${filter.automounted ? sql`AND f.name LIKE '.%'` : sql``}
    ${
      filter.statuses === undefined
        ? sql``
        : sql`AND f.status = ANY (${list(filter.statuses)}::text[])`
    }
    ${
      filter.notStatuses === undefined
        ? sql``
        : sql`AND f.status <> ALL (${list(filter.notStatuses)}::text[])`
    }`;
};

/** The folders in reach, newest first. */
export function selectFolders(
  sql: Db,
  viewer: Viewer,
  reach: FolderReach,
  filter: FolderFilter,
  limit: number,
): Promise<FolderRecord[]> {
  return sql<FolderRecord[]>`
    SELECT ${columns(sql, viewer)} FROM ${relations(sql, viewer)}
     WHERE ${within(sql, viewer, reach)} AND ${matching(sql, filter)}
     ORDER BY f.created_at DESC, f.id
     LIMIT ${limit}`;
}

/** Another user as a viewer; null when there is none within the asking viewer's reach. */
export async function selectViewer(sql: Db, viewer: Viewer, email: string): Promise<Viewer | null> {
  const inReach = viewer.isSuperadmin ? sql`true` : sql`domain_name = ${viewer.domainName}`;
  const [row] = await sql<{ uuid: string; role: Caller['role']; domain_name: string }[]>`
    SELECT uuid, role, domain_name FROM users WHERE email = ${email} AND ${inReach}`;
  if (row === undefined) return null;
  const { uuid: userId, role, domain_name: domainName } = row;
  return { userId, role, isSuperadmin: role === 'superadmin', domainName };
}
