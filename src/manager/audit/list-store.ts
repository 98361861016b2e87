/** SQL that reads the audit log. */
import type { Fragment, Sql } from 'postgres';
import type { AuditLogRow } from '../db/rows.generated.ts';
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

/** A record without the rows before and after, which may be large. */
export type AuditEntry = Omit<AuditLogRow, 'before' | 'after'>;

/** Whose records: of these entities, or of what these users did; null means all. */
export type AuditScope = null | {
  readonly entities: readonly { readonly types: readonly string[]; readonly id: string }[];
  readonly userIds: readonly string[];
};

function within(sql: Sql, scope: AuditScope): Fragment {
  if (scope === null) return sql`true`;
  const choices = [
    sql`triggered_by = any(${[...scope.userIds]}::text[])`,
    ...scope.entities.map(
      ({ types, id }) => sql`(entity_id = ${id} and entity_type = any(${[...types]}::text[]))`,
    ),
  ];
  return sql`(${choices.reduce((left, right) => sql`${left} or ${right}`)})`;
}

const columns = (sql: Sql): Fragment => sql`
  id, entity_type, operation, entity_id, created_at, action_id, request_id, triggered_by,
  description, duration::text as duration, status, client_address`;

const sourceOf = (sql: Sql, rest: Pick<ListSource, 'scope' | 'filter' | 'order'>): ListSource => ({
  columns: columns(sql),
  from: sql`audit_logs`,
  key: sql`id`,
  keyType: 'uuid',
  ...rest,
});

const lower = (value: string): string => value.toLowerCase();

function nodeFields(sql: Sql): FieldTable {
  const text = (column: Fragment) => ({ kind: 'text', column }) as const;
  return {
    entity_type: text(sql`entity_type`),
    action_id: { kind: 'uuid', column: sql`action_id` },
    operation: text(sql`operation`),
    entity_id: text(sql`entity_id`),
    created_at: { kind: 'time', column: sql`created_at` },
    request_id: text(sql`request_id`),
    triggered_by: text(sql`triggered_by`),
    description: text(sql`description`),
    duration: { kind: 'number', column: sql`extract(epoch from duration)` },
    status: { kind: 'enum', column: sql`status`, stored: lower },
  };
}

/** @throws BackendError InvalidAPIParameters for a wrong filter or order, InvalidCursor. */
export function selectAuditNodes(
  sql: Sql,
  query: ListQuery,
  wish: PageWish,
): Promise<Listed<AuditEntry>> {
  const fields = nodeFields(sql);
  const source = sourceOf(sql, {
    scope: sql`true`,
    filter: filterToSql(sql, query.filter, fields),
    order: orderTerms(query.order, orderTable(fields)),
  });
  return selectListPage(sql, source, wish);
}

const v2Fields = (sql: Sql): V2FieldTable => ({
  entityType: { kind: 'text', column: sql`entity_type` },
  entityId: { kind: 'text', column: sql`entity_id` },
  operation: { kind: 'text', column: sql`operation` },
  status: { kind: 'enum', column: sql`status`, stored: lower },
  createdAt: { kind: 'time', column: sql`created_at` },
  triggeredBy: { kind: 'text', column: sql`triggered_by` },
});

const v2Orders = (sql: Sql): V2OrderTable => ({
  CREATED_AT: sql`created_at`,
  ENTITY_TYPE: sql`entity_type`,
  OPERATION: sql`operation`,
  STATUS: sql`status`,
});

/** @throws BackendError InvalidGraphQLParameters for a filter that is too large, InvalidCursor. */
export function selectAuditEntries(
  sql: Sql,
  scope: AuditScope,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<AuditEntry>> {
  const newestFirst = [{ column: sql`created_at`, descending: true }];
  const source = sourceOf(sql, {
    scope: within(sql, scope),
    filter: v2FilterToSql(sql, query.filter, v2Fields(sql)),
    order: v2OrderTerms(wish.page.mode, query.orderBy, v2Orders(sql), newestFirst),
  });
  return selectListPage(sql, source, wish);
}

export async function selectAuditEntry(sql: Sql, id: string): Promise<AuditEntry | null> {
  const [row] = await sql<AuditEntry[]>`
    select ${columns(sql)} from audit_logs where id = ${id}`;
  return row ?? null;
}

/** The kinds of entities that the log knows, each found by one step in its index. */
export async function selectEntityTypes(sql: Sql): Promise<string[]> {
  const rows = await sql<{ type: string }[]>`
    with recursive known as (
      (select entity_type as type from audit_logs order by entity_type limit 1)
      union all
      select (select a.entity_type from audit_logs a where a.entity_type > known.type
               order by a.entity_type limit 1)
        from known where known.type is not null)
    select type from known where type is not null`;
  return rows.map(({ type }) => type);
}
