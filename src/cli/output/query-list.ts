/** Lists that are one GraphQL root field `xxx_list(limit, offset, filter, order, …)`. */
import * as v from 'valibot';
import type { Client } from '../../client/index.ts';
import { type Field, type Item, selection } from './fields.ts';
import type { Page } from './results.ts';

const page = v.object({
  items: v.array(v.nullable(v.record(v.string(), v.unknown()))),
  total_count: v.number(),
});

export interface ListQuery {
  /** Name of the root field. */
  readonly root: string;
  readonly fields: readonly Field[];
  /** Further arguments: GraphQL type and value by name. */
  readonly variables: Readonly<Record<string, readonly [type: string, value: unknown]>>;
}

/** @throws ApiError, ConnectionError. */
export async function fetchListPage(
  client: Client,
  query: ListQuery,
  offset: number,
  limit: number,
): Promise<Page> {
  const given = Object.entries(query.variables).filter(([, [, value]]) => value !== undefined);
  const declarations = given.map(([name, [type]]) => `, $${name}: ${type}`).join('');
  const passed = given.map(([name]) => `, ${name}: $${name}`).join('');
  const document =
    `query($limit: Int!, $offset: Int!${declarations}) {\n` +
    `  ${query.root}(limit: $limit, offset: $offset${passed}) {\n` +
    `    items { ${selection(query.fields)} }\n    total_count\n  }\n}`;
  const variables = Object.fromEntries(given.map(([name, [, value]]) => [name, value]));
  const answer = await client.graphql.query(v.object({ [query.root]: page }), document, {
    ...variables,
    limit,
    offset,
  });
  const found = answer[query.root];
  const items: Item[] = found?.items.filter((item) => item !== null) ?? [];
  return { items, total: found?.total_count ?? 0 };
}
