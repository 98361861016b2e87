/** SQL that changes domains. */
import { assignments, type JsonColumn } from '../db/assign-store.ts';
import type { Db } from '../db/connect.ts';
import type { DomainRow } from '../db/rows.generated.ts';

export interface DomainChanges {
  readonly name?: string;
  readonly description?: string | null;
  readonly is_active?: boolean;
  readonly integration_id?: string | null;
  readonly allowed_docker_registries?: readonly string[];
  readonly total_resource_slots?: JsonColumn;
  readonly allowed_vfolder_hosts?: JsonColumn;
}

export async function insertDomain(sql: Db, name: string): Promise<void> {
  await sql`
    INSERT INTO domains (name, is_active, total_resource_slots, allowed_vfolder_hosts,
                         allowed_docker_registries, dotfiles)
    VALUES (${name}, true, '{}', '{}', '{}', '\\x90')`;
}

/** The row, held until the transaction ends. */
export async function lockDomain(sql: Db, name: string): Promise<DomainRow | null> {
  const [row] = await sql<DomainRow[]>`SELECT * FROM domains WHERE name = ${name} FOR UPDATE`;
  return row ?? null;
}

export async function updateDomain(
  sql: Db,
  name: string,
  changes: DomainChanges,
): Promise<DomainRow | null> {
  const [row] = await sql<DomainRow[]>`
    UPDATE domains SET modified_at = now() ${assignments(sql, { ...changes })}
     WHERE name = ${name} RETURNING *`;
  return row ?? null;
}

/** How many users and projects there are in the domain. */
export async function countContents(
  sql: Db,
  name: string,
): Promise<{ users: number; projects: number }> {
  const [row] = await sql<{ users: number; projects: number }[]>`
    SELECT (SELECT count(*) FROM users WHERE domain_name = ${name})::int AS users,
           (SELECT count(*) FROM groups WHERE domain_name = ${name})::int AS projects`;
  return row ?? { users: 0, projects: 0 };
}

export async function deleteDomain(sql: Db, name: string): Promise<void> {
  await sql`DELETE FROM domains WHERE name = ${name}`;
}
