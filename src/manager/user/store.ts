/** SQL about users. */
import type { Fragment, Sql } from 'postgres';
import type { Db } from '../db/connect.ts';
import type { UserRow } from '../db/rows.generated.ts';
import {
  type FieldTable,
  filterToSql,
  type ListPage,
  type ListQuery,
  type OrderTable,
  orderTable,
  orderTerms,
  orderToSql,
} from '../graphql/minilang-store.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import { type ListSource, selectListPage, selectListPages } from '../graphql/page-store.ts';

/** Whose users may be seen. */
export type UserScope =
  | { readonly kind: 'all' }
  | { readonly kind: 'domain'; readonly domainName: string }
  | { readonly kind: 'self'; readonly userId: string };

export interface UserFilter {
  readonly userIds?: readonly string[];
  readonly domainName?: string | null;
  readonly status?: UserRow['status'] | null;
  readonly isActive?: boolean | null;
  /** Members of this project only. */
  readonly projectId?: string | null;
}

export type UserRecord = Omit<UserRow, 'password' | 'totp_key'>;

export function visible(sql: Db, scope: UserScope): Fragment {
  switch (scope.kind) {
    case 'all':
      return sql`true`;
    case 'domain':
      return sql`u.domain_name = ${scope.domainName}`;
    case 'self':
      return sql`u.uuid = ${scope.userId}`;
  }
}

const matching = (sql: Db, scope: UserScope, filter: UserFilter): Fragment => sql`
  ${visible(sql, scope)}
  ${filter.userIds == null ? sql`` : sql`AND u.uuid = ANY (${[...filter.userIds]}::uuid[])`}
  ${filter.domainName == null ? sql`` : sql`AND u.domain_name = ${filter.domainName}`}
  ${filter.status == null ? sql`` : sql`AND u.status = ${filter.status}`}
  ${filter.isActive == null ? sql`` : sql`AND (u.status = 'active') = ${filter.isActive}`}
  ${
    filter.projectId == null
      ? sql``
      : sql`AND EXISTS (SELECT FROM association_groups_users m
                         WHERE m.user_id = u.uuid AND m.group_id = ${filter.projectId})`
  }`;

/** A user without its secrets. */
export const columns = (sql: Db): Fragment => sql`
  u.uuid, u.username, u.email, u.need_password_change, u.password_changed_at, u.full_name,
  u.description, u.status, u.status_info, u.created_at, u.modified_at, u.domain_name, u.role,
  u.allowed_client_ip::text[] AS allowed_client_ip, u.totp_activated, u.totp_activated_at,
  u.resource_policy, u.sudo_session_enabled, u.main_access_key, u.container_uid,
  u.container_main_gid, u.container_gids, u.integration_id`;

/** Which user is meant: by id, or else by e-mail address. */
export type UserKey = { readonly userId: string } | { readonly email: string };

/** The user if it may be seen, without its secrets. */
export async function selectOne(
  sql: Db,
  scope: UserScope,
  key: UserKey,
): Promise<UserRecord | null> {
  const named = 'userId' in key ? sql`u.uuid = ${key.userId}` : sql`u.email = ${key.email}`;
  const [row] = await sql<UserRecord[]>`
    SELECT ${columns(sql)} FROM users u WHERE ${named} AND ${visible(sql, scope)}`;
  return row ?? null;
}

/** The projects that each user belongs to, by name. */
export const selectProjectsOfUsers = (
  sql: Db,
  userIds: readonly string[],
): Promise<{ user_id: string; id: string; name: string }[]> => sql<
  { user_id: string; id: string; name: string }[]
>`
  SELECT a.user_id, g.id, g.name
    FROM association_groups_users a JOIN groups g ON g.id = a.group_id
   WHERE a.user_id = ANY (${[...userIds]}::uuid[]) ORDER BY g.name`;

/** Users without their secrets, oldest first. */
export function selectUsers(
  sql: Db,
  scope: UserScope,
  filter: UserFilter,
  limit: number,
): Promise<UserRecord[]> {
  return sql<UserRecord[]>`
    SELECT ${columns(sql)} FROM users u
     WHERE ${matching(sql, scope, filter)}
     ORDER BY u.created_at, u.email
     LIMIT ${limit}`;
}

