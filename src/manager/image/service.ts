/** Images: finding the one a request means, and keeping the catalogue. */
import type { Sql } from 'postgres';
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import { hostArchitecture } from '../../common/images/labels.ts';
import type { Db } from '../db/connect.ts';
import { labelsColumn } from '../db/json.ts';
import type { ListQuery } from '../graphql/minilang-store.ts';
import { type Listed, mapListed, type PageWish } from '../graphql/page.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import type { Caller } from '../http/route.ts';
import * as aliases from './alias-store.ts';
import * as nodes from './node-store.ts';
import {
  candidateNames,
  closeNames,
  normalizeArchitecture,
  parseImageReference,
} from './reference.ts';
import * as store from './store.ts';

/** Largest number of images in one answer. */
const MAX_LISTED = 2000;
const MAX_SUGGESTED = 5;
/** Of a wrong name, only this much is compared and repeated. */
const MAX_SHOWN_LENGTH = 100;

/** What an image needs at least and takes at most, as its labels say; decimal strings. */
export const resourcesColumn = v.record(
  v.string(),
  v.object({
    min: v.optional(v.nullable(v.string()), null),
    max: v.optional(v.nullable(v.string()), null),
  }),
);

export interface Image {
  readonly id: string;
  /** `registry/project/name:tag`. */
  readonly canonical: string;
  readonly registry: string;
  readonly registryId: string;
  readonly project: string;
  /** `project/name`. */
  readonly image: string;
  readonly tag: string;
  readonly architecture: string;
  readonly digest: string;
  readonly sizeBytes: number;
  readonly isLocal: boolean;
  readonly type: 'COMPUTE' | 'SYSTEM' | 'SERVICE';
  /** Accelerators the image is made for; null when it says nothing. */
  readonly accelerators: readonly string[] | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly resources: Readonly<Record<string, { min: string | null; max: string | null }>>;
  readonly status: string;
  readonly aliases: readonly string[];
  readonly createdAt: Date | null;
  readonly lastUsedAt: Date;
}

export function toImage(row: store.ImageRecord): Image {
  return {
    id: row.id,
    canonical: row.name,
    registry: row.registry,
    registryId: row.registry_id,
    project: row.project ?? '',
    image: row.image,
    tag: row.tag ?? '',
    architecture: row.architecture,
    digest: row.config_digest.trim(),
    sizeBytes: row.size_bytes,
    isLocal: row.is_local,
    type: row.type,
    accelerators: row.accelerators === null ? null : row.accelerators.split(','),
    labels: v.parse(labelsColumn, row.labels),
    resources: v.parse(resourcesColumn, row.resources),
    status: row.status,
    aliases: row.aliases,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
  };
}

export interface ImageRequest {
  /** Complete or partial name, or alias. */
  readonly reference: string;
  /** null: whatever the image has, the manager's own first. */
  readonly architecture: string | null;
  /** Whose images count; null: all, for administrators. */
  readonly viewer: store.ImageScope;
}

/**
 * The image that a request means: by complete name, with defaults for missing parts, or by alias.
 * @throws BackendError ImageNotFound saying why: unknown (with the closest names), made for other
 *   architectures, or of a registry that the domain doesn't allow.
 */
export async function resolveImage(sql: Db, request: ImageRequest): Promise<Image> {
  const architecture =
    request.architecture === null ? null : normalizeArchitecture(request.architecture);
  const scope = request.viewer;
  const parsed = parseImageReference(request.reference);
  // Neither a name nor an alias can look like this.
  if (parsed === null) throw await unknownImage(sql, scope, request.reference);
  const query = {
    names: candidateNames(parsed),
    alias: request.reference,
    preferredArchitecture: hostArchitecture(),
  };
  const [found] = await store.selectCandidates(sql, scope, { ...query, architecture });
  if (found?.is_allowed) return toImage(found);
  if (found) {
    throw new BackendError(
      'ImageNotFound',
      `Image '${found.name}' comes from registry '${found.registry}', which domain '${scope?.domainName}' does not allow, or which is for other projects only. An administrator can add it to the domain's allowed registries, or your project to the registry.`,
    );
  }
  if (architecture !== null) {
    const others = await store.selectCandidates(sql, scope, { ...query, architecture: null });
    if (others.length > 0) {
      const names = [...new Set(others.map((other) => other.architecture))].join(', ');
      throw new BackendError(
        'ImageNotFound',
        `Image '${request.reference}' is not available for ${architecture}, only for ${names}.`,
      );
    }
  }
  throw await unknownImage(sql, scope, request.reference);
}

