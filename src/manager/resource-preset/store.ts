/** SQL about resource presets. */
import type { Sql } from 'postgres';
import { assignments, type JsonColumn } from '../db/assign-store.ts';
import type { Db } from '../db/connect.ts';
import type { ResourcePresetRow } from '../db/rows.generated.ts';
import { filterToSql, orderToSql } from '../graphql/minilang-store.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import { selectListPage } from '../graphql/page-store.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import { type V2ListShape, v2Source } from '../graphql/v2-list-store.ts';

/**
 * Presets by name.
 * @throws BackendError InvalidAPIParameters for a wrong filter or order.
 */
export function selectPresets(
  sql: Sql,
  filter: string | null | undefined,
  order: string | null | undefined,
  limit: number,
): Promise<ResourcePresetRow[]> {
  const columns = { id: sql`id`, name: sql`name`, scaling_group_name: sql`scaling_group_name` };
  const where = filterToSql(sql, filter, {
    id: { kind: 'uuid', column: columns.id },
    name: { kind: 'text', column: columns.name },
    scaling_group_name: { kind: 'text', column: columns.scaling_group_name },
  });
  const ordering = orderToSql(sql, order, columns, { fallback: sql`name`, tieBreak: sql`id` });
  return sql<ResourcePresetRow[]>`
    SELECT * FROM resource_presets WHERE ${where} ORDER BY ${ordering} LIMIT ${limit}`;
}

const presets: V2ListShape = {
  columns: (sql) => sql`p.*`,
  from: (sql) => sql`resource_presets p`,
  fields: (sql) => ({
    name: { kind: 'text', column: sql`p.name` },
    resourceGroupName: { kind: 'text', column: sql`p.scaling_group_name` },
  }),
  orders: (sql) => ({ NAME: sql`p.name` }),
  newest: (sql) => sql`p.name`,
  key: (sql) => sql`p.id`,
  keyType: 'uuid',
};

/** @throws BackendError InvalidGraphQLParameters for a filter that is too large, InvalidCursor. */
export function selectPresetsV2(
  sql: Sql,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<ResourcePresetRow>> {
  return selectListPage(sql, v2Source(sql, presets, query, wish, sql`true`), wish);
}

/** How a preset is named: by id, or by name; of two with one name the one for all groups is meant. */
export type PresetReference = { readonly id: string } | { readonly name: string };

export async function selectPreset(
  sql: Db,
  wanted: PresetReference,
  options: { readonly lock?: boolean } = {},
): Promise<ResourcePresetRow | null> {
  const [row] = await sql<ResourcePresetRow[]>`
    SELECT * FROM resource_presets
     WHERE ${'id' in wanted ? sql`id = ${wanted.id}` : sql`name = ${wanted.name}`}
     ORDER BY scaling_group_name NULLS FIRST
     LIMIT 1 ${options.lock ? sql`FOR UPDATE` : sql``}`;
  return row ?? null;
}

export interface PresetChanges {
  readonly name?: string;
  readonly resource_slots?: JsonColumn;
  /** Bytes. */
  readonly shared_memory?: number | null;
  readonly scaling_group_name?: string | null;
}

/** Makes a preset without slots; `updatePreset` in the same transaction sets them. */
export async function insertPreset(
  sql: Db,
  row: { readonly id: string; readonly name: string; readonly groupName: string | null },
): Promise<void> {
  await sql`
    INSERT INTO resource_presets (id, name, resource_slots, scaling_group_name)
    VALUES (${row.id}, ${row.name}, '{}', ${row.groupName})`;
}

export async function updatePreset(
  sql: Db,
  id: string,
  changes: PresetChanges,
): Promise<ResourcePresetRow | null> {
  const [row] = await sql<ResourcePresetRow[]>`
    UPDATE resource_presets SET id = id ${assignments(sql, { ...changes })}
     WHERE id = ${id} RETURNING *`;
  return row ?? null;
}

export async function deletePreset(sql: Db, id: string): Promise<void> {
  await sql`DELETE FROM resource_presets WHERE id = ${id}`;
}

export async function groupExists(sql: Db, name: string): Promise<boolean> {
  return (await sql`SELECT 1 FROM scaling_groups WHERE name = ${name}`).length > 0;
}
