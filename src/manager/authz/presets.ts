/** Role presets: roles that every new domain, project or user gets. Existing ones are left alone. */
import type { TransactionSql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import { type Change, type ChangeContext, change } from '../audit/service.ts';
import type { RolePermissionPresetRow, RolePresetRow } from '../db/rows.generated.ts';
import * as store from './preset-store.ts';
import { checkCount, checkRoleName } from './roles.ts';

export type { PresetPermission } from './preset-store.ts';

const ENTITY = 'role-preset';
/** The scopes that are made with roles. */
const SCOPES = new Set(['domain', 'project', 'user']);

/**
 * Makes a preset with what it allows.
 * @throws BackendError InvalidAPIParameters for a bad name or a type of scope that gets no roles.
 */
export function createPreset(
  by: ChangeContext,
  wishes: {
    readonly name: string;
    readonly scopeType: string;
    readonly autoAssign: boolean;
    readonly permissions: readonly store.PresetPermission[];
  },
): Promise<RolePresetRow> {
  checkRoleName(wishes.name);
  checkCount(wishes.permissions);
  if (!SCOPES.has(wishes.scopeType)) {
    throw new BackendError(
      'InvalidAPIParameters',
      `Roles come with new domains, projects and users; there is none for ${wishes.scopeType}.`,
    );
  }
  return change(by, async (tx, note) => {
    const [after] = await store.insertPreset(tx, { ...wishes, id: by.ctx.random.uuid() });
    if (!after) throw new Error('the statement returned no row');
    await store.insertPermissions(tx, after.id, wishes.permissions);
    const { permissions } = wishes;
    const noted = { ...after, permissions };
    note({ entityType: ENTITY, entityId: after.id, operation: 'create', after: noted });
    return after;
  });
}

async function lockedPreset(tx: TransactionSql, id: string): Promise<RolePresetRow> {
  const row = await store.lockPreset(tx, id);
  if (row === null) throw new BackendError('RolePresetNotFound', `There is no role preset ${id}.`);
  return row;
}

/** Changes a preset; undefined leaves as it is. @throws BackendError RolePresetNotFound. */
export function updatePreset(
  by: ChangeContext,
  id: string,
  wishes: { readonly name?: string; readonly autoAssign?: boolean },
): Promise<RolePresetRow> {
  checkRoleName(wishes.name);
  return change(by, async (tx, note) => {
    const before = await lockedPreset(tx, id);
    const [after] = await store.updatePresets(tx, [before.id], {
      ...(wishes.name !== undefined && { name: wishes.name }),
      ...(wishes.autoAssign !== undefined && { auto_assign: wishes.autoAssign }),
    });
    if (!after) throw new Error('a locked row is gone');
    note({ entityType: ENTITY, entityId: before.id, operation: 'update', before, after });
    return after;
  });
}

export interface Changed<T> {
  readonly items: T[];
  readonly failed: { readonly id: string; readonly message: string }[];
}

async function changeMany<T extends { readonly id: string }>(
  by: ChangeContext,
  ids: readonly string[],
  what: string,
  run: (tx: TransactionSql, note: (change: Change) => void) => Promise<T[]>,
): Promise<Changed<T>> {
  checkCount(ids);
  return change(by, async (tx, note) => {
    const items = await run(tx, note);
    const found = new Set(items.map(({ id }) => id));
    const failed = ids
      .filter((id) => !found.has(id.toLowerCase()))
      .map((id) => ({ id, message: `There is no ${what} ${id}.` }));
    return { items, failed };
  });
}

/** Stops presets from making roles, or lets them again. */
export function setPresetsDeleted(
  by: ChangeContext,
  ids: readonly string[],
  deleted: boolean,
): Promise<Changed<RolePresetRow>> {
  return changeMany(by, ids, 'role preset', async (tx, note) => {
    const rows = await store.updatePresets(tx, ids, { deleted });
    const operation = deleted ? 'delete' : 'update';
    for (const after of rows) note({ entityType: ENTITY, entityId: after.id, operation, after });
    return rows;
  });
}

/** Removes presets for good; the roles they made stay. */
export function purgePresets(
  by: ChangeContext,
  ids: readonly string[],
): Promise<Changed<RolePresetRow>> {
  return changeMany(by, ids, 'role preset', async (tx, note) => {
    const rows = await store.deletePresets(tx, ids);
    for (const before of rows) {
      note({ entityType: ENTITY, entityId: before.id, operation: 'purge', before });
    }
    return rows;
  });
}

/** Adds what a preset allows. @throws BackendError RolePresetNotFound. */
export function addPresetPermissions(
  by: ChangeContext,
  presetId: string,
  wanted: readonly store.PresetPermission[],
): Promise<{ added: RolePermissionPresetRow[]; failed: store.PresetPermission[] }> {
  checkCount(wanted);
  return change(by, async (tx, note) => {
    const preset = await lockedPreset(tx, presetId);
    const added = await store.insertPermissions(tx, preset.id, wanted);
    const got = new Set(added.map((row) => `${row.entity_type} ${row.operation}`));
    const failed = wanted.filter((one) => !got.delete(`${one.entityType} ${one.operation}`));
    note({
      entityType: ENTITY,
      entityId: preset.id,
      operation: 'associate',
      after: { permissions: added },
    });
    return { added, failed };
  });
}

/** Takes permissions from any presets. */
export function removePresetPermissions(
  by: ChangeContext,
  ids: readonly string[],
): Promise<Changed<RolePermissionPresetRow>> {
  return changeMany(by, ids, 'permission of a role preset', async (tx, note) => {
    const rows = await store.deletePermissions(tx, ids);
    for (const before of rows) {
      note({
        entityType: ENTITY,
        entityId: before.role_preset_id,
        operation: 'disassociate',
        before,
      });
    }
    return rows;
  });
}
