/** SQL about what is allowed on storage hosts. */
import type { Fragment } from 'postgres';
import * as v from 'valibot';
import type { Db } from '../db/connect.ts';
import { type HostPermissions, hostPermissionsColumn } from '../db/json.ts';
import type { Caller } from '../http/route.ts';

const rows = v.array(v.object({ hosts: v.nullable(hostPermissionsColumn) }));

/** Which projects count besides the caller's domain and keypair policy. */
export interface HostScope {
  /** This project besides (or, with `onlyProject`, instead of) those the caller belongs to. */
  readonly projectId?: string | null;
  readonly onlyProject?: boolean;
}

type Asker = Pick<Caller, 'userId' | 'domainName' | 'resourcePolicy' | 'role' | 'isSuperadmin'>;

const member = (sql: Db, { userId }: Asker): Fragment => sql`
  EXISTS (SELECT FROM association_groups_users a
           WHERE a.group_id = g.id AND a.user_id = ${userId})`;

/** Projects that the caller may name: theirs, or, for administrators, those of the domain. */
function inReach(sql: Db, caller: Asker): Fragment {
  if (caller.isSuperadmin) return sql`true`;
  const inDomain = sql`g.domain_name = ${caller.domainName}`;
  return caller.role === 'admin'
    ? sql`(${inDomain} OR ${member(sql, caller)})`
    : sql`(${member(sql, caller)} OR (g.type = 'model-store' AND ${inDomain}))`;
}

export async function isProjectInReach(
  sql: Db,
  caller: Asker,
  projectId: string,
): Promise<boolean> {
  const [row] = await sql`
    SELECT FROM groups g WHERE g.id = ${projectId} AND ${inReach(sql, caller)}`;
  return row !== undefined;
}

/**
 * What the caller's domain, projects and keypair policy allow, one map each. A named project counts
 * when it is in the caller's reach.
 */
export async function selectHostPermissions(
  sql: Db,
  caller: Asker,
  { projectId = null, onlyProject = false }: HostScope,
): Promise<HostPermissions[]> {
  const named = projectId === null ? sql`false` : sql`g.id = ${projectId}`;
  const reached = sql`${named} AND ${inReach(sql, caller)}`;
  const projects = onlyProject ? reached : sql`(${member(sql, caller)} OR (${reached}))`;
  const found = await sql`
    SELECT d.allowed_vfolder_hosts AS hosts FROM domains d
     WHERE d.name = ${caller.domainName} AND d.is_active
    UNION ALL
    SELECT g.allowed_vfolder_hosts FROM groups g WHERE g.is_active AND ${projects}
    UNION ALL
    SELECT p.allowed_vfolder_hosts FROM keypair_resource_policies p
     WHERE p.name = ${caller.resourcePolicy}`;
  return v.parse(rows, [...found]).flatMap(({ hosts }) => (hosts === null ? [] : [hosts]));
}
