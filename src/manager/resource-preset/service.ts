/** Resource presets: amounts of slots under a name, for all resource groups or for one. */
import type { Sql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import type { SlotMap } from '../../common/slots.ts';
import { type ChangeContext, change } from '../audit/service.ts';
import type { Db } from '../db/connect.ts';
import type { ResourcePresetRow } from '../db/rows.generated.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import * as store from './store.ts';

export type { PresetReference } from './store.ts';

const ENTITY = 'resource_preset';
/** Largest number of presets in one answer. */
const MAX_LISTED = 1000;
/** Every session needs some of these. */
const INTRINSIC_SLOTS = ['cpu', 'mem'];

/**
 * Presets by name, for everybody; at most 1000.
 * @throws BackendError InvalidAPIParameters for a wrong filter or order.
 */
export function listPresets(
  sql: Sql,
  filter: string | null | undefined,
  order: string | null | undefined,
): Promise<ResourcePresetRow[]> {
  return store.selectPresets(sql, filter, order, MAX_LISTED);
}

/** One page of them, by name unless ordered. */
export const listPresetsV2 = (
  sql: Sql,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<ResourcePresetRow>> => store.selectPresetsV2(sql, query, wish);

/** A preset; null when there is none. Of two with the name, the one for all groups is meant. */
export function findPreset(
  sql: Db,
  wanted: store.PresetReference,
): Promise<ResourcePresetRow | null> {
  return store.selectPreset(sql, wanted);
}

/** What an administrator says about a preset; undefined leaves it as it is. */
export interface PresetWishes {
  readonly name?: string;
  readonly slots?: SlotMap;
  /** Bytes; null leaves it to the session. */
  readonly sharedMemory?: number | null;
  /** null: for all resource groups. */
  readonly groupName?: string | null;
}

/** @throws BackendError InvalidAPIParameters, ScalingGroupNotFound. */
async function toColumns(sql: Db, wishes: PresetWishes): Promise<store.PresetChanges> {
  const { name, slots, sharedMemory, groupName } = wishes;
  if (name !== undefined && (name.trim() === '' || name.length > 256 || /\p{Cc}/u.test(name))) {
    throw new BackendError(
      'InvalidAPIParameters',
      'A preset name has 1 to 256 characters and no control character.',
    );
  }
  const missing = slots && INTRINSIC_SLOTS.filter((slot) => slots[slot] === undefined);
  if (missing && missing.length > 0) {
    throw new BackendError(
      'InvalidAPIParameters',
      `resource_slots must have ${INTRINSIC_SLOTS.join(' and ')}; ${missing.join(', ')} is missing.`,
    );
  }
  if (groupName != null && !(await store.groupExists(sql, groupName))) {
    throw new BackendError('ScalingGroupNotFound', `There is no resource group '${groupName}'.`);
  }
  return {
    name,
    shared_memory: sharedMemory,
    scaling_group_name: groupName,
    ...(slots && { resource_slots: { json: slots } }),
  };
}

/**
 * Makes a preset. @returns its id.
 * @throws BackendError ResourcePresetConflict when the group has one of that name,
 *   InvalidAPIParameters for amounts that are none, ScalingGroupNotFound.
 */
export function createPreset(
  by: ChangeContext,
  name: string,
  wishes: PresetWishes & { readonly slots: SlotMap },
): Promise<string> {
  return change(
    by,
    async (tx, note) => {
      const columns = await toColumns(tx, { ...wishes, name });
      const id = by.ctx.random.uuid();
      await store.insertPreset(tx, { id, name, groupName: wishes.groupName ?? null });
      const after = await store.updatePreset(tx, id, columns);
      note({ entityType: ENTITY, entityId: id, operation: 'create', after });
      return id;
    },
    'ResourcePresetConflict',
  );
}

/**
 * Changes a preset.
 * @throws BackendError ResourcePresetNotFound and what `createPreset` throws.
 */
export function modifyPreset(
  by: ChangeContext,
  wanted: store.PresetReference,
  wishes: PresetWishes,
): Promise<void> {
  return change(
    by,
    async (tx, note) => {
      const before = await store.selectPreset(tx, wanted, { lock: true });
      if (before === null) throw new BackendError('ResourcePresetNotFound');
      const after = await store.updatePreset(tx, before.id, await toColumns(tx, wishes));
      note({ entityType: ENTITY, entityId: before.id, operation: 'update', before, after });
    },
    'ResourcePresetConflict',
  );
}

/** Removes a preset. @throws BackendError ResourcePresetNotFound. */
export function deletePreset(by: ChangeContext, wanted: store.PresetReference): Promise<void> {
  return change(by, async (tx, note) => {
    const before = await store.selectPreset(tx, wanted, { lock: true });
    if (before === null) throw new BackendError('ResourcePresetNotFound');
    await store.deletePreset(tx, before.id);
    note({ entityType: ENTITY, entityId: before.id, operation: 'delete', before });
  });
}
