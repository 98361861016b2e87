/** SQL of the newer lists of projects. */
import type { Fragment, Sql } from 'postgres';
import type { Listed, PageWish } from '../graphql/page.ts';
import { selectListPage, selectListPages } from '../graphql/page-store.ts';
import type { V2FieldTable, V2OrderTable, V2Query } from '../graphql/v2-filter-store.ts';
import { type V2ListShape, v2Source } from '../graphql/v2-list-store.ts';
import { columns, type ProjectRecord, type ProjectScope, visible } from './store.ts';

const members = (sql: Sql, selected: Fragment, condition: Fragment): Fragment => sql`
  select ${selected} from users u join association_groups_users m on m.user_id = u.uuid
   where m.group_id = g.id and ${condition}`;

const fields = (sql: Sql): V2FieldTable => ({
  id: { kind: 'uuid', column: sql`g.id` },
  name: { kind: 'text', column: sql`g.name` },
  domainName: { kind: 'text', column: sql`g.domain_name` },
  type: {
    kind: 'enum',
    column: sql`g.type`,
    type: sql`projecttype`,
    stored: (member) => member.toLowerCase().replaceAll('_', '-'),
  },
  isActive: { kind: 'boolean', column: sql`g.is_active` },
  createdAt: { kind: 'time', column: sql`g.created_at` },
  modifiedAt: { kind: 'time', column: sql`g.modified_at` },
  domain: {
    kind: 'nested',
    exists: (condition) =>
      sql`exists (select from domains d where d.name = g.domain_name and ${condition})`,
    fields: {
      name: { kind: 'text', column: sql`d.name` },
      isActive: { kind: 'boolean', column: sql`d.is_active` },
    },
  },
  user: {
    kind: 'nested',
    exists: (condition) => sql`exists (${members(sql, sql``, condition)})`,
    fields: {
      id: { kind: 'uuid', column: sql`u.uuid` },
      username: { kind: 'text', column: sql`u.username` },
      email: { kind: 'text', column: sql`u.email` },
      isActive: { kind: 'boolean', column: sql`(u.status = 'active')` },
    },
  },
});

/** A project has many members: it stands where the first of them would. */
const orders = (sql: Sql): V2OrderTable => ({
  CREATED_AT: sql`g.created_at`,
  MODIFIED_AT: sql`g.modified_at`,
  NAME: sql`g.name`,
  IS_ACTIVE: sql`g.is_active`,
  TYPE: sql`g.type::text`,
  DOMAIN_NAME: sql`g.domain_name`,
  USER_USERNAME: sql`(${members(sql, sql`min(u.username)`, sql`true`)})`,
  USER_EMAIL: sql`(${members(sql, sql`min(u.email)`, sql`true`)})`,
});

const projects: V2ListShape = {
  columns,
  from: (sql) => sql`groups g`,
  fields,
  orders,
  newest: (sql) => sql`g.created_at`,
  key: (sql) => sql`g.id`,
  keyType: 'uuid',
};

/**
 * Projects, of one domain only if that is given.
 * @throws BackendError InvalidGraphQLParameters for a filter that is too large, InvalidCursor.
 */
export function selectProjectsV2(
  sql: Sql,
  scope: ProjectScope,
  query: V2Query & { readonly domainName?: string },
  wish: PageWish,
): Promise<Listed<ProjectRecord>> {
  const { domainName } = query;
  const more = domainName === undefined ? sql`true` : sql`g.domain_name = ${domainName}`;
  return selectListPage(sql, v2Source(sql, projects, query, wish, visible(sql, scope), more), wish);
}

/** The projects of each domain, by its name. */
export function selectProjectsOfDomains(
  sql: Sql,
  scope: ProjectScope,
  domainNames: readonly string[],
  query: V2Query,
  wish: PageWish,
): Promise<Map<string, Listed<ProjectRecord>>> {
  const inDomain = sql`g.domain_name = parent.id`;
  const source = v2Source(sql, projects, query, wish, visible(sql, scope), inDomain);
  return selectListPages(sql, source, wish, { ids: domainNames, type: 'text' });
}

/** The projects to which each user belongs, by the user's id. */
export function selectProjectsOfUsers(
  sql: Sql,
  scope: ProjectScope,
  userIds: readonly string[],
  query: V2Query,
  wish: PageWish,
): Promise<Map<string, Listed<ProjectRecord>>> {
  const joined = sql`exists (select from association_groups_users m
                              where m.group_id = g.id and m.user_id = parent.id)`;
  const source = v2Source(sql, projects, query, wish, visible(sql, scope), joined);
  return selectListPages(sql, source, wish, { ids: userIds, type: 'uuid' });
}
