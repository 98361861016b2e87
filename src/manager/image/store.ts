/** SQL about images and their aliases. */
import { CUSTOMIZED_OWNER_LABEL } from '../../common/images/labels.ts';
import type { Db } from '../db/connect.ts';
import type { ImageRow } from '../db/rows.generated.ts';

export type ImageRecord = ImageRow & { readonly aliases: string[] };

/**
 * Whose images count: null means all, else those of the registries that the domain allows, if they
 * are for everybody or for a project of the user.
 */
export type ImageScope = { readonly domainName: string; readonly userId: string } | null;

export function allowed(sql: Db, scope: ImageScope) {
  return scope === null
    ? sql`true`
    : sql`(i.registry IN (SELECT unnest(d.allowed_docker_registries) FROM domains d
                           WHERE d.name = ${scope.domainName})
           AND EXISTS (
               SELECT FROM container_registries r
                WHERE r.id = i.registry_id
                  AND (r.is_global IS NOT FALSE
                       OR EXISTS (SELECT FROM association_container_registries_groups c
                                    JOIN association_groups_users m ON m.group_id = c.group_id
                                   WHERE c.registry_id = r.id AND m.user_id = ${scope.userId}))))`;
}

/** Leaves out images that somebody else has made for himself. */
export const ownOrShared = (sql: Db, scope: ImageScope) =>
  scope === null
    ? sql`true`
    : sql`coalesce(i.labels ->> ${CUSTOMIZED_OWNER_LABEL}, ${`user:${scope.userId}`})
          = ${`user:${scope.userId}`}`;

export const aliasesOf = (sql: Db) => sql`
  ARRAY(SELECT a.alias FROM image_aliases a
         WHERE a.image = i.id AND a.alias IS NOT NULL ORDER BY a.alias)::text[] AS aliases`;

export interface FoundImage extends ImageRecord {
  /** Whether the domain asked for allows the image's registry. */
  readonly is_allowed: boolean;
}

/**
 * The live images that one of `names` or the alias stands for, best first: by the order of the
 * names, then the alias; of several architectures the preferred one first.
 */
export function selectCandidates(
  sql: Db,
  scope: ImageScope,
  request: {
    readonly names: readonly string[];
    readonly alias: string;
    readonly architecture: string | null;
    readonly preferredArchitecture: string;
  },
): Promise<FoundImage[]> {
  const { names, alias, architecture, preferredArchitecture } = request;
  return sql<FoundImage[]>`
    WITH wanted AS (
      SELECT id, array_position(${names}::text[], name::text) AS place
        FROM images WHERE name = ANY (${names}::text[])
      UNION ALL
      -- An alias stands for the image on every architecture, not only for the row it points to.
      SELECT same.id, 1000
        FROM image_aliases a
        JOIN images target ON target.id = a.image
        JOIN images same ON same.name = target.name
       WHERE a.alias = ${alias})
    SELECT i.*, ${aliasesOf(sql)}, ${allowed(sql, scope)} AS is_allowed
      FROM wanted w JOIN images i ON i.id = w.id
     WHERE i.status = 'ALIVE'
       AND ${architecture === null ? sql`true` : sql`i.architecture = ${architecture}`}
     ORDER BY is_allowed DESC, w.place,
              i.architecture = ${preferredArchitecture} DESC, i.architecture
     LIMIT 10`;
}

/** Images of these exact names on any architecture, removed ones too: old sessions name them. */
export function selectByNames(
  sql: Db,
  scope: ImageScope,
  names: readonly string[],
): Promise<ImageRecord[]> {
  return sql<ImageRecord[]>`
    SELECT i.*, ${aliasesOf(sql)} FROM images i
     WHERE i.name = ANY (${[...names]}::text[])
       AND ${allowed(sql, scope)} AND ${ownOrShared(sql, scope)}`;
}

