/** SQL about container registries. One row stands for one project of a registry. */
import type { Fragment, Sql } from 'postgres';
import type { Db } from '../db/connect.ts';
import type { ContainerRegistryRow } from '../db/rows.generated.ts';
import {
  type FieldTable,
  filterToSql,
  type ListQuery,
  orderTable,
  orderTerms,
} from '../graphql/minilang-store.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import { selectListPage } from '../graphql/page-store.ts';

/** A registry without its credentials. */
export type RegistryRecord = Omit<ContainerRegistryRow, 'username' | 'password'>;

export function selectByNames(
  sql: Db,
  names: readonly string[],
  limit: number,
): Promise<RegistryRecord[]> {
  return sql<RegistryRecord[]>`
    SELECT id, url, registry_name, type, project, ssl_verify, is_global, extra
      FROM container_registries
     WHERE registry_name = ANY (${names}::text[])
     ORDER BY registry_name, project
     LIMIT ${limit}`;
}

/** A registry with its user, and whether it has a password. */
export type RegistryConfiguration = RegistryRecord & {
  readonly username: string | null;
  readonly has_password: boolean;
};

const configurationColumns = (sql: Db): Fragment => sql`
  r.id, r.url, r.registry_name, r.type, r.project, r.ssl_verify, r.is_global, r.extra, r.username,
  r.password IS NOT NULL AS has_password`;

/** Registries by the conditions of the filter language, by id unless ordered. */
export function selectNodes(
  sql: Sql,
  query: ListQuery,
  wish: PageWish,
): Promise<Listed<RegistryConfiguration>> {
  const fields: FieldTable = {
    row_id: { kind: 'uuid', column: sql`r.id` },
    registry_name: { kind: 'text', column: sql`r.registry_name` },
  };
  return selectListPage(
    sql,
    {
      columns: configurationColumns(sql),
      from: sql`container_registries r`,
      scope: sql`true`,
      filter: filterToSql(sql, query.filter, fields),
      order: orderTerms(query.order, orderTable(fields)),
      key: sql`r.id`,
      keyType: 'uuid',
    },
    wish,
  );
}

export async function selectConfiguration(
  sql: Db,
  id: string,
): Promise<RegistryConfiguration | null> {
  const [row] = await sql<RegistryConfiguration[]>`
    SELECT ${configurationColumns(sql)} FROM container_registries r WHERE r.id = ${id}`;
  return row ?? null;
}

/** The registry of a project, as the project's record names it, with credentials. */
export async function selectOfProject(
  sql: Db,
  projectId: string,
): Promise<ContainerRegistryRow | null> {
  const [row] = await sql<ContainerRegistryRow[]>`
    SELECT r.* FROM groups g JOIN container_registries r
      ON r.registry_name = g.container_registry->>'registry'
     AND r.project = g.container_registry->>'project'
     WHERE g.id = ${projectId} ORDER BY r.id LIMIT 1`;
  return row ?? null;
}

/** With their credentials: those with a name, and a project, if given. */
export function selectWithCredentials(
  sql: Db,
  filter: { readonly name: string | null; readonly project: string | null },
  limit: number,
): Promise<ContainerRegistryRow[]> {
  return sql<ContainerRegistryRow[]>`
    SELECT * FROM container_registries
     WHERE ${filter.name === null ? sql`true` : sql`registry_name = ${filter.name}`}
       AND ${filter.project === null ? sql`true` : sql`project = ${filter.project}`}
     ORDER BY registry_name, project
     LIMIT ${limit}`;
}

export function selectConfigurations(
  sql: Db,
  name: string | null,
  limit: number,
): Promise<RegistryConfiguration[]> {
  return sql<RegistryConfiguration[]>`
    SELECT ${configurationColumns(sql)} FROM container_registries r
     WHERE ${name === null ? sql`true` : sql`r.registry_name = ${name}`}
     ORDER BY r.registry_name, r.project
     LIMIT ${limit}`;
}

/** Two managers that make the row at once mean the same one. */
const LOCAL_ID = '6c6f6361-6c00-4000-8000-000000000001';

/** Makes the row of local images unless there is one; safe when several managers do so at once. */
export async function insertLocal(sql: Db, name: string, url: string): Promise<void> {
  await sql`
    INSERT INTO container_registries (id, url, registry_name, type, project, is_global)
    SELECT ${LOCAL_ID}, ${url}, ${name}, 'local', '', true
     WHERE NOT EXISTS (SELECT FROM container_registries WHERE registry_name = ${name})
    ON CONFLICT (id) DO NOTHING`;
}