function filterFields(sql: Sql): FieldTable {
  const stored = (value: string) => value.toLowerCase().replaceAll('_', '-');
  const text = (column: Fragment) => ({ kind: 'text', column }) as const;
  const time = (column: Fragment) => ({ kind: 'time', column }) as const;
  const flag = (column: Fragment) => ({ kind: 'boolean', column }) as const;
  return {
    uuid: { kind: 'uuid', column: sql`u.uuid` },
    username: text(sql`u.username`),
    email: text(sql`u.email`),
    need_password_change: flag(sql`u.need_password_change`),
    full_name: text(sql`u.full_name`),
    description: text(sql`u.description`),
    is_active: flag(sql`(u.status = 'active')`),
    status: { kind: 'enum', column: sql`u.status::text`, stored },
    status_info: text(sql`u.status_info`),
    created_at: time(sql`u.created_at`),
    modified_at: time(sql`u.modified_at`),
    domain_name: text(sql`u.domain_name`),
    role: { kind: 'enum', column: sql`u.role::text`, stored },
    resource_policy: text(sql`u.resource_policy`),
    allowed_client_ip: { kind: 'text-array', column: sql`u.allowed_client_ip::text[]` },
    totp_activated: flag(sql`u.totp_activated`),
    totp_activated_at: time(sql`u.totp_activated_at`),
    sudo_session_enabled: flag(sql`u.sudo_session_enabled`),
    main_access_key: text(sql`u.main_access_key`),
  };
}

function orderFields(sql: Sql): OrderTable {
  const { description: _, allowed_client_ip: __, ...sortable } = filterFields(sql);
  return orderTable(sortable);
}

/**
 * One page of users, newest first unless ordered, and the number of all that match.
 * @throws BackendError InvalidAPIParameters for a wrong filter or order.
 */
export async function selectPage(
  sql: Sql,
  scope: UserScope,
  filter: UserFilter,
  page: ListPage,
): Promise<{ rows: UserRecord[]; total: number }> {
  const where = sql`
    ${matching(sql, scope, filter)} AND ${filterToSql(sql, page.filter, filterFields(sql))}`;
  const order = orderToSql(sql, page.order, orderFields(sql), {
    fallback: sql`u.created_at DESC`,
    tieBreak: sql`u.uuid`,
  });
  const [counted] = await sql<{ total: number }[]>`
    SELECT count(*)::int AS total FROM users u WHERE ${where}`;
  const rows = await sql<UserRecord[]>`
    SELECT ${columns(sql)} FROM users u
     WHERE ${where} ORDER BY ${order} LIMIT ${page.limit} OFFSET ${page.offset}`;
  return { rows, total: counted?.total ?? 0 };
}

/** @throws BackendError InvalidAPIParameters for a wrong filter or order. */
function nodeSource(sql: Sql, scope: UserScope, query: ListQuery, more: Fragment): ListSource {
  const projectNames = sql`
    ARRAY(SELECT g.name FROM groups g JOIN association_groups_users a ON a.group_id = g.id
           WHERE a.user_id = u.uuid)::text[]`;
  const fields: FieldTable = {
    ...filterFields(sql),
    project_name: { kind: 'text-array', column: projectNames },
  };
  return {
    columns: columns(sql),
    from: sql`users u`,
    scope: visible(sql, scope),
    filter: sql`${filterToSql(sql, query.filter, fields)} AND ${more}`,
    order: orderTerms(query.order, orderFields(sql)),
    key: sql`u.uuid`,
    keyType: 'uuid',
  };
}

/** @throws BackendError InvalidAPIParameters for a wrong filter or order, InvalidCursor. */
export const selectNodes = (
  sql: Sql,
  scope: UserScope,
  query: ListQuery,
  wish: PageWish,
): Promise<Listed<UserRecord>> =>
  selectListPage(sql, nodeSource(sql, scope, query, sql`true`), wish);

/** The members of each project, by project. */
export function selectNodesOfProjects(
  sql: Sql,
  scope: UserScope,
  projectIds: readonly string[],
  query: ListQuery,
  wish: PageWish,
): Promise<Map<string, Listed<UserRecord>>> {
  const member = sql`EXISTS (SELECT FROM association_groups_users m
                              WHERE m.user_id = u.uuid AND m.group_id = parent.id)`;
  const source = nodeSource(sql, scope, query, member);
  return selectListPages(sql, source, wish, { ids: projectIds, type: 'uuid' });
}
