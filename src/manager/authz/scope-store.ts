/** SQL that lists scopes by name, and what lies in one. For superadmins. */
import type { Fragment, Sql } from 'postgres';
import type { Listed, PageWish } from '../graphql/page.ts';
import { selectListPage } from '../graphql/page-store.ts';
import { type V2Query, v2FilterToSql, v2OrderTerms } from '../graphql/v2-filter-store.ts';
import { asUuid } from './store.ts';

/** The scopes that have names of their own. */
export type NamedScope = 'domain' | 'project' | 'user';

const named: Readonly<Record<NamedScope, (sql: Sql) => Fragment>> = {
  domain: (sql) => sql`select name::text as id, name::text, created_at from domains`,
  project: (sql) => sql`select id::text, name::text, created_at from groups`,
  user: (sql) => sql`select uuid::text as id, coalesce(username, email)::text as name, created_at
                       from users`,
};

/** Scopes of one type by name. */
export function selectScopes(
  sql: Sql,
  type: NamedScope,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<{ readonly id: string; readonly name: string }>> {
  const byName = [{ column: sql`s.name`, descending: false }];
  const orders = { NAME: sql`s.name`, CREATED_AT: sql`s.created_at` };
  const source = {
    columns: sql`s.id, s.name`,
    from: sql`(${named[type](sql)}) as s`,
    scope: sql`true`,
    filter: v2FilterToSql(sql, query.filter, { name: { kind: 'text', column: sql`s.name` } }),
    order: v2OrderTerms(wish.page.mode, query.orderBy, orders, byName),
    key: sql`s.id`,
    keyType: 'text' as const,
  };
  return selectListPage(sql, source, wish);
}

/**
 * Ids of what lies directly in a scope: what associations say, and what owners' columns say, as
 * `ownParents` reads them upwards.
 */
function contents(sql: Sql, scope: { type: string; id: string }, entityType: string): Fragment {
  const id = asUuid(sql, sql`${scope.id}::text`);
  const owned: Readonly<Record<string, Fragment>> = {
    'user session': sql`select id::text from sessions where user_uuid = ${id}`,
    'project session': sql`select id::text from sessions where group_id = ${id}`,
    'session kernel': sql`select id::text from kernels where session_id = ${id}`,
    'user vfolder': sql`select id::text from vfolders where "user" = ${id}`,
    'project vfolder': sql`select id::text from vfolders where "group" = ${id}`,
    'user keypair': sql`select access_key::text from keypairs where "user" = ${id}`,
  };
  const rows = owned[`${scope.type} ${entityType}`];
  return sql`
    select entity_id::text as id from association_scopes_entities
     where scope_type = ${scope.type} and scope_id = ${scope.id} and entity_type = ${entityType}
    ${rows === undefined ? sql`` : sql`union ${rows}`}`;
}

export function selectContents(
  sql: Sql,
  scope: { readonly type: string; readonly id: string },
  entityType: string,
  wish: PageWish,
): Promise<Listed<{ readonly id: string }>> {
  const source = {
    columns: sql`e.id`,
    from: sql`(${contents(sql, scope, entityType)}) as e`,
    scope: sql`true`,
    filter: sql`true`,
    order: [],
    key: sql`e.id`,
    keyType: 'text' as const,
  };
  return selectListPage(sql, source, wish);
}
