/** SQL about keypairs. */
import type { Fragment, Sql } from 'postgres';
import * as v from 'valibot';
import type { Db } from '../db/connect.ts';
import type { KeypairRow } from '../db/rows.generated.ts';
import {
  type FieldTable,
  filterToSql,
  type ListPage,
  type OrderTable,
  orderTable,
  orderToSql,
} from '../graphql/minilang-store.ts';
import type { Role } from '../http/route.ts';

export interface ActiveKeypairRecord {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly isAdmin: boolean;
  readonly resourcePolicy: string;
  readonly rateLimit: number | null;
  readonly userId: string;
  readonly email: string;
  readonly username: string;
  readonly role: Role;
  readonly domainName: string;
  readonly allowedClientIp: string[] | null;
}

/** The keypair with its owner; nothing unless the key and its owner are active. */
export async function selectActive(
  sql: Db,
  accessKey: string,
): Promise<ActiveKeypairRecord | null> {
  const [row] = await sql<ActiveKeypairRecord[]>`
    SELECT k.access_key AS "accessKey",
           k.secret_key AS "secretKey",
           coalesce(k.is_admin, false) AS "isAdmin",
           k.resource_policy AS "resourcePolicy",
           k.rate_limit AS "rateLimit",
           u.uuid AS "userId",
           u.email,
           coalesce(u.username, u.email) AS username,
           coalesce(u.role, 'user') AS role,
           u.domain_name AS "domainName",
           u.allowed_client_ip::text[] AS "allowedClientIp"
      FROM keypairs k
      JOIN users u ON u.uuid = k."user"
     WHERE k.access_key = ${accessKey} AND k.is_active AND k.secret_key IS NOT NULL
       AND u.status = 'active' AND u.domain_name IS NOT NULL`;
  return row ?? null;
}

export async function addQueries(sql: Db, accessKey: string, count: number): Promise<void> {
  await sql`
    UPDATE keypairs SET num_queries = coalesce(num_queries, 0) + ${count}, last_used = now()
     WHERE access_key = ${accessKey}`;
}

/** Whose keypairs may be seen. */
export type KeypairScope =
  | { readonly kind: 'all' }
  | { readonly kind: 'domain'; readonly domainName: string }
  | { readonly kind: 'user'; readonly userId: string };

export interface KeypairFilter {
  readonly domainName?: string | null;
  readonly email?: string | null;
  readonly isActive?: boolean | null;
}

export type KeypairRecord = Omit<KeypairRow, 'dotfiles'> & {
  readonly email: string;
  readonly full_name: string | null;
  readonly domain_name: string | null;
};

export function visible(sql: Db, scope: KeypairScope): Fragment {
  switch (scope.kind) {
    case 'all':
      return sql`true`;
    case 'domain':
      // A superadmin's secret would make a superadmin of whoever sees it.
      return sql`u.domain_name = ${scope.domainName} AND u.role IS DISTINCT FROM 'superadmin'`;
    case 'user':
      return sql`u.uuid = ${scope.userId}`;
  }
}

const matching = (sql: Db, scope: KeypairScope, filter: KeypairFilter): Fragment => sql`
  ${visible(sql, scope)}
  ${filter.domainName == null ? sql`` : sql`AND u.domain_name = ${filter.domainName}`}
  ${filter.email == null ? sql`` : sql`AND u.email = ${filter.email}`}
  ${filter.isActive == null ? sql`` : sql`AND k.is_active = ${filter.isActive}`}`;

/** A keypair with what is known of its owner. */
export const columns = (sql: Db): Fragment => sql`
  k.user_id, k.access_key, k.secret_key, k.is_active, k.is_admin, k.created_at, k.modified_at,
  k.last_used, k.rate_limit, k.num_queries, k.ssh_public_key, k.ssh_private_key, k."user",
  k.resource_policy, k.bootstrap_script, u.email, u.full_name, u.domain_name`;

