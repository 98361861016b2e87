/** SQL about the kinds of resources that a cluster knows. */
import type { Sql } from 'postgres';
import * as v from 'valibot';
import type { Listed, PageWish } from '../graphql/page.ts';
import { selectListPage } from '../graphql/page-store.ts';
import {
  type V2FieldTable,
  type V2OrderTable,
  type V2Query,
  v2FilterToSql,
  v2OrderTerms,
} from '../graphql/v2-filter-store.ts';

export const slotTypeRecord = v.object({
  slot_name: v.string(),
  /** count, bytes or unique. */
  slot_type: v.string(),
  display_name: v.string(),
  description: v.string(),
  display_unit: v.string(),
  display_icon: v.string(),
  number_format: v.object({ binary: v.boolean(), round_length: v.number() }),
  rank: v.number(),
});

const fields = (sql: Sql): V2FieldTable => ({
  slotName: { kind: 'text', column: sql`t.slot_name` },
  slotType: { kind: 'text', column: sql`t.slot_type` },
  displayName: { kind: 'text', column: sql`t.display_name` },
});

const orders = (sql: Sql): V2OrderTable => ({
  SLOT_NAME: sql`t.slot_name`,
  RANK: sql`t.rank`,
  DISPLAY_NAME: sql`t.display_name`,
});

/** The enabled kinds, by rank unless ordered. @throws BackendError InvalidCursor. */
export function selectSlotTypes(sql: Sql, query: V2Query, wish: PageWish): Promise<Listed<object>> {
  const byRank = [{ column: sql`t.rank`, descending: false }];
  return selectListPage(
    sql,
    {
      columns: sql`t.slot_name, t.slot_type, t.display_name, t.description, t.display_unit,
                   t.display_icon, t.number_format, t.rank`,
      from: sql`resource_slot_types t`,
      scope: sql`t.enabled`,
      filter: v2FilterToSql(sql, query.filter, fields(sql)),
      order: v2OrderTerms(wish.page.mode, query.orderBy, orders(sql), byRank),
      key: sql`t.slot_name`,
      keyType: 'text',
    },
    wish,
  );
}
