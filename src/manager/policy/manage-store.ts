/** SQL that lists and changes resource policies. The three kinds differ in their columns only. */
import { assignments, type JsonColumn } from '../db/assign-store.ts';
import type { Db } from '../db/connect.ts';
import type {
  KeypairResourcePolicyRow,
  ProjectResourcePolicyRow,
  UserResourcePolicyRow,
} from '../db/rows.generated.ts';

/** The rows of each kind of policy. */
export interface PolicyRows {
  readonly keypair: KeypairResourcePolicyRow;
  readonly user: UserResourcePolicyRow;
  readonly project: ProjectResourcePolicyRow;
}
export type PolicyKind = keyof PolicyRows;

const TABLES: Readonly<Record<PolicyKind, string>> = {
  keypair: 'keypair_resource_policies',
  user: 'user_resource_policies',
  project: 'project_resource_policies',
};
export const tableOf = (kind: PolicyKind): string => TABLES[kind];

/** Column → value; undefined stays as it is. */
export type PolicyColumns = Readonly<
  Record<string, string | number | null | JsonColumn | undefined>
>;

export function selectPolicies<K extends PolicyKind>(
  sql: Db,
  kind: K,
  limit: number,
): Promise<PolicyRows[K][]> {
  return sql<PolicyRows[K][]>`SELECT * FROM ${sql(tableOf(kind))} ORDER BY name LIMIT ${limit}`;
}

export async function selectPolicy<K extends PolicyKind>(
  sql: Db,
  kind: K,
  name: string,
): Promise<PolicyRows[K] | null> {
  const [row] = await sql<PolicyRows[K][]>`
    SELECT * FROM ${sql(tableOf(kind))} WHERE name = ${name}`;
  return row ?? null;
}

/** The row, held until the transaction ends. */
export async function lockPolicy<K extends PolicyKind>(
  sql: Db,
  kind: K,
  name: string,
): Promise<PolicyRows[K] | null> {
  const [row] = await sql<PolicyRows[K][]>`
    SELECT * FROM ${sql(tableOf(kind))} WHERE name = ${name} FOR UPDATE`;
  return row ?? null;
}

/** Makes a policy with the strictest limits; `updatePolicy` in the same transaction sets its own. */
export async function insertPolicy(sql: Db, kind: PolicyKind, name: string): Promise<void> {
  switch (kind) {
    case 'keypair':
      await sql`
        INSERT INTO keypair_resource_policies (name, default_for_unspecified, total_resource_slots,
          max_concurrent_sessions, max_containers_per_session, idle_timeout, allowed_vfolder_hosts)
        VALUES (${name}, 'LIMITED', '{}', 1, 1, 0, '{}')`;
      break;
    case 'user':
      await sql`
        INSERT INTO user_resource_policies (name, max_vfolder_count, max_quota_scope_size,
          max_session_count_per_model_session, max_customized_image_count)
        VALUES (${name}, 0, 0, 0, 3)`;
      break;
    case 'project':
      await sql`
        INSERT INTO project_resource_policies (name, max_vfolder_count, max_quota_scope_size,
          max_network_count)
        VALUES (${name}, 0, 0, 0)`;
      break;
  }
}

/** Sets columns. @returns the row as it became; null when there is none. */
export async function updatePolicy(
  sql: Db,
  kind: PolicyKind,
  name: string,
  columns: PolicyColumns,
): Promise<object | null> {
  const [row] = await sql`
    UPDATE ${sql(tableOf(kind))} SET name = name ${assignments(sql, columns)}
     WHERE name = ${name} RETURNING *`;
  return row ?? null;
}

export async function deletePolicy(sql: Db, kind: PolicyKind, name: string): Promise<void> {
  await sql`DELETE FROM ${sql(tableOf(kind))} WHERE name = ${name}`;
}
