/** Relay connections of the older schema: their arguments, and what they answer. */
import type { GraphQLResolveInfo } from 'graphql';
import { BackendError } from '../../common/errors.ts';
import type { GraphqlContext } from './context.ts';
import { globalId, rawIdOf } from './global-id.ts';
import { batchedByField } from './loaders.ts';
import { type Listed, MAX_PAGE_ROWS, type PageRequest, type PageWish, pageWish } from './page.ts';

const DEFAULT_PAGE_ROWS = 10;

/** Null and absent mean the same. */
export interface ConnectionArguments {
  readonly offset?: number | null;
  readonly first?: number | null;
  readonly after?: string | null;
  readonly last?: number | null;
  readonly before?: string | null;
}

const wrong = (message: string) => new BackendError('InvalidAPIParameters', message);

function sizeOf(name: string, value: number | null | undefined, maxRows: number | null): number {
  const size = value ?? DEFAULT_PAGE_ROWS;
  if (size < 0) throw wrong(`'${name}' must not be negative.`);
  const limit = maxRows ?? MAX_PAGE_ROWS;
  if (size > limit) throw wrong(`Cannot fetch a page larger than ${limit}.`);
  return size;
}

const cursorOf = (cursor: string | null | undefined): string | null =>
  cursor == null || cursor === '' ? null : rawIdOf(cursor);

/**
 * The page that the arguments ask for; the first ten rows when they say nothing.
 * @param maxRows as configured; null means the built-in bound.
 * @throws BackendError InvalidAPIParameters for negative or too large numbers, and for arguments of
 *   more than one style.
 */
export function connectionPage(args: ConnectionArguments, maxRows: number | null): PageRequest {
  const { offset, first, after, last, before } = args;
  const backward = last != null || before != null;
  if (offset != null) {
    if (backward || after != null) throw wrong("'offset' goes with 'first' only.");
    if (offset < 0) throw wrong("'offset' must not be negative.");
    return { mode: 'offset', limit: sizeOf('first', first, maxRows), offset };
  }
  if (!backward) {
    return { mode: 'forward', limit: sizeOf('first', first, maxRows), cursor: cursorOf(after) };
  }
  if (first != null || after != null) {
    throw wrong(
      "Page either forward with 'first' and 'after', or backward with 'last' and 'before'.",
    );
  }
  return { mode: 'backward', limit: sizeOf('last', last, maxRows), cursor: cursorOf(before) };
}

export interface Connection<Row> {
  readonly edges: readonly { readonly node: Row; readonly cursor: string }[];
  readonly pageInfo: {
    readonly hasNextPage: boolean;
    readonly hasPreviousPage: boolean;
    readonly startCursor: string | null;
    readonly endCursor: string | null;
  };
  readonly count: number | null;
}

/** The connection with these rows, whose cursors `cursorOf` tells. */
export function toConnection<Row>(
  { rows, total, hasNext, hasPrevious }: Listed<Row>,
  cursorOfRow: (row: Row) => string,
): Connection<Row> {
  const edges = rows.map((node) => ({ node, cursor: cursorOfRow(node) }));
  return {
    edges,
    pageInfo: {
      hasNextPage: hasNext,
      hasPreviousPage: hasPrevious,
      startCursor: edges[0]?.cursor ?? null,
      endCursor: edges.at(-1)?.cursor ?? null,
    },
    count: total,
  };
}

/**
 * Answers a connection field.
 * @param options.typeName of the nodes; their global ids are the cursors.
 * @param options.load one page; asked for no more than the document selects.
 * @throws BackendError InvalidAPIParameters for wrong arguments.
 */
export async function connectionField<Row>(
  args: ConnectionArguments,
  context: GraphqlContext,
  info: GraphQLResolveInfo,
  options: {
    readonly typeName: string;
    readonly idOf: (row: Row) => string;
    readonly load: (wish: PageWish) => Promise<Listed<Row>>;
  },
): Promise<Connection<Row>> {
  const wish = pageWish(connectionPage(args, context.limits.maxConnectionRows), info);
  const { typeName, idOf } = options;
  return toConnection(await options.load(wish), (row) => globalId(typeName, idOf(row)));
}

/**
 * Answers connection fields of many parents in the queries of one.
 * @param options.load the pages of the parents' lists, by parent.
 */
export function nestedConnection<Row, Args extends ConnectionArguments>(options: {
  readonly typeName: string;
  readonly idOf: (row: Row) => string;
  readonly load: (
    context: GraphqlContext,
    parentIds: readonly string[],
    args: Args,
    wish: PageWish,
  ) => Promise<ReadonlyMap<string, Listed<Row>>>;
}) {
  const { typeName, idOf, load } = options;
  const listed = batchedByField<string, Listed<Row>, Args>((parentIds, context, args, info) => {
    const wish = pageWish(connectionPage(args, context.limits.maxConnectionRows), info);
    return load(context, parentIds, args, wish);
  });
  return async (
    context: GraphqlContext,
    parentId: string,
    args: Args,
    info: GraphQLResolveInfo,
  ): Promise<Connection<Row> | null> => {
    const page = await listed(context, parentId, args, info);
    return page && toConnection(page, (row) => globalId(typeName, idOf(row)));
  };
}
