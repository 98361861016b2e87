/**
 * Declares operations with typed input: what `takes` names is read and parsed before the handler,
 * which therefore can neither use anything undeclared nor forget a check.
 */
import * as v from 'valibot';
import { parseInput, queryValues } from './body.ts';
import type {
  AuthenticatedRequest,
  Operation,
  RawInput,
  Route,
  RouteRequest,
  RouteResult,
  SocketPeer,
  SocketRoute,
  Takes,
} from './route.ts';

type DeclaredTakes = Takes & v.ObjectEntries;

/** The parsed input of an operation: the same keys as in its `takes`. */
export type Input<T extends DeclaredTakes> = v.InferOutput<v.ObjectSchema<T, undefined>>;

/** An operation as a feature writes it down; `takes: {}` when it takes nothing. */
type Declared<T extends DeclaredTakes> = Omit<Operation, 'takes'> & { readonly takes: T };

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Fields from the body, the query or both. A body that is no object is left for the schema to refuse. */
async function eitherFields(
  { query, json }: RawInput,
  repeats: readonly string[],
): Promise<unknown> {
  const body = await json({ optional: true });
  if (body === undefined) return queryValues(query, repeats);
  return isObject(body) ? { ...queryValues(query, repeats), ...body } : body;
}

/** A value of a JSON body as it would stand in a query. */
function queryText(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(queryText);
  return ['number', 'boolean'].includes(typeof value) ? String(value) : value;
}

/**
 * A query's values. Upstream's Python client sends those of a GET as a JSON body, in which null is
 * what was not given.
 */
async function queryOrBody(
  { query, json }: RawInput,
  repeats: readonly string[],
): Promise<unknown> {
  const body = await json({ optional: true });
  if (body === undefined) return queryValues(query, repeats);
  if (!isObject(body)) return body;
  const given = Object.entries(body).filter(([, value]) => value !== null);
  const values = given.map(([name, value]) => [name, queryText(value)]);
  return { ...Object.fromEntries(values), ...queryValues(query, repeats) };
}

/** Reads what `takes` names, in the order in which clients are told of mistakes. */
function inputReader<T extends DeclaredTakes>({
  takes,
  repeats = [],
  method,
}: Pick<Declared<T>, 'takes'> & Partial<Pick<Declared<T>, 'repeats' | 'method'>>): (
  raw: RawInput,
) => Promise<Input<T>> {
  const schema = v.object(takes);
  const readQuery = (raw: RawInput) =>
    method === 'GET' ? queryOrBody(raw, repeats) : queryValues(raw.query, repeats);
  return async (raw) => {
    const given: Record<keyof Takes, unknown> = {
      params: raw.params,
      query: takes.query && (await readQuery(raw)),
      body: takes.body && (await raw.json()),
      fields: takes.fields && (await eitherFields(raw, repeats)),
    };
    return parseInput(schema, given);
  };
}

/** An operation of those who sign their requests. */
export function route<T extends DeclaredTakes>(
  declared: Declared<T> & { readonly auth: 'user' | 'admin' | 'superadmin' },
  handler: (request: AuthenticatedRequest, input: Input<T>) => Promise<RouteResult>,
): Route {
  const read = inputReader(declared);
  return {
    ...declared,
    handler: async (request: AuthenticatedRequest, raw: RawInput) =>
      handler(request, await read(raw)),
  };
}

/** An operation of anybody. */
export function publicRoute<T extends DeclaredTakes>(
  declared: Declared<T>,
  handler: (request: RouteRequest, input: Input<T>) => Promise<RouteResult>,
): Route {
  const read = inputReader(declared);
  return {
    ...declared,
    auth: 'none',
    handler: async (request, raw) => handler(request, await read(raw)),
  };
}

/** An operation over a WebSocket. */
export function socketRoute<T extends DeclaredTakes>(
  declared: Pick<Declared<T>, 'path' | 'gate' | 'summary' | 'takes'> &
    Pick<SocketRoute, 'auth' | 'protocol'>,
  handler: (request: AuthenticatedRequest, input: Input<T>, peer: SocketPeer) => Promise<void>,
): SocketRoute {
  const read = inputReader(declared);
  return {
    ...declared,
    accept: async (raw) => {
      const input = await read(raw);
      return (request, peer) => handler(request, input, peer);
    },
  };
}
