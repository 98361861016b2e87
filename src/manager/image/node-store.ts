/** Lists of images as SQL: of nodes, and of the newer schema. */
import type { Fragment, Sql } from 'postgres';
import {
  type FieldTable,
  filterToSql,
  type ListQuery,
  orderTable,
  orderTerms,
} from '../graphql/minilang-store.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import { type ListSource, selectListPage } from '../graphql/page-store.ts';
import {
  type V2FieldTable,
  type V2OrderTable,
  type V2Query,
  v2FilterToSql,
  v2OrderTerms,
} from '../graphql/v2-filter-store.ts';
import { aliasesOf, allowed, type ImageRecord, type ImageScope, ownOrShared } from './store.ts';

const nodeFields = (sql: Sql): FieldTable => {
  const text = (column: Fragment) => ({ kind: 'text', column }) as const;
  return {
    id: { kind: 'uuid', column: sql`i.id` },
    name: text(sql`i.image`),
    namespace: text(sql`i.image`),
    tag: text(sql`i.tag`),
    status: { kind: 'enum', column: sql`i.status` },
    project: text(sql`i.project`),
    image: text(sql`i.image`),
    base_image_name: text(sql`regexp_replace(i.image, '^.*/', '')`),
    created_at: { kind: 'time', column: sql`i.created_at` },
    registry: text(sql`i.registry`),
    registry_id: { kind: 'uuid', column: sql`i.registry_id` },
    architecture: text(sql`i.architecture`),
    is_local: { kind: 'boolean', column: sql`i.is_local` },
    type: { kind: 'enum', column: sql`i.type::text` },
    accelerators: text(sql`i.accelerators`),
  };
};

const sourceOf = (
  sql: Sql,
  scope: ImageScope,
  rest: Pick<ListSource, 'filter' | 'order'>,
): ListSource => ({
  columns: sql`i.*, ${aliasesOf(sql)}`,
  from: sql`images i`,
  scope: sql`${allowed(sql, scope)} AND ${ownOrShared(sql, scope)}`,
  key: sql`i.id`,
  keyType: 'uuid',
  ...rest,
});

/** @throws BackendError InvalidAPIParameters for a wrong filter or order, InvalidCursor. */
export function selectNodes(
  sql: Sql,
  scope: ImageScope,
  query: ListQuery & { readonly statuses: readonly string[] },
  wish: PageWish,
): Promise<Listed<ImageRecord>> {
  const fields = nodeFields(sql);
  const filter = sql`
    i.status = ANY (${[...query.statuses]}::text[]) AND ${filterToSql(sql, query.filter, fields)}`;
  const order = orderTerms(query.order, orderTable(fields));
  return selectListPage(sql, sourceOf(sql, scope, { filter, order }), wish);
}

const v2Fields = (sql: Sql): V2FieldTable => ({
  status: { kind: 'enum', column: sql`i.status` },
  name: { kind: 'text', column: sql`i.name` },
  architecture: { kind: 'text', column: sql`i.architecture` },
  id: { kind: 'uuid', column: sql`i.id` },
  registryId: { kind: 'uuid', column: sql`i.registry_id` },
  lastUsed: { kind: 'time', column: sql`i.last_used_at` },
  alias: {
    kind: 'nested',
    fields: { alias: { kind: 'text', column: sql`a.alias` } },
    exists: (condition) =>
      sql`EXISTS (SELECT FROM image_aliases a WHERE a.image = i.id AND ${condition})`,
  },
});

const v2Orders = (sql: Sql): V2OrderTable => ({
  NAME: sql`i.name`,
  CREATED_AT: sql`i.created_at`,
  LAST_USED: sql`i.last_used_at`,
});

/** @throws BackendError InvalidGraphQLParameters, InvalidCursor. */
export function selectV2(
  sql: Sql,
  scope: ImageScope,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<ImageRecord>> {
  const filter = v2FilterToSql(sql, query.filter, v2Fields(sql));
  const newest = [{ column: sql`i.created_at`, descending: true }];
  const order = v2OrderTerms(wish.page.mode, query.orderBy, v2Orders(sql), newest);
  return selectListPage(sql, sourceOf(sql, scope, { filter, order }), wish);
}
