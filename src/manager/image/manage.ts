/** What people change about images: names, limits, and whether they are offered at all. */
import type { TransactionSql } from 'postgres';
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import { CUSTOMIZED_OWNER_LABEL } from '../../common/images/labels.ts';
import { formatAmount, parseAmount } from '../../common/slots.ts';
import { type AdministrativeChange, type Change, change } from '../audit/service.ts';
import { labelsColumn } from '../db/json.ts';
import type { ImageRow } from '../db/rows.generated.ts';
import { requireSuperadmin } from '../graphql/scope.ts';
import { registryOfImage } from '../registry/service.ts';
import { resourcesOf } from './catalog.ts';
import * as manageStore from './manage-store.ts';
import { checkAlias, normalizeArchitecture, parseCanonical } from './reference.ts';
import { type Image, resolveImage, resourcesColumn } from './service.ts';
import * as store from './store.ts';

const ENTITY = 'image';

/** An image by name or alias, for administrators. */
export interface ImageTarget {
  readonly reference: string;
  readonly architecture: string | null;
}

/** What an administrator says about an image; undefined leaves it as it is. */
export interface ImageWishes
  extends Omit<
    manageStore.ImageChanges,
    'labels' | 'resources' | 'accelerators' | 'type' | 'project'
  > {
  readonly type?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly supportedAccelerators?: readonly string[];
  readonly resourceLimits?: readonly {
    readonly key: string;
    readonly min?: string;
    readonly max?: string;
  }[];
}

const invalid = (message: string) => new BackendError('InvalidAPIParameters', message);
const types = v.picklist(['COMPUTE', 'SYSTEM', 'SERVICE']);

/** @throws BackendError ImageNotFound. */
const resolved = (tx: TransactionSql, target: ImageTarget): Promise<Image> =>
  resolveImage(tx, { ...target, viewer: null });

async function locked(tx: TransactionSql, id: string): Promise<ImageRow> {
  const row = isUuid(id) ? await manageStore.lockImage(tx, id) : null;
  if (row) return row;
  throw new BackendError('ImageNotFound', `There is no image with id '${id}'.`);
}

/** Superadmins may for every image, others for those they have made for themselves. */
function requireOwner(caller: AdministrativeChange['caller'], row: ImageRow): void {
  if (caller.role === 'superadmin') return;
  const owner = v.parse(labelsColumn, row.labels)[CUSTOMIZED_OWNER_LABEL];
  if (owner === `user:${caller.userId}`) return;
  // Somebody else's is not even there for this caller.
  throw new BackendError('ImageNotFound', `There is no image with id '${row.id}' of yours.`);
}

/**
 * Makes `alias` stand for an image, wherever it pointed before.
 * @throws BackendError ImageNotFound; InvalidAPIParameters for an alias that could not be asked for.
 */
export function aliasImage(
  by: AdministrativeChange,
  alias: string,
  target: ImageTarget,
): Promise<Image> {
  requireSuperadmin(by.caller);
  checkAlias(alias);
  return change(by, async (tx, note) => {
    const image = await resolved(tx, target);
    const before = { alias, image: await store.selectAliasTarget(tx, alias) };
    await store.setAlias(tx, alias, image.id);
    const after = { alias, image: image.id };
    note({ entityType: ENTITY, entityId: image.id, operation: 'associate', before, after });
    return image;
  });
}

/** @throws BackendError ImageAliasNotFound. */
export function dealiasImage(by: AdministrativeChange, alias: string): Promise<void> {
  requireSuperadmin(by.caller);
  return change(by, async (tx, note) => {
    const image = await store.selectAliasTarget(tx, alias);
    if (image === null || !(await store.deleteAlias(tx, alias))) {
      throw new BackendError('ImageAliasNotFound', `There is no image alias '${alias}'.`);
    }
    note({
      entityType: ENTITY,
      entityId: image,
      operation: 'disassociate',
      before: { alias, image },
    });
  });
}

async function forget(
  tx: TransactionSql,
  note: (change: Change) => void,
  before: ImageRow,
): Promise<void> {
  await store.markDeleted(tx, before.id);
  const after = { ...before, status: 'DELETED' };
  note({ entityType: ENTITY, entityId: before.id, operation: 'delete', before, after });
}

/**
 * Takes an image out of the catalogue and frees its aliases; agents keep their copies. Agents that
 * report it later don't bring it back, a rescan does.
 * @throws BackendError ImageNotFound also for one that is neither the caller's own nor theirs to see.
 */
export function forgetImageById(by: AdministrativeChange, id: string): Promise<void> {
  return change(by, async (tx, note) => {
    const row = await locked(tx, id);
    requireOwner(by.caller, row);
    await forget(tx, note, row);
  });
}

/** The same by name, for administrators. @throws BackendError ImageNotFound. */
export function forgetImage(by: AdministrativeChange, target: ImageTarget): Promise<Image> {
  requireSuperadmin(by.caller);
  return change(by, async (tx, note) => {
    const image = await resolved(tx, target);
    await forget(tx, note, await locked(tx, image.id));
    return image;
  });
}

