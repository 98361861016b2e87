/** SQL that changes what is due to whom: weights, and the rules of a group. */
import type { Db } from '../db/connect.ts';
import { jsonText } from '../db/json.ts';
import { allColumns, ownerColumns, shareTable } from './level-store.ts';
import type { Level } from './levels.ts';

/** Whose weight; the columns of the level. */
export interface OwnerKey {
  readonly domainName: string;
  readonly projectId: string | null;
  readonly userId: string | null;
}

/** Whether the owner exists and belongs where the key says. */
export async function ownerExists(sql: Db, level: Level, owner: OwnerKey): Promise<boolean> {
  const { domainName, projectId, userId } = owner;
  const found = {
    domain: sql`SELECT FROM domains WHERE name = ${domainName}`,
    project: sql`SELECT FROM groups WHERE id = ${projectId} AND domain_name = ${domainName}`,
    user: sql`SELECT FROM association_groups_users m JOIN users u ON u.uuid = m.user_id
               WHERE m.user_id = ${userId} AND m.group_id = ${projectId}
                 AND u.domain_name = ${domainName}`,
  }[level];
  const [row] = await sql`SELECT EXISTS (${found}) AS found`;
  return row?.found === true;
}

export async function selectWeight(
  sql: Db,
  level: Level,
  group: string,
  owner: OwnerKey,
): Promise<string | null> {
  const { domainName, projectId, userId } = owner;
  const same = {
    domain: sql`domain_name = ${domainName}`,
    project: sql`project_id = ${projectId}`,
    user: sql`user_uuid = ${userId} AND project_id = ${projectId}`,
  }[level];
  const [row] = await sql<{ weight: string | null }[]>`
    SELECT weight::text AS weight FROM ${shareTable(sql, level)}
     WHERE resource_group = ${group} AND ${same}`;
  return row?.weight ?? null;
}

/** @param weight decimal text; null: the group's default counts. */
export async function setWeight(
  sql: Db,
  level: Level,
  group: string,
  owner: OwnerKey,
  weight: string | null,
): Promise<void> {
  const { domainName, projectId, userId } = owner;
  const values = {
    domain: sql`${domainName}`,
    project: sql`${projectId}::uuid, ${domainName}`,
    user: sql`${userId}::uuid, ${projectId}::uuid, ${domainName}`,
  }[level];
  await sql`
    INSERT INTO ${shareTable(sql, level)} (resource_group, ${allColumns(sql, level)}, weight)
    VALUES (${group}, ${values}, ${weight}::text::numeric)
    ON CONFLICT (resource_group, ${ownerColumns(sql, level)})
    DO UPDATE SET weight = excluded.weight, updated_at = now()`;
}

/** The group's rules as they are stored, held until the transaction ends; undefined: no such group. */
export async function lockSpec(sql: Db, group: string): Promise<unknown> {
  const [row] = await sql<{ fair_share_spec: unknown }[]>`
    SELECT coalesce(fair_share_spec, '{}') AS fair_share_spec
      FROM scaling_groups WHERE name = ${group} FOR UPDATE`;
  return row?.fair_share_spec;
}

export async function setSpec(sql: Db, group: string, spec: object): Promise<void> {
  await sql`
    UPDATE scaling_groups SET fair_share_spec = ${jsonText(spec)}::text::jsonb
     WHERE name = ${group}`;
}