export function selectByIds(
  sql: Db,
  scope: ImageScope,
  ids: readonly string[],
): Promise<ImageRecord[]> {
  return sql<ImageRecord[]>`
    SELECT i.*, ${aliasesOf(sql)} FROM images i
     WHERE i.id = ANY (${[...ids]}::uuid[])
       AND ${allowed(sql, scope)} AND ${ownOrShared(sql, scope)}`;
}

export interface ImageFilter {
  readonly statuses: readonly string[];
  readonly registry?: string | null;
}

export function selectImages(
  sql: Db,
  scope: ImageScope,
  filter: ImageFilter,
  limit: number,
): Promise<ImageRecord[]> {
  return sql<ImageRecord[]>`
    SELECT i.*, ${aliasesOf(sql)}
      FROM images i
     WHERE ${allowed(sql, scope)} AND ${ownOrShared(sql, scope)}
       AND i.status = ANY (${filter.statuses}::text[])
       AND ${filter.registry == null ? sql`true` : sql`i.registry = ${filter.registry}`}
     ORDER BY i.name, i.architecture
     LIMIT ${limit}`;
}

/** Agents that heartbeats come from, by name. */
export async function selectAliveAgents(sql: Db): Promise<string[]> {
  const rows = await sql<{ id: string }[]>`
    SELECT id FROM agents WHERE status = 'ALIVE' ORDER BY id`;
  return rows.map(({ id }) => id);
}

