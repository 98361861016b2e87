/** SQL of the newer lists of users. */
import type { Fragment, Sql } from 'postgres';
import type { Listed, PageWish } from '../graphql/page.ts';
import { selectListPage, selectListPages } from '../graphql/page-store.ts';
import type { V2FieldTable, V2OrderTable, V2Query } from '../graphql/v2-filter-store.ts';
import { type V2ListShape, v2Source } from '../graphql/v2-list-store.ts';
import { columns, type UserRecord, type UserScope, visible } from './store.ts';

/** Members of the enums to what is stored. */
const stored = (member: string): string => member.toLowerCase().replaceAll('_', '-');

const fields = (sql: Sql): V2FieldTable => ({
  uuid: { kind: 'uuid', column: sql`u.uuid` },
  username: { kind: 'text', column: sql`u.username` },
  email: { kind: 'text', column: sql`u.email` },
  fullName: { kind: 'text', column: sql`u.full_name` },
  description: { kind: 'text', column: sql`u.description` },
  status: { kind: 'enum', column: sql`u.status`, type: sql`userstatus`, stored },
  statusInfo: { kind: 'text', column: sql`u.status_info` },
  domainName: { kind: 'text', column: sql`u.domain_name` },
  integrationName: { kind: 'text', column: sql`u.integration_id` },
  resourcePolicy: { kind: 'text', column: sql`u.resource_policy` },
  role: { kind: 'enum', column: sql`u.role`, type: sql`userrole`, stored },
  needPasswordChange: { kind: 'boolean', column: sql`u.need_password_change` },
  totpActivated: { kind: 'boolean', column: sql`u.totp_activated` },
  sudoSessionEnabled: { kind: 'boolean', column: sql`u.sudo_session_enabled` },
  containerUid: { kind: 'number', column: sql`u.container_uid` },
  containerMainGid: { kind: 'number', column: sql`u.container_main_gid` },
  containerGids: { kind: 'int-array', column: sql`u.container_gids` },
  createdAt: { kind: 'time', column: sql`u.created_at` },
  domain: {
    kind: 'nested',
    exists: (condition) =>
      sql`exists (select from domains d where d.name = u.domain_name and ${condition})`,
    fields: {
      name: { kind: 'text', column: sql`d.name` },
      isActive: { kind: 'boolean', column: sql`d.is_active` },
    },
  },
  project: {
    kind: 'nested',
    exists: (condition) =>
      sql`exists (select from groups g join association_groups_users m on m.group_id = g.id
                   where m.user_id = u.uuid and ${condition})`,
    fields: {
      name: { kind: 'text', column: sql`g.name` },
      isActive: { kind: 'boolean', column: sql`g.is_active` },
    },
  },
});

/** A user may have many projects: it stands where the first of them would. */
const orders = (sql: Sql): V2OrderTable => ({
  CREATED_AT: sql`u.created_at`,
  MODIFIED_AT: sql`u.modified_at`,
  USERNAME: sql`u.username`,
  EMAIL: sql`u.email`,
  STATUS: sql`u.status::text`,
  DOMAIN_NAME: sql`u.domain_name`,
  PROJECT_NAME: sql`
    (select min(g.name) from groups g join association_groups_users m on m.group_id = g.id
      where m.user_id = u.uuid)`,
});

const users: V2ListShape = {
  columns,
  from: (sql) => sql`users u`,
  fields,
  orders,
  newest: (sql) => sql`u.created_at`,
  key: (sql) => sql`u.uuid`,
  keyType: 'uuid',
};

const member = (sql: Sql, projectId: Fragment): Fragment => sql`
  exists (select from association_groups_users m
           where m.user_id = u.uuid and m.group_id = ${projectId})`;

/**
 * Users, of one domain or the members of one project only if that is given.
 * @throws BackendError InvalidGraphQLParameters for a filter that is too large, InvalidCursor.
 */
export function selectUsersV2(
  sql: Sql,
  scope: UserScope,
  query: V2Query & { readonly domainName?: string; readonly projectId?: string },
  wish: PageWish,
): Promise<Listed<UserRecord>> {
  const { domainName, projectId } = query;
  const more = sql`
    ${domainName === undefined ? sql`true` : sql`u.domain_name = ${domainName}`}
    and ${projectId === undefined ? sql`true` : member(sql, sql`${projectId}::uuid`)}`;
  return selectListPage(sql, v2Source(sql, users, query, wish, visible(sql, scope), more), wish);
}

/** The users of each domain, by its name. */
export function selectUsersOfDomains(
  sql: Sql,
  scope: UserScope,
  domainNames: readonly string[],
  query: V2Query,
  wish: PageWish,
): Promise<Map<string, Listed<UserRecord>>> {
  const inDomain = sql`u.domain_name = parent.id`;
  const source = v2Source(sql, users, query, wish, visible(sql, scope), inDomain);
  return selectListPages(sql, source, wish, { ids: domainNames, type: 'text' });
}

/** The members of each project, by its id. */
export function selectUsersOfProjects(
  sql: Sql,
  scope: UserScope,
  projectIds: readonly string[],
  query: V2Query,
  wish: PageWish,
): Promise<Map<string, Listed<UserRecord>>> {
  const inProject = member(sql, sql`parent.id`);
  const source = v2Source(sql, users, query, wish, visible(sql, scope), inProject);
  return selectListPages(sql, source, wish, { ids: projectIds, type: 'uuid' });
}
