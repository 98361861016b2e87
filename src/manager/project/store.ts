/** SQL about projects (table `groups`) and who belongs to them. */
import type { Fragment, Sql } from 'postgres';
import type { Db } from '../db/connect.ts';
import type { GroupRow } from '../db/rows.generated.ts';
import {
  type FieldTable,
  filterToSql,
  type ListQuery,
  orderTable,
  orderTerms,
} from '../graphql/minilang-store.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import { type ListSource, selectListPage, selectListPages } from '../graphql/page-store.ts';
import type { Scope } from '../graphql/scalars.ts';

/** Whose projects may be seen. */
export type ProjectScope =
  | { readonly kind: 'all' }
  | { readonly kind: 'domain'; readonly domainName: string }
  | { readonly kind: 'member'; readonly userId: string }
  | { readonly kind: 'none' };

export interface ProjectFilter {
  readonly id?: string;
  readonly ids?: readonly string[];
  readonly name?: string;
  readonly domainName?: string | null;
  readonly isActive?: boolean | null;
  readonly type?: GroupRow['type'] | null;
  /** Of one of these types. */
  readonly types?: readonly GroupRow['type'][];
}

export type ProjectRecord = GroupRow & { readonly scaling_groups: string[] };

export function visible(sql: Db, scope: ProjectScope): Fragment {
  switch (scope.kind) {
    case 'all':
      return sql`true`;
    case 'domain':
      return sql`g.domain_name = ${scope.domainName}`;
    case 'member':
      return sql`EXISTS (SELECT FROM association_groups_users a
                          WHERE a.group_id = g.id AND a.user_id = ${scope.userId})`;
    case 'none':
      return sql`false`;
  }
}

/** A project with the names of its resource groups. */
export const columns = (sql: Db): Fragment => sql`
  g.*, ARRAY(SELECT s.scaling_group FROM sgroups_for_groups s
              WHERE s."group" = g.id ORDER BY s.scaling_group)::text[] AS scaling_groups`;

export function selectProjects(
  sql: Db,
  scope: ProjectScope,
  filter: ProjectFilter,
  limit: number,
): Promise<ProjectRecord[]> {
  const conditions = [
    filter.id == null ? sql`` : sql`AND g.id = ${filter.id}`,
    filter.ids === undefined ? sql`` : sql`AND g.id = ANY (${[...filter.ids]}::text[]::uuid[])`,
    filter.name == null ? sql`` : sql`AND g.name = ${filter.name}`,
    filter.domainName == null ? sql`` : sql`AND g.domain_name = ${filter.domainName}`,
    filter.isActive == null ? sql`` : sql`AND g.is_active = ${filter.isActive}`,
    filter.type == null ? sql`` : sql`AND g.type = ${filter.type}`,
    filter.types === undefined ? sql`` : sql`AND g.type::text = ANY (${[...filter.types]}::text[])`,
  ];
  return sql<ProjectRecord[]>`
    SELECT ${columns(sql)} FROM groups g
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

const nodeFields = (sql: Sql): FieldTable => ({
  id: { kind: 'uuid', column: sql`g.id` },
  name: { kind: 'text', column: sql`g.name` },
  is_active: { kind: 'boolean', column: sql`g.is_active` },
  created_at: { kind: 'time', column: sql`g.created_at` },
  modified_at: { kind: 'time', column: sql`g.modified_at` },
  domain_name: { kind: 'text', column: sql`g.domain_name` },
  resource_policy: { kind: 'text', column: sql`g.resource_policy` },
});

function within(sql: Sql, scope: Scope): Fragment {
  switch (scope.kind) {
    case 'system':
      return sql`true`;
    case 'domain':
      return sql`g.domain_name = ${scope.domainName}`;
    case 'project':
      return sql`g.id = ${scope.projectId}`;
    case 'user':
      return visible(sql, { kind: 'member', userId: scope.userId });
  }
}

function nodeSource(sql: Sql, scope: ProjectScope, query: ListQuery, more: Fragment): ListSource {
  const fields = nodeFields(sql);
  return {
    columns: columns(sql),
    from: sql`groups g`,
    scope: visible(sql, scope),
    filter: sql`${filterToSql(sql, query.filter, fields)} AND ${more}`,
    order: orderTerms(query.order, orderTable(fields)),
    key: sql`g.id`,
    keyType: 'uuid',
  };
}

/**
 * Projects in a part of the cluster.
 * @throws BackendError InvalidAPIParameters for a wrong filter or order, InvalidCursor.
 */
export const selectNodes = (
  sql: Sql,
  scope: ProjectScope,
  query: ListQuery & { readonly within: Scope },
  wish: PageWish,
): Promise<Listed<ProjectRecord>> =>
  selectListPage(sql, nodeSource(sql, scope, query, within(sql, query.within)), wish);

/** The projects to which each user belongs, by user. */
export function selectNodesOfUsers(
  sql: Sql,
  scope: ProjectScope,
  userIds: readonly string[],
  query: ListQuery,
  wish: PageWish,
): Promise<Map<string, Listed<ProjectRecord>>> {
  const member = sql`EXISTS (SELECT FROM association_groups_users m
                              WHERE m.group_id = g.id AND m.user_id = parent.id)`;
  const source = nodeSource(sql, scope, query, member);
  return selectListPages(sql, source, wish, { ids: userIds, type: 'uuid' });
}

/** The projects that may use each container registry, by registry. */
export function selectNodesOfRegistries(
  sql: Sql,
  scope: ProjectScope,
  registryIds: readonly string[],
  query: ListQuery,
  wish: PageWish,
): Promise<Map<string, Listed<ProjectRecord>>> {
  const allowed = sql`EXISTS (SELECT FROM association_container_registries_groups c
                               WHERE c.group_id = g.id AND c.registry_id = parent.id)`;
  const source = nodeSource(sql, scope, query, allowed);
  return selectListPages(sql, source, wish, { ids: registryIds, type: 'uuid' });
}
