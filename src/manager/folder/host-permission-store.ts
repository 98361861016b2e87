/** SQL about what is allowed on storage hosts. */
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

/**
 * What the caller's domain, projects and keypair policy allow, one map each. A named project counts
 * when it is in the caller's reach: theirs, or, for administrators, of the domain.
 */
export async function selectHostPermissions(
  sql: Db,
  caller: Pick<Caller, 'userId' | 'domainName' | 'resourcePolicy' | 'role' | 'isSuperadmin'>,
  { projectId = null, onlyProject = false }: HostScope,
): Promise<HostPermissions[]> {
  const named = projectId === null ? sql`false` : sql`g.id = ${projectId}`;
  const member = sql`EXISTS (SELECT FROM association_groups_users a
                              WHERE a.group_id = g.id AND a.user_id = ${caller.userId})`;
  const inReach = caller.isSuperadmin
    ? sql`true`
    : caller.role === 'admin'
      ? sql`(g.domain_name = ${caller.domainName} OR ${member})`
      : sql`(${member} OR (g.type = 'model-store' AND g.domain_name = ${caller.domainName}))`;
  const projects = onlyProject
    ? sql`${named} AND ${inReach}`
    : sql`(${member} OR (${named} AND ${inReach}))`;
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
