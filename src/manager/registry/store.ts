/** SQL about container registries. One row stands for one project of a registry. */
import type { Db } from '../db/connect.ts';
import type { ContainerRegistryRow } from '../db/rows.generated.ts';

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

export function selectConfigurations(
  sql: Db,
  name: string | null,
  limit: number,
): Promise<RegistryConfiguration[]> {
  return sql<RegistryConfiguration[]>`
    SELECT id, url, registry_name, type, project, ssl_verify, is_global, extra, username,
           password IS NOT NULL AS has_password
      FROM container_registries
     WHERE ${name === null ? sql`true` : sql`registry_name = ${name}`}
     ORDER BY registry_name, project
     LIMIT ${limit}`;
}

export function selectAll(sql: Db, limit: number): Promise<RegistryRecord[]> {
  return sql<RegistryRecord[]>`
    SELECT id, url, registry_name, type, project, ssl_verify, is_global, extra
      FROM container_registries
     ORDER BY registry_name, project
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