/** Names and aliases to offer to somebody who asked for something that doesn't exist. */
export async function selectKnownNames(
  sql: Db,
  scope: ImageScope,
  limit: number,
): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    SELECT i.name AS name FROM images i WHERE i.status = 'ALIVE' AND ${allowed(sql, scope)}
    UNION
    SELECT a.alias FROM image_aliases a JOIN images i ON i.id = a.image
     WHERE a.alias IS NOT NULL AND i.status = 'ALIVE' AND ${allowed(sql, scope)}
    LIMIT ${limit}`;
  return rows.map(({ name }) => name);
}

export interface NewImage {
  readonly name: string;
  readonly project: string;
  readonly image: string;
  readonly tag: string;
  readonly registry: string;
  readonly registry_id: string;
  readonly architecture: string;
  readonly config_digest: string;
  readonly size_bytes: number;
  readonly is_local: boolean;
  readonly type: ImageRow['type'];
  readonly accelerators: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly resources: Readonly<Record<string, { min: string; max: string | null }>>;
}

/**
 * Inserts images, or refreshes those whose content changed. Nothing is written where nothing
 * changed, so repeating it is cheap. `revive` brings forgotten images back.
 * @returns how many rows were written.
 */
export async function upsert(
  sql: Db,
  images: readonly NewImage[],
  revive: boolean,
): Promise<number> {
  const result = await sql`
    INSERT INTO images (name, project, image, tag, registry, registry_id, architecture,
                        config_digest, size_bytes, is_local, type, accelerators, labels, resources,
                        created_at)
    SELECT r.name, r.project, r.image, r.tag, r.registry, r.registry_id, r.architecture,
           r.config_digest, r.size_bytes, r.is_local, r.type, r.accelerators, r.labels,
           r.resources, now()
      FROM jsonb_populate_recordset(NULL::images, ${sql.json(toJson(images))}) r
     -- Leaving unchanged rows to ON CONFLICT would lock, and so write, each of them.
     WHERE NOT EXISTS (
           SELECT FROM images i
            WHERE (i.registry, i.project, i.name, i.tag, i.architecture)
                  = (r.registry, r.project, r.name, r.tag, r.architecture)
              AND (i.config_digest, i.size_bytes, i.labels::jsonb)
                  = (r.config_digest, r.size_bytes, r.labels::jsonb)
              AND (i.status = 'ALIVE' OR NOT ${revive}))
     -- In one order, so that two reports of the same images never wait for each other in a circle.
     ORDER BY r.name, r.architecture
    ON CONFLICT (registry, project, name, tag, architecture) DO UPDATE SET
           config_digest = excluded.config_digest,
           size_bytes = excluded.size_bytes,
           is_local = excluded.is_local,
           type = excluded.type,
           accelerators = excluded.accelerators,
           labels = excluded.labels,
           resources = excluded.resources,
           status = CASE WHEN ${revive} THEN 'ALIVE' ELSE images.status END`;
  return result.count;
}

/** Plain JSON values: what `sql.json` takes. */
function toJson(images: readonly NewImage[]) {
  return images.map((image) => ({
    ...image,
    labels: { ...image.labels },
    resources: { ...image.resources },
  }));
}

/** Registers aliases of live images by name and architecture; those in use stay as they are. */
export async function insertAliases(
  sql: Db,
  aliases: readonly { alias: string; name: string; architecture: string }[],
): Promise<number> {
  const result = await sql`
    INSERT INTO image_aliases (alias, image)
    SELECT r.alias, i.id
      FROM jsonb_to_recordset(${sql.json([...aliases])})
           AS r(alias text, name text, architecture text)
      JOIN images i ON i.name = r.name AND i.architecture = r.architecture AND i.status = 'ALIVE'
     WHERE NOT EXISTS (SELECT FROM image_aliases a WHERE a.alias = r.alias)
     ORDER BY r.alias
    ON CONFLICT (alias) DO NOTHING`;
  return result.count;
}

/** Points an alias at an image, wherever it pointed before. */
export async function setAlias(sql: Db, alias: string, imageId: string): Promise<void> {
  await sql`
    INSERT INTO image_aliases (alias, image) VALUES (${alias}, ${imageId})
    ON CONFLICT (alias) DO UPDATE SET image = excluded.image`;
}

/** One image by its id, whatever its status; null when it is not in the scope. */
export async function selectById(
  sql: Db,
  scope: ImageScope,
  id: string,
): Promise<ImageRecord | null> {
  const [row] = await sql<ImageRecord[]>`
    SELECT i.*, ${aliasesOf(sql)} FROM images i
     WHERE i.id = ${id} AND ${allowed(sql, scope)} AND ${ownOrShared(sql, scope)}`;
  return row ?? null;
}

/** The live images that a user has made for himself. */
export function selectCustomized(
  sql: Db,
  scope: ImageScope,
  userId: string,
  limit: number,
): Promise<ImageRecord[]> {
  return sql<ImageRecord[]>`
    SELECT i.*, ${aliasesOf(sql)} FROM images i
     WHERE i.status = 'ALIVE' AND ${allowed(sql, scope)}
       AND i.labels ->> ${CUSTOMIZED_OWNER_LABEL} = ${`user:${userId}`}
     ORDER BY i.name, i.architecture
     LIMIT ${limit}`;
}

/** The image of which an alias is another name. */
export async function selectAliasTarget(sql: Db, alias: string): Promise<string | null> {
  const [row] = await sql<{ image: string }[]>`
    SELECT image FROM image_aliases WHERE alias = ${alias} FOR UPDATE`;
  return row?.image ?? null;
}

/** @returns whether the alias existed. */
export async function deleteAlias(sql: Db, alias: string): Promise<boolean> {
  const result = await sql`DELETE FROM image_aliases WHERE alias = ${alias}`;
  return result.count > 0;
}

/** Marks an image as forgotten and frees its aliases. @returns whether it was alive. */
export async function markDeleted(sql: Db, imageId: string): Promise<boolean> {
  const [row] = await sql`
    WITH gone AS (UPDATE images SET status = 'DELETED'
                   WHERE id = ${imageId} AND status <> 'DELETED' RETURNING id),
         freed AS (DELETE FROM image_aliases WHERE image IN (SELECT id FROM gone))
    SELECT id FROM gone`;
  return row !== undefined;
}
