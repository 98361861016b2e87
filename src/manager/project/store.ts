/** SQL about projects (table `groups`) and who belongs to them. */
import type { Db } from '../db/connect.ts';
import type { GroupRow } from '../db/rows.generated.ts';

/** Whose projects may be seen. */
export type ProjectScope =
  | { readonly kind: 'all' }
  | { readonly kind: 'domain'; readonly domainName: string }
  | { readonly kind: 'member'; readonly userId: string };

export interface ProjectFilter {
  readonly id?: string;
  readonly name?: string;
  readonly domainName?: string | null;
  readonly isActive?: boolean | null;
  readonly type?: GroupRow['type'] | null;
  /** Of one of these types. */
  readonly types?: readonly GroupRow['type'][];
}

export type ProjectRecord = GroupRow & { readonly scaling_groups: string[] };

function visible(sql: Db, scope: ProjectScope) {
  switch (scope.kind) {
    case 'all':
      return sql`true`;
    case 'domain':
      return sql`g.domain_name = ${scope.domainName}`;
    case 'member':
      return sql`EXISTS (SELECT FROM association_groups_users a
                          WHERE a.group_id = g.id AND a.user_id = ${scope.userId})`;
  }
}

export function selectProjects(
  sql: Db,
  scope: ProjectScope,
  filter: ProjectFilter,
  limit: number,
): Promise<ProjectRecord[]> {
  const conditions = [
    filter.id == null ? sql`` : sql`AND g.id = ${filter.id}`,
    filter.name == null ? sql`` : sql`AND g.name = ${filter.name}`,
    filter.domainName == null ? sql`` : sql`AND g.domain_name = ${filter.domainName}`,
    filter.isActive == null ? sql`` : sql`AND g.is_active = ${filter.isActive}`,
    filter.type == null ? sql`` : sql`AND g.type = ${filter.type}`,
    filter.types === undefined ? sql`` : sql`AND g.type::text = ANY (${[...filter.types]}::text[])`,
  ];
  return sql<ProjectRecord[]>`
    SELECT g.*,
           ARRAY(SELECT s.scaling_group FROM sgroups_for_groups s
                  WHERE s."group" = g.id ORDER BY s.scaling_group)::text[] AS scaling_groups
      FROM groups g
     WHERE ${visible(sql, scope)} ${conditions}
     ORDER BY g.domain_name, g.name
     LIMIT ${limit}`;
}

export interface MembershipRecord {
  readonly id: string;
  readonly name: string;
  readonly domain_name: string;
  readonly type: GroupRow['type'];
  readonly resource_policy: string;
  readonly total_resource_slots: unknown;
  readonly is_member: boolean;
}

/** The active project of a domain by name or id, and whether the user belongs to it. */
export async function selectMembership(
  sql: Db,
  domainName: string,
  userId: string,
  nameOrId: string,
): Promise<MembershipRecord | null> {
  const [row] = await sql<MembershipRecord[]>`
    SELECT g.id, g.name, g.domain_name, g.type, g.resource_policy, g.total_resource_slots,
           EXISTS (SELECT FROM association_groups_users a
                    WHERE a.group_id = g.id AND a.user_id = ${userId}) AS is_member
      FROM groups g
     WHERE g.domain_name = ${domainName} AND g.is_active
       AND (g.name = ${nameOrId} OR g.id::text = lower(${nameOrId}))
     ORDER BY g.id::text = lower(${nameOrId}) DESC
     LIMIT 1`;
  return row ?? null;
}

/** Names of the active projects of a domain to which the user belongs, by name. */
export async function selectMemberProjectNames(
  sql: Db,
  domainName: string,
  userId: string,
  limit: number,
): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    SELECT g.name FROM groups g
      JOIN association_groups_users a ON a.group_id = g.id
     WHERE a.user_id = ${userId} AND g.domain_name = ${domainName} AND g.is_active
     ORDER BY g.name LIMIT ${limit}`;
  return rows.map(({ name }) => name);
}