/**
 * Removes the tag from its registry, and the image from the catalogue.
 * @throws BackendError ImageNotFound, ContainerRegistryNotFound; RegistryFailure when the registry
 *   cannot be reached or refuses.
 */
export async function untagImage(
  by: AdministrativeChange,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const { sql, clock } = by.ctx;
  const row = await sql.begin((tx) => locked(tx, id));
  requireOwner(by.caller, row);
  const place = { registry: row.registry, project: row.project ?? '' };
  const { client } = await registryOfImage(sql, place, clock, signal);
  await client.untag(row.image, row.tag ?? '');
  await forgetImageById(by, id);
}

/** Removes an image for good, from the catalogue. @throws BackendError ImageNotFound. */
export function purgeImage(by: AdministrativeChange, id: string): Promise<void> {
  return change(by, async (tx, note) => {
    const before = await locked(tx, id);
    requireOwner(by.caller, before);
    await manageStore.deleteImage(tx, id);
    note({ entityType: ENTITY, entityId: id, operation: 'purge', before });
  });
}

/** Forgets every image of a registry, or a project of it; of all when null. @returns how many. */
export function clearImages(
  by: AdministrativeChange,
  registry: string | null,
  project: string | null = null,
): Promise<number> {
  requireSuperadmin(by.caller);
  return change(by, async (tx, note) => {
    const ids = await manageStore.selectLiveIds(tx, registry, project);
    for (const id of ids) await forget(tx, note, await locked(tx, id));
    return ids.length;
  });
}

/** `{cpu: {min, max}}` with the limits replaced; an empty text takes one away. */
export function mergedLimits(row: ImageRow, limits: ImageWishes['resourceLimits']) {
  const merged = { ...v.parse(resourcesColumn, row.resources) };
  for (const { key, min, max } of limits ?? []) {
    const read = (name: string, text: string | undefined, before: string | null): string | null => {
      if (text === undefined) return before;
      if (text === '' || text === 'Infinity') return null;
      const amount = parseAmount(text);
      if (amount !== null && amount >= 0) return formatAmount(amount);
      throw invalid(`resource_limits: ${name} of '${key}' is '${text}', which is no amount.`);
    };
    const before = merged[key] ?? { min: null, max: null };
    merged[key] = { min: read('min', min, before.min), max: read('max', max, before.max) };
  }
  return merged;
}

/** The columns of a name, which all follow from the whole. */
function nameColumns(wishes: ImageWishes, row: ImageRow): manageStore.ImageChanges {
  const { name, registry, image, tag } = wishes;
  if ([name, registry, image, tag].every((part) => part === undefined)) return {};
  const canonical =
    name ?? `${registry ?? row.registry}/${image ?? row.image}:${tag ?? row.tag ?? 'latest'}`;
  const parts = parseCanonical(canonical);
  if (parts === null)
    throw invalid(`'${canonical}' is no complete name: REGISTRY/PROJECT/NAME:TAG.`);
  return { name: canonical, ...parts };
}

function toColumns(wishes: ImageWishes, row: ImageRow): manageStore.ImageChanges {
  const type = v.safeParse(v.optional(types), wishes.type?.toUpperCase());
  if (!type.success)
    throw invalid(`type: '${wishes.type}' is not one of ${types.options.join(', ')}.`);
  const { architecture, is_local, size_bytes, config_digest } = wishes;
  return {
    ...nameColumns(wishes, row),
    is_local,
    size_bytes,
    config_digest,
    type: type.output,
    architecture: architecture === undefined ? undefined : normalizeArchitecture(architecture),
    ...(wishes.supportedAccelerators && {
      accelerators: wishes.supportedAccelerators.join(',') || null,
    }),
    ...(wishes.labels && { labels: { json: wishes.labels } }),
    ...(wishes.resourceLimits && { resources: { json: mergedLimits(row, wishes.resourceLimits) } }),
  };
}

/**
 * Changes an image. @throws BackendError ImageNotFound, InvalidAPIParameters;
 * RepositoryIntegrityError when another image has the new name.
 */
export function modifyImage(
  by: AdministrativeChange,
  target: ImageTarget | { readonly id: string },
  wishes: ImageWishes,
): Promise<void> {
  requireSuperadmin(by.caller);
  return change(by, async (tx, note) => {
    // Names are those of images that are offered; an id is also that of one which is not any more.
    const { id } = 'id' in target ? target : await resolved(tx, target);
    const before = await locked(tx, id);
    const after = await manageStore.updateImage(tx, before.id, toColumns(wishes, before));
    note({ entityType: ENTITY, entityId: before.id, operation: 'update', before, after });
  });
}

/** Gives an image the limits again that its labels say. @returns its id. */
export function clearCustomLimits(by: AdministrativeChange, target: ImageTarget): Promise<string> {
  requireSuperadmin(by.caller);
  return change(by, async (tx, note) => {
    const before = await locked(tx, (await resolved(tx, target)).id);
    const resources = { json: resourcesOf(v.parse(labelsColumn, before.labels)) };
    const after = await manageStore.updateImage(tx, before.id, { resources });
    note({ entityType: ENTITY, entityId: before.id, operation: 'update', before, after });
    return before.id;
  });
}
