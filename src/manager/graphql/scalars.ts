/** The scalars of the schema and how their values look on the wire. */
import { GraphQLError, GraphQLInt, GraphQLScalarType, Kind, type ValueNode } from 'graphql';
import { normalizeUuid } from '../../common/ids.ts';
import { isoTime } from '../../common/time.ts';
import { rawIdOf } from './global-id.ts';

const invalid = (name: string, value: unknown): GraphQLError =>
  new GraphQLError(`${name} cannot represent the value ${JSON.stringify(value) ?? String(value)}.`);

/** A scalar whose literals are the same texts as its variables. */
function textScalar<T>(
  name: string,
  description: string,
  parse: (text: string) => T | undefined,
  serialize: (value: unknown) => string | undefined,
): GraphQLScalarType<T, string> {
  const read = (value: unknown): T => {
    const parsed = typeof value === 'string' ? parse(value) : undefined;
    if (parsed === undefined) throw invalid(name, value);
    return parsed;
  };
  return new GraphQLScalarType({
    name,
    description,
    parseValue: read,
    parseLiteral: (node) => read(node.kind === Kind.STRING ? node.value : null),
    serialize: (value) => {
      const text = serialize(value);
      if (text === undefined) throw invalid(name, value);
      return text;
    },
  });
}

const NIL_UUID = '00000000-0000-0000-0000-000000000000';

/**
 * An empty text names nothing, as the nil UUID does: the WebUI sends it in variables of fields that
 * it leaves out.
 */
const uuid = textScalar(
  'UUID',
  'A UUID: lower case with dashes.',
  (text) => (text === '' ? NIL_UUID : (normalizeUuid(text) ?? undefined)),
  (value) => (typeof value === 'string' ? (normalizeUuid(value) ?? undefined) : undefined),
);

function readDate(text: string): Date | undefined {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

const dateTime = textScalar(
  'DateTime',
  'ISO-8601 with microseconds and a numeric offset.',
  readDate,
  (value) => {
    const date = typeof value === 'string' ? readDate(value) : value;
    return date instanceof Date ? isoTime(date) : undefined;
  },
);

const jsonString = textScalar<unknown>(
  'JSONString',
  'A string that holds JSON text.',
  (text) => {
    try {
      return JSON.parse(text);
    } catch {
      return undefined;
    }
  },
  (value) => JSON.stringify(value),
);

function readBigInt(value: unknown): number {
  const number = typeof value === 'string' && /^[+-]?\d+$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isSafeInteger(number)) throw invalid('BigInt', value);
  return number;
}

const bigInt = new GraphQLScalarType({
  name: 'BigInt',
  description: 'An integer of up to 53 bits, as a JSON number.',
  serialize: (value) => readBigInt(typeof value === 'bigint' ? value.toString() : value),
  parseValue: readBigInt,
  parseLiteral: (node) => readBigInt(node.kind === Kind.INT ? node.value : null),
});

/**
 * The newer schema gives sizes in bytes this type, though they may be larger than its 32 bits. What
 * JavaScript holds exactly is sent; what clients send is read as ever.
 */
const int = new GraphQLScalarType({
  ...GraphQLInt.toConfig(),
  serialize: (value) => (Number.isSafeInteger(value) ? value : GraphQLInt.serialize(value)),
});

function readDecimal(value: unknown): string {
  const text = typeof value === 'number' ? String(value) : value;
  if (typeof text === 'string' && /^[+-]?(\d+(\.\d*)?|\.\d+|Infinity)$/.test(text.trim())) {
    return text.trim();
  }
  throw invalid('Decimal', value);
}

const decimal = new GraphQLScalarType<string, string>({
  name: 'Decimal',
  description: 'A decimal number as text; may be Infinity. Numbers are read too.',
  parseValue: readDecimal,
  parseLiteral: (node) => readDecimal('value' in node ? node.value : null),
  serialize(value) {
    if (typeof value !== 'string') throw invalid('Decimal', value);
    return value;
  },
});

function literalValue(node: ValueNode, variables: Readonly<Record<string, unknown>>): unknown {
  switch (node.kind) {
    case Kind.NULL:
      return null;
    case Kind.INT:
    case Kind.FLOAT:
      return Number(node.value);
    case Kind.STRING:
    case Kind.BOOLEAN:
    case Kind.ENUM:
      return node.value;
    case Kind.LIST:
      return node.values.map((item) => literalValue(item, variables));
    case Kind.OBJECT:
      return Object.fromEntries(
        node.fields.map(({ name, value }) => [name.value, literalValue(value, variables)]),
      );
    case Kind.VARIABLE:
      return variables[node.name.value];
  }
}

const json = new GraphQLScalarType({
  name: 'JSON',
  description: 'Any JSON value.',
  serialize: (value) => value,
  parseValue: (value) => value,
  parseLiteral: (node, variables) => literalValue(node, variables ?? {}),
});

const CALENDAR_DAY = /^\d{4}-\d{2}-\d{2}$/;

const date = textScalar(
  'Date',
  'A calendar day: YYYY-MM-DD.',
  (text) => (CALENDAR_DAY.test(text) && readDate(text) !== undefined ? text : undefined),
  (value) => (typeof value === 'string' && CALENDAR_DAY.test(value) ? value : undefined),
);

const bytes = textScalar(
  'Bytes',
  'Bytes in hexadecimal notation.',
  (text) => (/^([0-9a-f]{2})*$/i.test(text) ? new Uint8Array(Buffer.from(text, 'hex')) : undefined),
  (value) => (value instanceof Uint8Array ? Buffer.from(value).toString('hex') : undefined),
);

/** A part of the cluster in which somebody may do something. */
export type Scope =
  | { readonly kind: 'system' }
  | { readonly kind: 'domain'; readonly domainName: string }
  | { readonly kind: 'project'; readonly projectId: string }
  | { readonly kind: 'user'; readonly userId: string };

function parseScope(text: string): Scope | undefined {
  const [kind, id = '', ...rest] = text.split(':');
  if (rest.length > 1) return undefined;
  if (kind === 'system') return { kind };
  if (kind === 'domain' && id !== '' && rest.length === 0) return { kind, domainName: id };
  const uuidText = normalizeUuid(id);
  if (uuidText === null) return undefined;
  if (kind === 'project') return { kind, projectId: uuidText };
  return kind === 'user' ? { kind, userId: uuidText } : undefined;
}

const scope = textScalar<Scope>(
  'ScopeField',
  'system, domain:<name>, project:<uuid> or user:<uuid>.',
  parseScope,
  (value) => (typeof value === 'string' ? value : undefined),
);

/** Read as the raw id, whichever form a client sends. */
const globalIdField = textScalar(
  'GlobalIDField',
  'The id of a node, or its raw id.',
  rawIdOf,
  (value) => (typeof value === 'string' ? value : undefined),
);

/** A scalar with a fixed set of values. */
export const wordScalar = <Word extends string>(
  name: string,
  words: readonly Word[],
): GraphQLScalarType<Word, string> =>
  textScalar(
    name,
    `One of ${words.join(', ')}.`,
    (text) => words.find((word) => word === text),
    (value) => (typeof value === 'string' ? value : undefined),
  );

export const scalars = {
  Int: int,
  Decimal: decimal,
  UUID: uuid,
  DateTime: dateTime,
  Date: date,
  JSONString: jsonString,
  BigInt: bigInt,
  JSON: json,
  Bytes: bytes,
  GlobalIDField: globalIdField,
  ScopeField: scope,
};
