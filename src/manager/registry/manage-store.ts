/** SQL that changes container registries. */
import { assignments, type JsonColumn } from '../db/assign-store.ts';
import type { Db } from '../db/connect.ts';
import type { ContainerRegistryRow } from '../db/rows.generated.ts';

export interface RegistryChanges {
  readonly url?: string;
  readonly registry_name?: string;
  readonly type?: string;
  readonly project?: string | null;
  readonly username?: string | null;
  readonly password?: string | null;
  readonly ssl_verify?: boolean;
  readonly is_global?: boolean;
  readonly extra?: JsonColumn;
}

/** A registry that stands for images on the hosts; the rest of it is then changed. */
export async function insertRegistry(
  sql: Db,
  id: string,
  required: { readonly url: string; readonly registry_name: string; readonly type: string },
): Promise<void> {
  const { url, registry_name, type } = required;
  await sql`
    INSERT INTO container_registries (id, url, registry_name, type)
    VALUES (${id}, ${url}, ${registry_name}, ${type})`;
}

/** The row, held until the transaction ends. */
export async function lockRegistry(sql: Db, id: string): Promise<ContainerRegistryRow | null> {
  const [row] = await sql<ContainerRegistryRow[]>`
    SELECT * FROM container_registries WHERE id = ${id} FOR UPDATE`;
  return row ?? null;
}

/** Whether another row stands for the same project of the same registry. */
export async function isTaken(
  sql: Db,
  { id, registry_name, project }: Pick<ContainerRegistryRow, 'id' | 'registry_name' | 'project'>,
): Promise<boolean> {
  const [row] = await sql`
    SELECT FROM container_registries
     WHERE registry_name = ${registry_name} AND project IS NOT DISTINCT FROM ${project}
       AND id <> ${id} LIMIT 1`;
  return row !== undefined;
}

export async function updateRegistry(
  sql: Db,
  id: string,
  changes: RegistryChanges,
): Promise<ContainerRegistryRow | null> {
  const [row] = await sql<ContainerRegistryRow[]>`
    UPDATE container_registries SET id = id ${assignments(sql, { ...changes })}
     WHERE id = ${id} RETURNING *`;
  return row ?? null;
}

/** Deletes the registry and forgets its images. @returns how many images it had. */
export async function deleteRegistry(sql: Db, id: string): Promise<number> {
  const images = await sql`DELETE FROM images WHERE registry_id = ${id}`;
  await sql`DELETE FROM container_registries WHERE id = ${id}`;
  return images.count;
}

/** Lets projects use the registry. @returns the ids of those that are no projects. */
export async function allowProjects(
  sql: Db,
  id: string,
  projectIds: readonly string[],
): Promise<string[]> {
  const known = await sql<{ id: string }[]>`
    SELECT id FROM groups WHERE id = ANY (${[...projectIds]}::uuid[])`;
  await sql`
    INSERT INTO association_container_registries_groups (registry_id, group_id)
    SELECT ${id}, group_id FROM unnest(${known.map((row) => row.id)}::uuid[]) AS group_id
    ON CONFLICT DO NOTHING`;
  return projectIds.filter((projectId) => !known.some((row) => row.id === projectId));
}

export async function disallowProjects(
  sql: Db,
  id: string,
  projectIds: readonly string[],
): Promise<number> {
  const result = await sql`
    DELETE FROM association_container_registries_groups
     WHERE registry_id = ${id} AND group_id = ANY (${[...projectIds]}::uuid[])`;
  return result.count;
}
