/** SQL that lists and changes resource groups and who may use them. */
import { assignments, type JsonColumn } from '../db/assign-store.ts';
import type { Db } from '../db/connect.ts';
import { jsonText } from '../db/json.ts';
import type { ScalingGroupRow } from '../db/rows.generated.ts';

/** To whom a resource group may belong. */
export type Owner =
  | { readonly kind: 'domain'; readonly domain: string }
  | { readonly kind: 'project'; readonly projectId: string }
  | { readonly kind: 'keypair'; readonly accessKey: string };

export interface GroupFilter {
  readonly name?: string | null;
  readonly isActive?: boolean | null;
  /** Only these. */
  readonly names?: readonly string[];
  /** Only those that belong to it. */
  readonly owner?: Owner;
}

function belonging(sql: Db, owner: Owner | undefined) {
  switch (owner?.kind) {
    case undefined:
      return sql`true`;
    case 'domain':
      return sql`name IN (SELECT scaling_group FROM sgroups_for_domains
                           WHERE domain = ${owner.domain})`;
    case 'project':
      return sql`name IN (SELECT scaling_group FROM sgroups_for_groups
                           WHERE "group" = ${owner.projectId})`;
    case 'keypair':
      return sql`name IN (SELECT scaling_group FROM sgroups_for_keypairs
                           WHERE access_key = ${owner.accessKey})`;
  }
}

export function selectGroups(
  sql: Db,
  { name, names, isActive, owner }: GroupFilter,
  limit: number,
): Promise<ScalingGroupRow[]> {
  return sql<ScalingGroupRow[]>`
    SELECT * FROM scaling_groups
     WHERE ${belonging(sql, owner)}
       ${name == null ? sql`` : sql`AND name = ${name}`}
       ${names === undefined ? sql`` : sql`AND name = ANY (${[...names]}::text[])`}
       ${isActive == null ? sql`` : sql`AND coalesce(is_active, false) = ${isActive}`}
     ORDER BY name LIMIT ${limit}`;
}

export interface GroupChanges {
  readonly description?: string | null;
  readonly is_active?: boolean;
  readonly is_public?: boolean;
  readonly wsproxy_addr?: string | null;
  readonly wsproxy_api_token?: string | null;
  readonly driver?: string;
  readonly driver_opts?: JsonColumn;
  readonly scheduler?: string;
  readonly scheduler_opts?: JsonColumn;
  readonly use_host_network?: boolean;
}

export async function insertGroup(
  sql: Db,
  row: {
    readonly name: string;
    readonly driver: string;
    readonly scheduler: string;
    readonly schedulerOptions: unknown;
    readonly sessionOptions: unknown;
  },
): Promise<void> {
  await sql`
    INSERT INTO scaling_groups (name, is_active, driver, driver_opts, scheduler, use_host_network,
      scheduler_opts, default_deployment_options, default_session_options)
    VALUES (${row.name}, true, ${row.driver}, '{}', ${row.scheduler}, false,
      ${jsonText(row.schedulerOptions)}::text::jsonb, '{}',
      ${jsonText(row.sessionOptions)}::text::jsonb)`;
}

/** The row, held until the transaction ends. */
export async function lockGroup(sql: Db, name: string): Promise<ScalingGroupRow | null> {
  const [row] = await sql<ScalingGroupRow[]>`
    SELECT * FROM scaling_groups WHERE name = ${name} FOR UPDATE`;
  return row ?? null;
}

export async function updateGroup(
  sql: Db,
  name: string,
  changes: GroupChanges,
): Promise<ScalingGroupRow | null> {
  const [row] = await sql<ScalingGroupRow[]>`
    UPDATE scaling_groups SET name = name ${assignments(sql, { ...changes })}
     WHERE name = ${name} RETURNING *`;
  return row ?? null;
}

export async function deleteGroup(sql: Db, name: string): Promise<void> {
  await sql`DELETE FROM scaling_groups WHERE name = ${name}`;
}

/** Gives the groups to the owner; those it has already stay. */
export async function associate(sql: Db, names: readonly string[], owner: Owner): Promise<void> {
  const wanted = sql`unnest(${[...names]}::text[]) AS name`;
  switch (owner.kind) {
    case 'domain':
      await sql`INSERT INTO sgroups_for_domains (scaling_group, domain)
        SELECT name, ${owner.domain} FROM ${wanted} ON CONFLICT DO NOTHING`;
      break;
    case 'project':
      await sql`INSERT INTO sgroups_for_groups (scaling_group, "group")
        SELECT name, ${owner.projectId}::uuid FROM ${wanted} ON CONFLICT DO NOTHING`;
      break;
    case 'keypair':
      await sql`INSERT INTO sgroups_for_keypairs (scaling_group, access_key)
        SELECT name, ${owner.accessKey} FROM ${wanted} ON CONFLICT DO NOTHING`;
      break;
  }
}

/** Takes the groups from the owner, all of them when `names` is null. @returns those it had. */
export async function disassociate(
  sql: Db,
  names: readonly string[] | null,
  owner: Owner,
): Promise<string[]> {
  const meant = names === null ? sql`true` : sql`scaling_group = ANY (${[...names]}::text[])`;
  const gone = () => {
    switch (owner.kind) {
      case 'domain':
        return sql<{ name: string }[]>`DELETE FROM sgroups_for_domains
          WHERE domain = ${owner.domain} AND ${meant} RETURNING scaling_group AS name`;
      case 'project':
        return sql<{ name: string }[]>`DELETE FROM sgroups_for_groups
          WHERE "group" = ${owner.projectId} AND ${meant} RETURNING scaling_group AS name`;
      case 'keypair':
        return sql<{ name: string }[]>`DELETE FROM sgroups_for_keypairs
          WHERE access_key = ${owner.accessKey} AND ${meant} RETURNING scaling_group AS name`;
    }
  };
  return (await gone()).map(({ name }) => name);
}

/** Names of the domains, or ids of the projects, that may use the group. */
export async function selectOwners(
  sql: Db,
  name: string,
  kind: 'domain' | 'project',
  limit: number,
): Promise<string[]> {
  const rows =
    kind === 'domain'
      ? await sql<{ owner: string }[]>`SELECT domain AS owner FROM sgroups_for_domains
          WHERE scaling_group = ${name} ORDER BY domain LIMIT ${limit}`
      : await sql<{ owner: string }[]>`SELECT "group"::text AS owner FROM sgroups_for_groups
          WHERE scaling_group = ${name} ORDER BY "group" LIMIT ${limit}`;
  return rows.map(({ owner }) => owner);
}
