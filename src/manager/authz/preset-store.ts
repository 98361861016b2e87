/** SQL that changes role presets and what they allow. */
import { assignments } from '../db/assign-store.ts';
import type { Db } from '../db/connect.ts';
import type { RolePermissionPresetRow, RolePresetRow } from '../db/rows.generated.ts';

export interface PresetPermission {
  readonly entityType: string;
  readonly operation: string;
}

/** Makes a preset. @returns its row. */
export function insertPreset(
  sql: Db,
  row: {
    readonly id: string;
    readonly name: string;
    readonly scopeType: string;
    readonly autoAssign: boolean;
  },
): Promise<RolePresetRow[]> {
  return sql<RolePresetRow[]>`
    INSERT INTO role_presets (id, name, scope_type, auto_assign)
    VALUES (${row.id}, ${row.name}, ${row.scopeType}, ${row.autoAssign}) RETURNING *`;
}

export async function lockPreset(sql: Db, id: string): Promise<RolePresetRow | null> {
  const [row] = await sql<RolePresetRow[]>`SELECT * FROM role_presets WHERE id = ${id} FOR UPDATE`;
  return row ?? null;
}

/** Changes presets. @returns those that exist, in the order of `ids`. */
export function updatePresets(
  sql: Db,
  ids: readonly string[],
  changes: { readonly name?: string; readonly auto_assign?: boolean; readonly deleted?: boolean },
): Promise<RolePresetRow[]> {
  return sql<RolePresetRow[]>`
    UPDATE role_presets SET updated_at = now() ${assignments(sql, { ...changes })}
     WHERE id = ANY (${[...ids]}::text[]::uuid[]) RETURNING *`;
}

/** @returns those that existed. */
export function deletePresets(sql: Db, ids: readonly string[]): Promise<RolePresetRow[]> {
  return sql<RolePresetRow[]>`
    DELETE FROM role_presets WHERE id = ANY (${[...ids]}::text[]::uuid[]) RETURNING *`;
}

/** Adds those of the permissions that the preset does not have. @returns the new ones. */
export function insertPermissions(
  sql: Db,
  presetId: string,
  permissions: readonly PresetPermission[],
): Promise<RolePermissionPresetRow[]> {
  return sql<RolePermissionPresetRow[]>`
    INSERT INTO role_permission_presets (role_preset_id, entity_type, operation)
    SELECT ${presetId}, p.*
      FROM unnest(${permissions.map(({ entityType }) => entityType)}::text[],
                  ${permissions.map(({ operation }) => operation)}::text[]) AS p
    ON CONFLICT DO NOTHING RETURNING *`;
}

/** @returns those that existed. */
export function deletePermissions(
  sql: Db,
  ids: readonly string[],
): Promise<RolePermissionPresetRow[]> {
  return sql<RolePermissionPresetRow[]>`
    DELETE FROM role_permission_presets
     WHERE id = ANY (${[...ids]}::text[]::uuid[]) RETURNING *`;
}
