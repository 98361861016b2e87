/** The kinds of resources that a cluster knows, as GraphQL and the HTTP operations tell them. */
import type { Sql } from 'postgres';
import * as v from 'valibot';
import { type Listed, mapListed, type PageWish } from '../graphql/page.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import { selectSlotTypes, slotTypeRecord } from './store.ts';

export type SlotTypeRecord = v.InferOutput<typeof slotTypeRecord>;

/** One page of the enabled kinds. @throws BackendError InvalidCursor. */
export const listSlotTypes = async (
  sql: Sql,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<SlotTypeRecord>> =>
  mapListed(await selectSlotTypes(sql, query, wish), (row) => v.parse(slotTypeRecord, row));

/** One kind by its name; null when there is none. */
export async function findSlotType(sql: Sql, slotName: string): Promise<SlotTypeRecord | null> {
  const page = { mode: 'offset', limit: 1, offset: 0 } as const;
  const query = { filter: { slotName: { equals: slotName } } };
  const { rows } = await listSlotTypes(sql, query, { page, rows: true, count: false });
  return rows[0] ?? null;
}
