/** Connections of the newer schema: their arguments and cursors, and what they answer. */
import type { GraphQLResolveInfo } from 'graphql';
import { BackendError } from '../../common/errors.ts';
import { type Connection, toConnection } from './connection.ts';
import type { GraphqlContext } from './context.ts';
import { batchedByField } from './loaders.ts';
import { type Listed, MAX_PAGE_ROWS, type PageRequest, type PageWish, pageWish } from './page.ts';

const DEFAULT_PAGE_ROWS = 10;
const CURSOR_PREFIX = 'cursor:v1:';

/** Null and absent mean the same. */
export interface V2Arguments {
  readonly first?: number | null;
  readonly after?: string | null;
  readonly last?: number | null;
  readonly before?: string | null;
  readonly limit?: number | null;
  readonly offset?: number | null;
}

const wrong = (message: string) => new BackendError('InvalidGraphQLParameters', message);

/** Where a row stands in a list, for clients to go on from. */
export const v2Cursor = (rowId: string): string =>
  Buffer.from(`${CURSOR_PREFIX}${rowId}`).toString('base64');

/** @throws BackendError InvalidCursor for a text that is none of ours. */
export function rowIdOfCursor(cursor: string): string {
  const text = Buffer.from(cursor, 'base64').toString('utf8');
  if (text.startsWith(CURSOR_PREFIX) && text.length > CURSOR_PREFIX.length) {
    return text.slice(CURSOR_PREFIX.length);
  }
  throw new BackendError('InvalidCursor', `'${cursor.slice(0, 100)}' is no cursor of a list.`);
}

function sizeOf(name: string, value: number | null | undefined, fallback: number): number {
  const size = value ?? fallback;
  if (size <= 0) throw wrong(`'${name}' must be greater than 0.`);
  if (size > MAX_PAGE_ROWS) throw wrong(`'${name}' must be at most ${MAX_PAGE_ROWS}.`);
  return size;
}

/**
 * The page that the arguments ask for; the first `defaultRows` when they say nothing.
 * @throws BackendError InvalidGraphQLParameters for arguments of more than one style or numbers out
 *   of range; InvalidCursor.
 */
export function v2Page(args: V2Arguments, defaultRows = DEFAULT_PAGE_ROWS): PageRequest {
  const { first, after, last, before, limit, offset } = args;
  const forward = first != null || after != null;
  const backward = last != null || before != null;
  const byOffset = limit != null || offset != null;
  if ([forward, backward, byOffset].filter(Boolean).length > 1) {
    throw wrong("Use one of 'first' and 'after', 'last' and 'before', or 'limit' and 'offset'.");
  }
  if (forward) {
    const cursor = after == null ? null : rowIdOfCursor(after);
    return { mode: 'forward', limit: sizeOf('first', first, defaultRows), cursor };
  }
  if (backward) {
    const cursor = before == null ? null : rowIdOfCursor(before);
    return { mode: 'backward', limit: sizeOf('last', last, defaultRows), cursor };
  }
  if ((offset ?? 0) < 0) throw wrong("'offset' must not be negative.");
  return { mode: 'offset', limit: sizeOf('limit', limit, defaultRows), offset: offset ?? 0 };
}

/** A connection as the newer schema demands it: the count is always there. */
export type V2Connection<Row> = Connection<Row> & { readonly count: number };

function toV2Connection<Row>(listed: Listed<Row>, idOf: (row: Row) => string): V2Connection<Row> {
  const connection = toConnection(listed, (row) => v2Cursor(idOf(row)));
  // When it was not counted nobody reads it.
  return { ...connection, count: listed.total ?? 0 };
}

/** A connection that is never paged: all rows at once. */
export const wholeV2Connection = <Row>(
  rows: readonly Row[],
  idOf: (row: Row) => string,
): V2Connection<Row> => ({
  ...toConnection({ rows, total: rows.length, hasNext: false, hasPrevious: false }, (row) =>
    v2Cursor(idOf(row)),
  ),
  count: rows.length,
});

/**
 * Answers a list field of the newer schema.
 * @param options.idOf the row id that its cursor carries.
 * @param options.load one page; asked for no more than the document selects.
 * @throws BackendError as v2Page.
 */
export async function v2ListField<Row>(
  args: V2Arguments,
  info: GraphQLResolveInfo,
  options: {
    readonly idOf: (row: Row) => string;
    readonly load: (wish: PageWish) => Promise<Listed<Row>>;
    readonly defaultRows?: number;
  },
): Promise<V2Connection<Row>> {
  const listed = await options.load(pageWish(v2Page(args, options.defaultRows), info));
  return toV2Connection(listed, options.idOf);
}

/**
 * Answers list fields of many parents in the queries of one.
 * @param options.load the pages of the parents' lists, by parent.
 */
export function nestedV2List<Row, Args extends V2Arguments>(options: {
  readonly idOf: (row: Row) => string;
  readonly load: (
    context: GraphqlContext,
    parentIds: readonly string[],
    args: Args,
    wish: PageWish,
  ) => Promise<ReadonlyMap<string, Listed<Row>>>;
}) {
  const { idOf, load } = options;
  const listed = batchedByField<string, Listed<Row>, Args>((parentIds, context, args, info) =>
    load(context, parentIds, args, pageWish(v2Page(args), info)),
  );
  return async (
    context: GraphqlContext,
    parentId: string,
    args: Args,
    info: GraphQLResolveInfo,
  ): Promise<V2Connection<Row> | null> => {
    const page = await listed(context, parentId, args, info);
    return page && toV2Connection(page, idOf);
  };
}
