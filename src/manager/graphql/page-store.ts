/**
 * Reads one page of any list: by offset, or after or before the row at a cursor. A page costs at
 * most two queries, one for its rows and one for the number of all that match; a page that turns out
 * empty costs a third, which tells the list's end from a cursor whose row is gone.
 */
import type { Fragment, Sql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import type { Listed, PageRequest, PageWish } from './page.ts';

/** One expression of a list's order. PostgreSQL's rule holds: null is larger than every value. */
export interface OrderTerm {
  /** Free of user input. */
  readonly column: Fragment;
  readonly descending: boolean;
}

/** A list, of which pages are asked for. */
export interface ListSource {
  /** What is selected of each row. */
  readonly columns: Fragment;
  /** Tables and joins, without the word. */
  readonly from: Fragment;
  /** Which rows the caller may see at all; the rows at cursors too. */
  readonly scope: Fragment;
  /** Which of them are asked for. */
  readonly filter: Fragment;
  readonly order: readonly OrderTerm[];
  /** What tells rows apart: the last expression of the order, and what cursors hold. */
  readonly key: Fragment;
  readonly keyType: 'uuid' | 'text';
}

const reversed = (order: readonly OrderTerm[]): OrderTerm[] =>
  order.map(({ column, descending }) => ({ column, descending: !descending }));

function orderBy(sql: Sql, order: readonly OrderTerm[]): Fragment {
  const items = order.map(({ column, descending }) =>
    descending ? sql`${column} desc` : sql`${column} asc`,
  );
  return items.reduce((left, right) => sql`${left}, ${right}`);
}

/** The expression of the row at the cursor. */
const anchored = (sql: Sql, index: number): Fragment =>
  sql`(select ${sql(`k${index}`)} from anchor)`;

/** Whether a row's term comes after that of the row at the cursor. */
function isAfter(sql: Sql, { column, descending }: OrderTerm, value: Fragment): Fragment {
  return descending
    ? sql`(${column} < ${value} or (${value} is null and ${column} is not null))`
    : sql`(${column} > ${value} or (${column} is null and ${value} is not null))`;
}

/** Whether a row comes after that at the cursor: by its first term that differs. */
function isBeyond(sql: Sql, order: readonly OrderTerm[]): Fragment {
  return order.reduceRight<Fragment>((rest, term, index) => {
    const value = anchored(sql, index);
    const same = sql`${term.column} is not distinct from ${value}`;
    return sql`(${isAfter(sql, term, value)} or (${same} and ${rest}))`;
  }, sql`false`);
}

function atCursor(sql: Sql, { key, keyType }: ListSource, cursor: string): Fragment {
  if (keyType === 'text') return sql`${key} = ${cursor}`;
  if (isUuid(cursor)) return sql`${key} = ${cursor}::uuid`;
  throw new BackendError('InvalidCursor', `'${cursor.slice(0, 100)}' is no row of this list.`);
}

/** The page's rows and one more, which tells whether there is more. */
function pageQuery(sql: Sql, source: ListSource, page: PageRequest): Fragment {
  const { columns, from, scope, filter, key } = source;
  const forward = [...source.order, { column: key, descending: false }];
  const order = page.mode === 'backward' ? reversed(forward) : forward;
  if (page.mode === 'offset' || page.cursor === null) {
    const offset = page.mode === 'offset' ? page.offset : 0;
    return sql`
      select ${columns} from ${from} where ${scope} and ${filter}
       order by ${orderBy(sql, order)} limit ${page.limit + 1} offset ${offset}`;
  }
  const terms = order.map(({ column }, index) => sql`${column} as ${sql(`k${index}`)}`);
  return sql`
    with anchor as materialized (
      select ${terms.reduce((left, right) => sql`${left}, ${right}`)} from ${from}
       where ${scope} and ${atCursor(sql, source, page.cursor)})
    select ${columns} from ${from}
     where ${scope} and ${filter} and exists (select from anchor) and ${isBeyond(sql, order)}
     order by ${orderBy(sql, order)} limit ${page.limit + 1}`;
}

/** The page that the query's answer means. */
function toPage<Row>(found: readonly Row[], page: PageRequest): Omit<Listed<Row>, 'total'> {
  const rows = found.slice(0, page.limit);
  const more = found.length > page.limit;
  if (page.mode === 'offset') return { rows, hasNext: more, hasPrevious: page.offset > 0 };
  // The row at the cursor is on the other side.
  const behind = page.cursor !== null;
  return page.mode === 'forward'
    ? { rows, hasNext: more, hasPrevious: behind }
    : { rows: rows.reverse(), hasNext: behind, hasPrevious: more };
}

/** @throws BackendError InvalidCursor when the caller sees no row at the cursor. */
async function checkCursor(sql: Sql, source: ListSource, page: PageRequest): Promise<void> {
  if (page.mode === 'offset' || page.cursor === null) return;
  const [anchor] = await sql`
    select 1 from ${source.from}
     where ${source.scope} and ${atCursor(sql, source, page.cursor)} limit 1`;
  if (anchor) return;
  throw new BackendError(
    'InvalidCursor',
    'The row at the cursor is gone, or not yours to see. Start again from the first page.',
  );
}

const NO_ROWS = { rows: [], hasNext: false, hasPrevious: false };

/**
 * What is wished of a list.
 * @throws BackendError InvalidCursor when there is no row at the cursor that the caller may see.
 */
export async function selectListPage<Row extends object>(
  sql: Sql,
  source: ListSource,
  { page, rows, count }: PageWish,
): Promise<Listed<Row>> {
  const { from, scope, filter } = source;
  const [found, counted] = await Promise.all([
    rows ? sql<Row[]>`${pageQuery(sql, source, page)}` : null,
    count
      ? sql<{ total: number }[]>`
          select count(*)::int as total from ${from} where ${scope} and ${filter}`
      : null,
  ]);
  if (found?.length === 0) await checkCursor(sql, source, page);
  return {
    ...(found === null ? NO_ROWS : toPage(found, page)),
    total: counted?.[0]?.total ?? null,
  };
}

/**
 * The same of many lists at once, one for each parent, in as many queries as for one. The source's
 * conditions name the parent as `parent.id`. A cursor whose row is gone is the end of its list.
 * @returns by parent, for every parent.
 */
export async function selectListPages<Row extends object>(
  sql: Sql,
  source: ListSource,
  { page, rows, count }: PageWish,
  parents: { readonly ids: readonly string[]; readonly type: 'uuid' | 'text' },
): Promise<Map<string, Listed<Row>>> {
  const ids = sql`unnest(${[...parents.ids]}::text[]::${sql.unsafe(parents.type)}[]) as parent(id)`;
  const { from, scope, filter } = source;
  const [found, counted] = await Promise.all([
    rows
      ? sql<(Row & { parentId: string })[]>`
          select item.*, parent.id::text as "parentId"
            from ${ids} cross join lateral (${pageQuery(sql, source, page)}) as item`
      : [],
    count
      ? sql<{ parentId: string; total: number }[]>`
          select parent.id::text as "parentId",
                 (select count(*)::int from ${from} where ${scope} and ${filter}) as total
            from ${ids}`
      : [],
  ]);
  const rowsOf = Map.groupBy(found, ({ parentId }) => parentId);
  const totals = new Map(counted.map(({ parentId, total }) => [parentId, total]));
  return new Map(
    parents.ids.map((id) => [
      id,
      {
        ...(rows ? toPage<Row>(rowsOf.get(id) ?? [], page) : NO_ROWS),
        total: totals.get(id) ?? null,
      },
    ]),
  );
}
