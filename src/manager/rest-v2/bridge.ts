/** Runs a root field of the GraphQL schema for an HTTP operation that says the same in other words. */
import { type GraphQLField, getNamedType, isObjectType } from 'graphql';
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { isProblemName, problems } from '../../common/problems.ts';
import type { GraphqlCaller } from '../graphql/context.ts';
import type { GraphqlEngine } from '../graphql/engine.ts';
import { amended } from './amend.ts';
import { fromAnswer, toArgument } from './convert.ts';
import { selectionOf, wholeSelectionOf } from './selection.ts';

const rowWithLists = v.record(v.string(), v.unknown());

type Kind = 'query' | 'mutation';
type RootField = GraphQLField<unknown, unknown>;

const answered = v.object({
  data: v.nullable(v.record(v.string(), v.unknown())),
  errors: v.nullable(
    v.array(
      v.object({
        message: v.string(),
        extensions: v.optional(v.object({ code: v.optional(v.string()) })),
      }),
    ),
  ),
});
const connection = v.object({
  count: v.number(),
  pageInfo: v.object({ hasNextPage: v.boolean(), hasPreviousPage: v.boolean() }),
  edges: v.array(v.object({ node: v.unknown() })),
});

/** @throws Error when the schema has no such field, which is a mistake of ours. */
function rootField({ schema }: GraphqlEngine, kind: Kind, name: string): RootField {
  const root = kind === 'query' ? schema.getQueryType() : schema.getMutationType();
  const field = root?.getFields()[name];
  if (field === undefined) throw new Error(`the schema has no field '${name}'`);
  return field;
}

/** A root field whose answer is a list, or has one. */
export interface ListOf {
  readonly field: string;
  readonly list?: string | undefined;
}

/** The list in the row that a field tells. */
function listIn(field: RootField, name: string) {
  const row = getNamedType(field.type);
  const list = isObjectType(row) ? row.getFields()[name] : undefined;
  if (list === undefined) throw new Error(`'${field.name}' has no list '${name}'`);
  return list;
}

function nodeTypeOf(field: RootField) {
  const type = getNamedType(field.type);
  const edges = isObjectType(type) && type.getFields().edges;
  const edge = edges && getNamedType(edges.type);
  const node = edge && isObjectType(edge) && edge.getFields().node;
  if (!node) throw new Error(`'${field.name}' is no list`);
  return node.type;
}

/** The problem that a failure's error code stands for; the texts are made for clients. */
function toProblem(message: string, code: string | undefined): BackendError {
  if (code?.endsWith('_forbidden')) return new BackendError('GenericForbidden', message);
  if (code?.endsWith('_not-found')) return new BackendError('ObjectNotFound', message);
  // Several problems may have a code, of which none is worse than the others.
  const own = Object.keys(problems)
    .filter(isProblemName)
    .find((name) => problems[name].code === code);
  return new BackendError(own ?? 'InvalidAPIParameters', message);
}

/** What of `given` a field takes: how a document declares and passes it, and the values. */
function argumentsFor(field: RootField, given: Readonly<Record<string, unknown>>) {
  const wanted = field.args.filter((arg) => given[arg.name] != null);
  const passed = wanted.map((arg) => `${arg.name}: $${arg.name}`).join(', ');
  return {
    variables: Object.fromEntries(
      wanted.map((arg) => [arg.name, toArgument(given[arg.name], arg.type, arg.name)]),
    ),
    declared: wanted.map((arg) => `$${arg.name}: ${arg.type}`),
    passed: passed && `(${passed})`,
  };
}

/**
 * @param inner the list of the row that the field tells.
 * @throws BackendError for what the field refuses.
 */
