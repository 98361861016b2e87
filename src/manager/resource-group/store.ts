/** SQL about resource groups (table `scaling_groups`) and who may use them. */
import type { Db } from '../db/connect.ts';
import type { ScalingGroupRow } from '../db/rows.generated.ts';

/** The resource groups that belong to the domain, the project or the keypair. */
export interface UsageScope {
  readonly domain: string;
  /** null: any project is left out. */
  readonly projectId: string | null;
  readonly accessKey: string;
}

export function selectAllowed(
  sql: Db,
  { domain, projectId, accessKey }: UsageScope,
  limit: number,
): Promise<ScalingGroupRow[]> {
  return sql<ScalingGroupRow[]>`
    SELECT s.* FROM scaling_groups s
     WHERE s.is_active
       AND (EXISTS (SELECT FROM sgroups_for_domains d
                     WHERE d.scaling_group = s.name AND d.domain = ${domain})
         OR EXISTS (SELECT FROM sgroups_for_groups g
                     WHERE g.scaling_group = s.name AND g."group" = ${projectId})
         OR EXISTS (SELECT FROM sgroups_for_keypairs k
                     WHERE k.scaling_group = s.name AND k.access_key = ${accessKey}))
     ORDER BY s.name
     LIMIT ${limit}`;
}

/** Names of the active groups that the user may use, in whichever of its projects. */
export async function selectUsableNames(
  sql: Db,
  user: { readonly domain: string; readonly userId: string; readonly accessKey: string },
): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    SELECT s.name FROM scaling_groups s
     WHERE s.is_active
       AND (EXISTS (SELECT FROM sgroups_for_domains d
                     WHERE d.scaling_group = s.name AND d.domain = ${user.domain})
         OR EXISTS (SELECT FROM sgroups_for_groups g
                     JOIN association_groups_users m ON m.group_id = g."group"
                     WHERE g.scaling_group = s.name AND m.user_id = ${user.userId})
         OR EXISTS (SELECT FROM sgroups_for_keypairs k
                     WHERE k.scaling_group = s.name AND k.access_key = ${user.accessKey}))
     ORDER BY s.name`;
  return rows.map(({ name }) => name);
}

export function selectByNames(sql: Db, names: readonly string[]): Promise<ScalingGroupRow[]> {
  return sql<ScalingGroupRow[]>`
    SELECT * FROM scaling_groups WHERE name = ANY (${[...names]}::text[]) ORDER BY name`;
}

export async function selectByName(sql: Db, name: string): Promise<ScalingGroupRow | null> {
  const [row] = await sql<ScalingGroupRow[]>`SELECT * FROM scaling_groups WHERE name = ${name}`;
  return row ?? null;
}

export function selectAll(sql: Db, limit: number): Promise<ScalingGroupRow[]> {
  return sql<ScalingGroupRow[]>`SELECT * FROM scaling_groups ORDER BY name LIMIT ${limit}`;
}

export async function updateRoundRobin(
  sql: Db,
  lastAgents: ReadonlyMap<string, string>,
): Promise<void> {
  await sql`
    UPDATE scaling_groups s SET round_robin_agent = c.agent
      FROM unnest(${sql.array([...lastAgents.keys()])}::varchar[],
                  ${sql.array([...lastAgents.values()])}::varchar[]) AS c(name, agent)
     WHERE s.name = c.name`;
}
