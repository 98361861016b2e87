/** SQL about resource policies. */
import type { Db } from '../db/connect.ts';
import type {
  KeypairResourcePolicyRow,
  ProjectResourcePolicyRow,
  UserResourcePolicyRow,
} from '../db/rows.generated.ts';

export async function selectKeypairPolicy(
  sql: Db,
  accessKey: string,
): Promise<KeypairResourcePolicyRow | null> {
  const [row] = await sql<KeypairResourcePolicyRow[]>`
    SELECT p.* FROM keypair_resource_policies p
      JOIN keypairs k ON k.resource_policy = p.name
     WHERE k.access_key = ${accessKey}`;
  return row ?? null;
}

export async function selectUserPolicy(
  sql: Db,
  userId: string,
): Promise<UserResourcePolicyRow | null> {
  const [row] = await sql<UserResourcePolicyRow[]>`
    SELECT p.* FROM user_resource_policies p
      JOIN users u ON u.resource_policy = p.name
     WHERE u.uuid = ${userId}`;
  return row ?? null;
}

export async function selectProjectPolicy(
  sql: Db,
  projectId: string,
): Promise<ProjectResourcePolicyRow | null> {
  const [row] = await sql<ProjectResourcePolicyRow[]>`
    SELECT p.* FROM project_resource_policies p
      JOIN groups g ON g.resource_policy = p.name
     WHERE g.id = ${projectId}`;
  return row ?? null;
}
