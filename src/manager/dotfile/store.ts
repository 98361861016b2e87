/** SQL about dotfiles, which keypairs, projects and domains carry, and about bootstrap scripts. */
import * as v from 'valibot';
import type { Db } from '../db/connect.ts';

/** Whose dotfiles. */
export type Holder =
  | { readonly kind: 'keypair'; readonly accessKey: string }
  /** By name inside `domainName`, or by id in any domain when that is null. */
  | { readonly kind: 'project'; readonly nameOrId: string; readonly domainName: string | null }
  | { readonly kind: 'domain'; readonly name: string };

/** Whose holders a caller may reach; a keypair is decided before. */
export type Reach =
  | { readonly kind: 'all' }
  | { readonly kind: 'domain'; readonly domainName: string }
  | { readonly kind: 'member'; readonly domainName: string; readonly userId: string };

const row = v.object({ id: v.string(), dotfiles: v.instance(Uint8Array) });
export type HolderRow = v.InferOutput<typeof row>;

function projectsWithin(sql: Db, reach: Reach) {
  switch (reach.kind) {
    case 'all':
      return sql`true`;
    case 'domain':
      return sql`g.domain_name = ${reach.domainName}`;
    case 'member':
      return sql`g.domain_name = ${reach.domainName}
        AND EXISTS (SELECT FROM association_groups_users a
                     WHERE a.group_id = g.id AND a.user_id = ${reach.userId})`;
  }
}

function query(sql: Db, holder: Holder, reach: Reach) {
  switch (holder.kind) {
    case 'keypair':
      return sql`SELECT access_key AS id, dotfiles FROM keypairs
                  WHERE access_key = ${holder.accessKey}`;
    case 'project': {
      const named =
        holder.domainName === null
          ? sql`g.id::text = lower(${holder.nameOrId})`
          : sql`g.domain_name = ${holder.domainName}
                AND (g.name = ${holder.nameOrId} OR g.id::text = lower(${holder.nameOrId}))`;
      return sql`SELECT g.id::text AS id, g.dotfiles FROM groups g
                  WHERE ${named} AND ${projectsWithin(sql, reach)}
                  ORDER BY g.id::text = lower(${holder.nameOrId}) DESC LIMIT 1`;
    }
    case 'domain': {
      const within = reach.kind === 'all' ? sql`true` : sql`name = ${reach.domainName}`;
      return sql`SELECT name AS id, dotfiles FROM domains
                  WHERE name = ${holder.name} AND ${within}`;
    }
  }
}

/**
 * The holder with its packed dotfiles; null when there is none within reach.
 * @param lock holds the row until the transaction ends.
 */
export async function selectHolder(
  sql: Db,
  holder: Holder,
  reach: Reach,
  lock = false,
): Promise<HolderRow | null> {
  const [found] = await sql`${query(sql, holder, reach)} ${lock ? sql`FOR UPDATE` : sql``}`;
  return found === undefined ? null : v.parse(row, found);
}

const packedRow = v.object({
  keypair: v.nullable(v.instance(Uint8Array)),
  project: v.nullable(v.instance(Uint8Array)),
  domain: v.nullable(v.instance(Uint8Array)),
});

/** The packed dotfiles that a session of that keypair in that project finds. */
export async function selectForSession(
  sql: Db,
  session: { readonly accessKey: string; readonly projectId: string; readonly domainName: string },
): Promise<v.InferOutput<typeof packedRow>> {
  const [row] = await sql`
    SELECT (SELECT dotfiles FROM keypairs WHERE access_key = ${session.accessKey}) AS keypair,
           (SELECT dotfiles FROM groups WHERE id = ${session.projectId}) AS project,
           (SELECT dotfiles FROM domains WHERE name = ${session.domainName}) AS domain`;
  return v.parse(packedRow, row);
}

/** Writes the packed dotfiles of a holder that `selectHolder` found. */
export async function updateDotfiles(
  sql: Db,
  kind: Holder['kind'],
  id: string,
  packed: Uint8Array,
): Promise<void> {
  switch (kind) {
    case 'keypair':
      await sql`UPDATE keypairs SET dotfiles = ${packed}, modified_at = now()
                 WHERE access_key = ${id}`;
      return;
    case 'project':
      await sql`UPDATE groups SET dotfiles = ${packed}, modified_at = now() WHERE id = ${id}`;
      return;
    case 'domain':
      await sql`UPDATE domains SET dotfiles = ${packed}, modified_at = now() WHERE name = ${id}`;
  }
}

export async function updateBootstrapScript(
  sql: Db,
  accessKey: string,
  script: string,
): Promise<void> {
  await sql`UPDATE keypairs SET bootstrap_script = ${script}, modified_at = now()
             WHERE access_key = ${accessKey}`;
}
