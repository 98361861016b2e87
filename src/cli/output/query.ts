/** What commands ask of GraphQL: one item, a whole list, or a page of a list. */
import * as v from 'valibot';
import type { Client } from '../../client/index.ts';
import { type Field, type Item, selection } from './fields.ts';
import type { Page } from './results.ts';

/** Arguments of a root field: GraphQL type and value by name. Undefined ones are left out. */
export type Variables = Readonly<Record<string, readonly [type: string, value: unknown]>>;

export interface Query {
  /** Name of the root field. */
  readonly root: string;
  readonly fields: readonly Field[];
  readonly variables?: Variables;
}

const item = v.record(v.string(), v.unknown());
const page = v.object({ items: v.array(v.nullable(item)), total_count: v.number() });

/** A document with one root field, and its variables. */
export function documentOf(
  kind: 'query' | 'mutation',
  root: string,
  variables: Variables,
  body: string,
): { document: string; values: Record<string, unknown> } {
  const given = Object.entries(variables).filter(([, [, value]]) => value !== undefined);
  const list = (one: (name: string, type: string) => string) =>
    given.length === 0 ? '' : `(${given.map(([name, [type]]) => one(name, type)).join(', ')})`;
  const declared = list((name, type) => `$${name}: ${type}`);
  const passed = list((name) => `${name}: $${name}`);
  return {
    document: `${kind}${declared} { ${root}${passed} { ${body} } }`,
    values: Object.fromEntries(given.map(([name, [, value]]) => [name, value])),
  };
}

async function ask<S extends v.GenericSchema>(
  client: Client,
  { root, variables = {} }: Query,
  body: string,
  schema: S,
): Promise<v.InferOutput<S>> {
  const { document, values } = documentOf('query', root, variables, body);
  return await client.graphql.field(root, schema, document, values);
}

/** @throws ApiError, ConnectionError. */
export const fetchItem = (client: Client, query: Query): Promise<Item | null> =>
  ask(client, query, selection(query.fields), v.nullable(item));

/** A list that the server hands out as a whole. @throws ApiError, ConnectionError. */
export async function fetchItems(client: Client, query: Query): Promise<Item[]> {
  const schema = v.nullable(v.array(v.nullable(item)));
  const items = await ask(client, query, selection(query.fields), schema);
  return items?.filter((one) => one !== null) ?? [];
}

/** A page of `xxx_list(limit, offset, …)`. @throws ApiError, ConnectionError. */
export async function fetchListPage(
  client: Client,
  query: Query,
  offset: number,
  limit: number,
): Promise<Page> {
  const variables = {
    ...query.variables,
    limit: ['Int!', limit],
    offset: ['Int!', offset],
  } as const;
  const body = `items { ${selection(query.fields)} } total_count`;
  const found = await ask(client, { ...query, variables }, body, v.nullable(page));
  const items = found?.items.filter((one) => one !== null) ?? [];
  return { items, total: found?.total_count ?? 0 };
}