/** The keypair if it may be seen. */
export async function selectOne(
  sql: Db,
  scope: KeypairScope,
  accessKey: string,
): Promise<KeypairRecord | null> {
  const [row] = await sql<KeypairRecord[]>`
    SELECT ${columns(sql)} FROM keypairs k JOIN users u ON u.uuid = k."user"
     WHERE k.access_key = ${accessKey} AND ${visible(sql, scope)}`;
  return row ?? null;
}

/** Those of these keypairs that exist. */
export const selectByKeys = (sql: Db, accessKeys: readonly string[]): Promise<KeypairRecord[]> =>
  sql<KeypairRecord[]>`
    SELECT ${columns(sql)} FROM keypairs k JOIN users u ON u.uuid = k."user"
     WHERE k.access_key = ANY(${[...accessKeys]}::text[])`;

export function selectMany(
  sql: Db,
  scope: KeypairScope,
  filter: KeypairFilter,
  limit: number,
): Promise<KeypairRecord[]> {
  return sql<KeypairRecord[]>`
    SELECT ${columns(sql)} FROM keypairs k JOIN users u ON u.uuid = k."user"
     WHERE ${matching(sql, scope, filter)}
     ORDER BY k.created_at, k.access_key
     LIMIT ${limit}`;
}

function filterFields(sql: Sql): FieldTable {
  const projectNames = sql`
    ARRAY(SELECT g.name FROM groups g JOIN association_groups_users a ON a.group_id = g.id
           WHERE a.user_id = u.uuid)::text[]`;
  return {
    access_key: { kind: 'text', column: sql`k.access_key` },
    user_id: { kind: 'text', column: sql`k.user_id` },
    email: { kind: 'text', column: sql`u.email` },
    full_name: { kind: 'text', column: sql`u.full_name` },
    is_active: { kind: 'boolean', column: sql`k.is_active` },
    is_admin: { kind: 'boolean', column: sql`k.is_admin` },
    resource_policy: { kind: 'text', column: sql`k.resource_policy` },
    created_at: { kind: 'time', column: sql`k.created_at` },
    last_used: { kind: 'time', column: sql`k.last_used` },
    rate_limit: { kind: 'number', column: sql`k.rate_limit` },
    num_queries: { kind: 'number', column: sql`k.num_queries` },
    ssh_public_key: { kind: 'text', column: sql`k.ssh_public_key` },
    projects: { kind: 'text-array', column: projectNames },
  };
}

function orderFields(sql: Sql): OrderTable {
  const { user_id: _, ssh_public_key: __, ...sortable } = filterFields(sql);
  return orderTable(sortable);
}

/**
 * One page of keypairs, newest first unless ordered, and the number of all that match.
 * @throws BackendError InvalidAPIParameters for a wrong filter or order.
 */
export async function selectPage(
  sql: Sql,
  scope: KeypairScope,
  filter: KeypairFilter,
  page: ListPage,
): Promise<{ rows: KeypairRecord[]; total: number }> {
  const where = sql`
    ${matching(sql, scope, filter)} AND ${filterToSql(sql, page.filter, filterFields(sql))}`;
  const order = orderToSql(sql, page.order, orderFields(sql), {
    fallback: sql`k.created_at DESC`,
    tieBreak: sql`k.access_key`,
  });
  const [counted] = await sql<{ total: number }[]>`
    SELECT count(*)::int AS total FROM keypairs k JOIN users u ON u.uuid = k."user"
     WHERE ${where}`;
  const rows = await sql<KeypairRecord[]>`
    SELECT ${columns(sql)} FROM keypairs k JOIN users u ON u.uuid = k."user"
     WHERE ${where} ORDER BY ${order} LIMIT ${page.limit} OFFSET ${page.offset}`;
  return { rows, total: counted?.total ?? 0 };
}

const startup = v.object({ bootstrap_script: v.string() });

/** The script stored with a keypair for its sessions; empty when there is none. */
export async function selectBootstrapScript(sql: Db, accessKey: string): Promise<string> {
  const [row] = await sql`SELECT bootstrap_script FROM keypairs WHERE access_key = ${accessKey}`;
  return row ? v.parse(startup, row).bootstrap_script : '';
}
