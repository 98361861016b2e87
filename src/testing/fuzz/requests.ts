/** Requests to every REST operation and GraphQL root field with random input, and hostile documents. */
import fc from 'fast-check';
import { isNonNullType } from 'graphql';
import { type RootField, rootFields, selection } from '../graphql-documents.ts';
import { type RestOperation, restOperations } from '../rest-requests.ts';
import { inputFor, MAX_URL_TEXT, objectFor, valueFor } from './values.ts';

export interface FuzzRequest {
  /** What it is aimed at, e.g. `POST /session` or `mutation.create_user`. */
  readonly name: string;
  readonly method: string;
  readonly target: string;
  /** The body's text; undefined for none. */
  readonly body: string | undefined;
}

export interface FuzzTarget {
  readonly name: string;
  /** Requests with texts from `texts`. */
  requests(texts: fc.Arbitrary<string>): fc.Arbitrary<FuzzRequest>;
}

const toText = (value: unknown): string => {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
  return text.slice(0, MAX_URL_TEXT).toWellFormed();
};

const serialise = (body: unknown): string => JSON.stringify(body) ?? '';

/** A body that is not even JSON, or none where one is needed. */
const broken = fc.constantFrom('', '{', '[1,', 'null', '"text"', '\u0000', '{"a":}', '[]', '1');

function restTarget({ name, method, path, operation }: RestOperation): FuzzTarget {
  const schema = operation.requestBody?.content['application/json']?.schema;
  return {
    name,
    requests(texts) {
      const parameters = operation.parameters.map((parameter) =>
        fc.tuple(
          fc.constant(parameter),
          valueFor(parameter.schema, texts),
          fc.integer({ min: 0, max: 9 }),
        ),
      );
      const body =
        schema === undefined
          ? fc.constant(undefined)
          : fc.oneof(
              { weight: 19, arbitrary: objectFor(schema, texts).map(serialise) },
              { weight: 1, arbitrary: broken },
            );
      return fc.tuple(fc.tuple(...parameters), body).map(([given, text]) => {
        let target = path;
        const query = new URLSearchParams();
        for (const [parameter, value, chance] of given) {
          if (parameter.in === 'path') {
            // An empty segment names another operation.
            const segment = encodeURIComponent(toText(value)) || '%20';
            target = target.replace(`{${parameter.name}}`, segment);
          } else if (parameter.required ? chance > 0 : chance > 4) {
            for (const one of Array.isArray(value) ? value.slice(0, 8) : [value]) {
              query.append(parameter.name, toText(one));
            }
          }
        }
        const search = query.size > 0 ? `?${query}` : '';
        return { name, method, target: `${target}${search}`.slice(0, 8000), body: text };
      });
    },
  };
}

export const graphqlRequest = (name: string, document: unknown): FuzzRequest => ({
  name,
  method: 'POST',
  target: '/admin/gql',
  body: serialise(document),
});

function graphqlTarget(root: RootField): FuzzTarget {
  const { kind, name, field } = root;
  return {
    name: `${kind}.${name}`,
    requests(texts) {
      const args = field.args.map((arg) =>
        fc.tuple(
          fc.constant(arg),
          inputFor(arg.name, arg.type, texts),
          fc.integer({ min: 0, max: 9 }),
        ),
      );
      return fc.tuple(fc.tuple(...args), fc.integer({ min: 0, max: 3 })).map(([given, depth]) => {
        const used = given.filter(([arg, , chance]) => isNonNullType(arg.type) || chance > 4);
        const declared = used.map(([arg]) => `$${arg.name}: ${arg.type}`);
        const passed = used.map(([arg]) => `${arg.name}: $${arg.name}`);
        const inside = (list: string[]) => (list.length > 0 ? `(${list.join(', ')})` : '');
        const selected = selection(field.type, depth) ?? ' { __typename }';
        const query = `${kind} Fuzz${inside(declared)} { ${name}${inside(passed)}${selected} }`;
        const variables = Object.fromEntries(used.map(([arg, value]) => [arg.name, value]));
        return graphqlRequest(`${kind}.${name}`, { query, variables });
      });
    },
  };
}

const deep = (levels: number): string =>
  `{ user ${'{ groups '.repeat(levels)}${'}'.repeat(levels)} }`;
const fragments = Array.from(
  { length: 30 },
  (_, i) => `fragment F${i} on User { ...F${i + 1} ...F${i + 1} }`,
).join(' ');

/** Documents that are made to cost: deep, wide, cyclic, exponential, endless. */
const DOCUMENTS = [
  ...[deep(50), deep(20_000), `{ ${'a: user { email } '.repeat(5000)} }`],
  `{ ${Array.from({ length: 2000 }, (_, i) => `a${i}: users { email }`).join(' ')} }`,
  `{ user { ...F0 } } ${fragments} fragment F30 on User { email }`,
  '{ user { ...A } } fragment A on User { ...B } fragment B on User { ...A }',
  ...[
    '{',
    '',
    '\u0000',
    'query',
    '{ __schema { types { name } } }',
    '{ nosuch }',
    'mutation { a }',
  ],
  ...[
    '{ user(email: "\\ud800") { email } }',
    `{ user(email: "${'x'.repeat(300_000)}") { email } }`,
  ],
  `query ${Array.from({ length: 3000 }, (_, i) => `q${i}: __typename`).join(' ')}`,
  `query Q(${Array.from({ length: 2000 }, (_, i) => `$v${i}: String`).join(', ')}) { __typename }`,
  `{ user ${'@include(if: true) '.repeat(1000)} { email } }`,
  `{ user_list(limit: 1, offset: 0, filter: "${'('.repeat(50_000)}") { total_count } }`,
];

const hostileDocuments: FuzzTarget = {
  name: 'hostile documents',
  requests: () =>
    fc.constantFrom(...DOCUMENTS).map((query) => graphqlRequest('hostile document', { query })),
};

/**
 * Everything that can be asked. Streams and uploads have inputs of their own kind, and an accepted
 * change of the cluster's status would have all others refused.
 */
export const fuzzTargets: readonly FuzzTarget[] = [
  ...restOperations
    .filter(({ name, operation }) => !operation['x-websocket'] && name !== 'PUT /manager/status')
    .map(restTarget),
  ...rootFields.map(graphqlTarget),
  hostileDocuments,
];
