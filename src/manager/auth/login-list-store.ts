/** SQL that lists sign-ins and their history, and ends a sign-in by its id. */
import type { Fragment, Sql } from 'postgres';
import type { Db } from '../db/connect.ts';
import type { LoginHistoryRow, LoginSessionRow } from '../db/rows.generated.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import { type ListSource, selectListPage } from '../graphql/page-store.ts';
import {
  type V2FieldTable,
  type V2OrderTable,
  type V2Query,
  v2FilterToSql,
  v2OrderTerms,
} from '../graphql/v2-filter-store.ts';

/** A sign-in without its token, which would let its reader sign in. */
export type LoginSession = Omit<LoginSessionRow, 'session_token' | 'login_client_type_id'>;
export type LoginAttempt = LoginHistoryRow;

/** Whose; null means everybody's. */
export type LoginScope = string | null;

const visible = (sql: Sql, userId: LoginScope): Fragment =>
  userId === null ? sql`true` : sql`user_id = ${userId}`;

const lower = (member: string): string => member.toLowerCase();

const sessionColumns = (sql: Sql): Fragment =>
  sql`id, user_id, access_key, status, created_at, last_accessed_at, invalidated_at`;

const sessionFields = (sql: Sql): V2FieldTable => ({
  userId: { kind: 'uuid', column: sql`user_id` },
  status: { kind: 'enum', column: sql`status`, stored: lower },
  accessKey: { kind: 'text', column: sql`access_key` },
  createdAt: { kind: 'time', column: sql`created_at` },
  lastAccessedAt: { kind: 'time', column: sql`last_accessed_at` },
});

const sessionOrders = (sql: Sql): V2OrderTable => ({
  CREATED_AT: sql`created_at`,
  STATUS: sql`status`,
  LAST_ACCESSED_AT: sql`last_accessed_at`,
});

const historyFields = (sql: Sql): V2FieldTable => ({
  domainName: { kind: 'text', column: sql`domain_name` },
  result: { kind: 'enum', column: sql`result`, stored: lower },
  createdAt: { kind: 'time', column: sql`created_at` },
});

const historyOrders = (sql: Sql): V2OrderTable => ({
  CREATED_AT: sql`created_at`,
  RESULT: sql`result`,
  DOMAIN_NAME: sql`domain_name`,
});

function sourceOf(
  sql: Sql,
  table: { readonly columns: Fragment; readonly from: Fragment },
  userId: LoginScope,
  filter: Fragment,
  order: ListSource['order'],
): ListSource {
  return {
    ...table,
    scope: visible(sql, userId),
    filter,
    order,
    key: sql`id`,
    keyType: 'uuid',
  };
}

/** @throws BackendError InvalidGraphQLParameters for a filter that is too large, InvalidCursor. */
export function selectLoginSessions(
  sql: Sql,
  userId: LoginScope,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<LoginSession>> {
  const newestFirst = [{ column: sql`created_at`, descending: true }];
  const source = sourceOf(
    sql,
    { columns: sessionColumns(sql), from: sql`login_sessions` },
    userId,
    v2FilterToSql(sql, query.filter, sessionFields(sql)),
    v2OrderTerms(wish.page.mode, query.orderBy, sessionOrders(sql), newestFirst),
  );
  return selectListPage(sql, source, wish);
}

/** @throws BackendError InvalidGraphQLParameters for a filter that is too large, InvalidCursor. */
export function selectLoginHistory(
  sql: Sql,
  userId: LoginScope,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<LoginAttempt>> {
  const newestFirst = [{ column: sql`created_at`, descending: true }];
  const source = sourceOf(
    sql,
    { columns: sql`*`, from: sql`login_history` },
    userId,
    v2FilterToSql(sql, query.filter, historyFields(sql)),
    v2OrderTerms(wish.page.mode, query.orderBy, historyOrders(sql), newestFirst),
  );
  return selectListPage(sql, source, wish);
}

export async function selectLoginSession(
  sql: Sql,
  userId: LoginScope,
  id: string,
): Promise<LoginSession | null> {
  const [row] = await sql<LoginSession[]>`
    SELECT ${sessionColumns(sql)} FROM login_sessions WHERE id = ${id} AND ${visible(sql, userId)}`;
  return row ?? null;
}

export async function selectLoginAttempt(
  sql: Sql,
  userId: LoginScope,
  id: string,
): Promise<LoginAttempt | null> {
  const [row] = await sql<LoginAttempt[]>`
    SELECT * FROM login_history WHERE id = ${id} AND ${visible(sql, userId)}`;
  return row ?? null;
}

/** Marks a sign-in that is still open as revoked. @returns it with its token; null when there is none. */
export async function revokeLoginSession(
  sql: Db,
  userId: LoginScope,
  id: string,
): Promise<{ token: string; userId: string; domainName: string } | null> {
  const [row] = await sql<{ token: string; userId: string; domainName: string }[]>`
    UPDATE login_sessions s SET status = 'revoked', invalidated_at = now()
      FROM users u
     WHERE u.uuid = s.user_id AND s.id = ${id} AND s.status = 'active'
       AND ${userId === null ? sql`true` : sql`s.user_id = ${userId}`}
    RETURNING s.session_token AS token, s.user_id AS "userId",
              coalesce(u.domain_name, '') AS "domainName"`;
  return row ?? null;
}

/** The accounts with that user name or address. */
export function selectNamedAccounts(
  sql: Db,
  name: string,
): Promise<{ userId: string; email: string; domainName: string }[]> {
  return sql<{ userId: string; email: string; domainName: string }[]>`
    SELECT uuid AS "userId", email, domain_name AS "domainName" FROM users
     WHERE (username = ${name} OR email = ${name}) AND domain_name IS NOT NULL`;
}