async function unknownImage(
  sql: Db,
  scope: store.ImageScope,
  reference: string,
): Promise<BackendError> {
  const known = await store.selectKnownNames(sql, scope, MAX_LISTED);
  const shown = reference.slice(0, MAX_SHOWN_LENGTH);
  const close = closeNames(shown, known, MAX_SUGGESTED);
  const advice =
    known.length === 0
      ? 'No image is registered; start an agent that has images, or run `backend.ai mgr image rescan`.'
      : close.length > 0
        ? `Did you mean ${close.join(', ')}?`
        : 'See `backend.ai image list` for those there are.';
  return new BackendError('ImageNotFound', `There is no image '${shown}'. ${advice}`);
}

type Viewer = Pick<Caller, 'isSuperadmin' | 'domainName' | 'userId'>;

/** Superadmins see every image, others those of the scope. */
export const imageScope = (caller: Viewer): store.ImageScope =>
  caller.isSuperadmin ? null : { domainName: caller.domainName, userId: caller.userId };

/**
 * The images of these names that `caller` may see, on whatever architecture, removed ones too.
 * @param caller null: all of them, for administrative commands.
 */
export async function findImagesByName(
  sql: Db,
  caller: Viewer | null,
  names: readonly string[],
): Promise<Image[]> {
  const scope = caller === null ? null : imageScope(caller);
  return (await store.selectByNames(sql, scope, names)).map(toImage);
}

/** The images with these ids that `caller` may see, removed ones too. */
export async function findImagesById(
  sql: Db,
  caller: Viewer,
  ids: readonly string[],
): Promise<Image[]> {
  return (await store.selectByIds(sql, imageScope(caller), ids)).map(toImage);
}

export interface ListOptions {
  /** ALIVE by default. */
  readonly statuses?: readonly string[];
  readonly registry?: string | null;
}

/**
 * The images that `caller` may see, by name: superadmins all, others those of the registries that
 * their domain allows, without images that another user has made for himself. At most 2000.
 */
export async function listImages(
  sql: Db,
  caller: Viewer,
  options: ListOptions = {},
): Promise<Image[]> {
  const filter = { statuses: options.statuses ?? ['ALIVE'], registry: options.registry };
  return (await store.selectImages(sql, imageScope(caller), filter, MAX_LISTED)).map(toImage);
}

/**
 * One page of the images that `caller` may see, with these statuses, by id unless ordered.
 * @throws BackendError InvalidAPIParameters for a wrong filter or order, InvalidCursor.
 */
export async function listImageNodes(
  sql: Sql,
  caller: Caller,
  query: ListQuery & { readonly statuses: readonly string[] },
  wish: PageWish,
): Promise<Listed<Image>> {
  return mapListed(await nodes.selectNodes(sql, imageScope(caller), query, wish), toImage);
}

/** The same of the newer schema, newest first unless ordered. */
export async function listImagesV2(
  sql: Sql,
  caller: Caller,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<Image>> {
  return mapListed(await nodes.selectV2(sql, imageScope(caller), query, wish), toImage);
}

/** The live images that `caller` has made for himself, by name; at most 2000. */
export async function listCustomizedImages(sql: Db, caller: Caller): Promise<Image[]> {
  const rows = await store.selectCustomized(sql, imageScope(caller), caller.userId, MAX_LISTED);
  return rows.map(toImage);
}

/** One image by its id, whatever its status; null when there is none that `caller` may see. */
export async function findImage(sql: Db, caller: Caller, id: string): Promise<Image | null> {
  const row = isUuid(id) ? await store.selectById(sql, imageScope(caller), id) : null;
  return row && toImage(row);
}

/** Every image whatever its registry, for administrative commands; at most 2000. */
export async function listAllImages(sql: Db, options: ListOptions = {}): Promise<Image[]> {
  const filter = { statuses: options.statuses ?? ['ALIVE'], registry: options.registry };
  return (await store.selectImages(sql, null, filter, MAX_LISTED)).map(toImage);
}

export type ImageAlias = aliases.ImageAliasRow;

/** One page of the aliases of all images, for administrators; by name unless ordered. */
export const listAliases = (
  sql: Sql,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<ImageAlias>> => aliases.selectAliases(sql, query, wish);

/** @throws BackendError ImageAliasNotFound. */
export async function getAlias(sql: Sql, alias: string): Promise<ImageAlias> {
  const found = await aliases.selectAlias(sql, alias);
  if (found) return found;
  throw new BackendError('ImageAliasNotFound', `There is no image alias '${alias}'.`);
}