async function ask(
  engine: GraphqlEngine,
  caller: GraphqlCaller,
  kind: Kind,
  field: RootField,
  given: Readonly<Record<string, unknown>>,
  selection: string,
  inner?: { readonly list: RootField; readonly page: Readonly<Record<string, unknown>> },
): Promise<unknown> {
  const outer = argumentsFor(field, given);
  const within = inner && argumentsFor(inner.list, inner.page);
  const all = [outer, ...(within ? [within] : [])];
  const variables = Object.assign({}, ...all.map((each) => each.variables));
  const declared = all.flatMap((each) => each.declared).join(', ');
  const chosen = inner ? `{ ${inner.list.name}${within?.passed} ${selection} }` : selection;
  const query = `${kind}${declared && `(${declared})`} {
    ${field.name}${outer.passed} ${chosen}
  }`;
  const response = await engine.handle({ query, variables }, caller);
  const { data, errors } = v.parse(answered, await response.json());
  const [failure] = errors ?? [];
  if (failure) throw toProblem(failure.message, failure.extensions?.code);
  return data?.[field.name] ?? null;
}

/** One row, or null when there is none that the caller may see. */
export async function tellOne(
  engine: GraphqlEngine,
  caller: GraphqlCaller,
  fieldName: string,
  given: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  const field = rootField(engine, 'query', fieldName);
  const row = await ask(engine, caller, 'query', field, given, wholeSelectionOf(field.type));
  if (row === null) return null;
  const [told] = await amended(caller, field.name, [fromAnswer(row, field.type)]);
  return told;
}

/** What the newer search operations take: a page by offset or by cursor. */
export const searchBody = v.object({
  filter: v.nullish(v.record(v.string(), v.unknown())),
  order: v.nullish(v.array(v.record(v.string(), v.unknown()))),
  limit: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1000))),
  offset: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0))),
  first: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0))),
  last: v.nullish(v.pipe(v.number(), v.integer(), v.minValue(0))),
  after: v.nullish(v.string()),
  before: v.nullish(v.string()),
});
type SearchBody = v.InferOutput<typeof searchBody>;

const DEFAULT_LIMIT = 50;

/** One page. Newer payloads have counts beside the items, older ones in `pagination`. */
export async function tellPage(
  engine: GraphqlEngine,
  caller: GraphqlCaller,
  { field: fieldName, list: listName }: ListOf,
  place: Readonly<Record<string, unknown>>,
  { filter, order, ...body }: SearchBody,
) {
  const byCursor = body.first != null || body.last != null;
  const limit = byCursor ? null : (body.limit ?? DEFAULT_LIMIT);
  const offset = byCursor ? null : (body.offset ?? 0);
  const field = rootField(engine, 'query', fieldName);
  const list = listName === undefined ? field : listIn(field, listName);
  const nodeType = nodeTypeOf(list);
  const selection = `{ count pageInfo { hasNextPage hasPreviousPage }
    edges { node ${selectionOf(nodeType)} } }`;
  const page = { ...body, filter, orderBy: order, limit, offset };
  const answer =
    listName === undefined
      ? await ask(engine, caller, 'query', field, { ...place, ...page }, selection)
      : await ask(engine, caller, 'query', field, place, selection, { list, page });
  if (answer === null) throw new BackendError('ObjectNotFound', 'There is nothing of this name.');
  const told = listName === undefined ? answer : v.parse(rowWithLists, answer)[listName];
  const { count, pageInfo, edges } = v.parse(connection, told);
  const rows = edges.map(({ node }) => fromAnswer(node, nodeType));
  return {
    items: await amended(caller, `${field.name}${listName ? `.${listName}` : ''}`, rows),
    total_count: count,
    has_next_page: pageInfo.hasNextPage,
    has_previous_page: pageInfo.hasPreviousPage,
    pagination: { total: count, offset: offset ?? 0, limit },
  };
}

const payload = v.looseObject({});
/** Rows in payloads of mutations, and the field that tells the same rows. */
const ROWS: Readonly<Record<string, string>> = {
  vfolder: 'vfolderV2',
  resource_group: 'adminResourceGroupV2',
};

/** Runs a mutation. @returns its payload. */
export async function runChange(
  engine: GraphqlEngine,
  caller: GraphqlCaller,
  mutation: string,
  given: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  const field = rootField(engine, 'mutation', mutation);
  const selection = wholeSelectionOf(field.type);
  const answer = await ask(engine, caller, 'mutation', field, given, selection);
  const told = v.parse(payload, fromAnswer(answer, field.type));
  for (const [key, row] of Object.entries(told)) {
    const rowField = ROWS[key];
    if (rowField !== undefined) [told[key]] = await amended(caller, rowField, [row]);
  }
  return told;
}
