/**
 * Changes of the catalogue by whoever has the database itself, on the manager's machine: there is no
 * account that the audit log could name.
 */
import type { Sql } from 'postgres';
import type { Clock } from '../../common/clock.ts';
import { BackendError } from '../../common/errors.ts';
import { registryOfImage } from '../registry/service.ts';
import { type ImageTarget, mergedLimits } from './manage.ts';
import * as manageStore from './manage-store.ts';
import { type Image, resolveImage } from './service.ts';

/** Longest wait for a registry that removes a tag. Milliseconds. */
const REGISTRY_TIMEOUT_MS = 60_000;

/** Amounts as decimal text; undefined leaves a side as it is. */
export interface Limit {
  readonly slot: string;
  readonly min: string | undefined;
  readonly max: string | undefined;
}

/**
 * Sets what an image needs at least and takes at most of a resource.
 * @throws BackendError ImageNotFound; InvalidAPIParameters for an amount that is none.
 */
export function limitImage(sql: Sql, target: ImageTarget, limit: Limit): Promise<Image> {
  return sql.begin(async (tx) => {
    const { id, canonical } = await resolveImage(tx, { ...target, viewer: null });
    const row = await manageStore.lockImage(tx, id);
    if (row === null) {
      throw new BackendError('ImageNotFound', `Image '${canonical}' has just been removed.`);
    }
    const { slot: key, min, max } = limit;
    await manageStore.updateImage(tx, id, {
      resources: { json: mergedLimits(row, [{ key, min, max }]) },
    });
    return resolveImage(tx, { ...target, viewer: null });
  });
}

/**
 * Removes an image for good, on request from its registry first.
 * @throws BackendError ImageNotFound, ContainerRegistryNotFound; RegistryFailure when the registry
 *   cannot be reached or refuses.
 */
export async function purgeImage(
  { sql, clock }: { readonly sql: Sql; readonly clock: Clock },
  target: ImageTarget,
  fromRegistry: boolean,
): Promise<Image> {
  const image = await resolveImage(sql, { ...target, viewer: null });
  if (fromRegistry) {
    const place = { registry: image.registry, project: image.project };
    const signal = AbortSignal.timeout(REGISTRY_TIMEOUT_MS);
    const { client } = await registryOfImage(sql, place, clock, signal);
    await client.untag(image.image, image.tag);
  }
  await manageStore.deleteImage(sql, image.id);
  return image;
}
