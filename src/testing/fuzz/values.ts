/** Values for requests: of the right shape, nearly so, and hostile. */
import fc from 'fast-check';
import {
  type GraphQLInputType,
  getNullableType,
  isEnumType,
  isInputObjectType,
  isListType,
  isNonNullType,
} from 'graphql';
import { readSchema } from '../rest-requests.ts';

/** Longest text in a URL: beyond, the server's own limit of a request line answers. */
export const MAX_URL_TEXT = 2000;

const MEGABYTE = 'x'.repeat(1024 * 1024);

/** Attempts on SQL, on the filter language and on whoever joins texts; and what breaks encodings. */
const ATTACKS = [
  ...[
    "'; DROP TABLE users; --",
    "' OR '1'='1",
    '" OR ""="',
    '1) UNION SELECT password FROM users--',
  ],
  ...['$1', '%s', '{{7*7}}', '%00', '%', '_', '\\', "\\'", '\u0000', 'a\u0000b', '\ud800'],
  ...[
    '😀',
    'ｆｕｌｌ',
    'عربى',
    '\u202e',
    'ß'.repeat(300),
    '\r\nX-Injected: 1',
    '<script>',
    '__proto__',
  ],
  ...[
    'constructor',
    'toString',
    '../../etc/passwd',
    '/',
    '.',
    '..',
    'null',
    'undefined',
    'true',
    '',
  ],
  ...[' ', '-1', '0', '1e999', '9'.repeat(400), 'NaN', '2026-99-99', '*', '_', 'nobody'],
  ...['00000000-0000-4000-8000-000000000000', 'VXNlck5vZGU6eA==', 'RG9tYWluTm9kZTo=', '===='],
];

const FILTERS = [
  ...['name == "x"', 'name ilike "%a%"', 'status == "RUNNING"', 'created_at > "2020-01-01"'],
  ...['name == "x" & (name != "y" | name == "z")', 'name in ["a", "b"]', 'id contains "a"'],
  ...['name == "', 'name = = "x"', '((((((((((', 'name == "x" OR 1=1', 'password == "x"'],
  ...['name == "x"; DROP TABLE users', 'secret_key like "%"', 'name == 1e999', 'name == null'],
  ...['!(name == "x")', 'created_at > "yesterday"', 'domain_name == "elsewhere" | true'],
  `${'('.repeat(5000)}name == "x"${')'.repeat(5000)}`,
  Array.from({ length: 2000 }, () => 'name == "x"').join(' | '),
];
const ORDERS = ['name', '-name', '+created_at,-name', 'password', 'name; DROP', ',', '--name'];

const NUMBERS = [
  ...[0, -0, 1, -1, 2, 100, 1001, 0.5, 2 ** 31, -(2 ** 31) - 1, 2 ** 32, 2 ** 53, 2 ** 63, 1e21],
  ...[1e308, -1e308, 5e-324],
];

const nested = (depth: number): unknown => {
  let value: unknown = 'core';
  for (let level = 0; level < depth; level += 1) value = level % 2 === 0 ? [value] : { a: value };
  return value;
};

/** Texts for a role: names of rows, its own and others', among attacks. */
export const textsNaming = (names: readonly string[]): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...names) },
    { weight: 6, arbitrary: fc.constantFrom(...ATTACKS) },
    { weight: 2, arbitrary: fc.constantFrom(...FILTERS) },
    { weight: 3, arbitrary: fc.string({ maxLength: 80, unit: 'binary' }) },
    { weight: 3, arbitrary: fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/) },
  );

/** Anything that JSON can carry, where something else is expected. */
const anything = (texts: fc.Arbitrary<string>): fc.Arbitrary<unknown> =>
  fc.oneof(
    texts,
    fc.constantFrom<unknown>(...NUMBERS),
    fc.constantFrom<unknown>(null, true, false, [], {}, [[]], [null], { '': '' }),
    fc.constantFrom(nested(20), nested(2000)),
    { weight: 1, arbitrary: fc.constant(MEGABYTE) },
    fc.array(texts, { maxLength: 200 }),
    fc.jsonValue({ maxDepth: 3 }),
  );

const mostly = (right: fc.Arbitrary<unknown>, wrong: fc.Arbitrary<unknown>) =>
  fc.oneof({ weight: 9, arbitrary: right }, { weight: 1, arbitrary: wrong });

function fitting(raw: unknown, texts: fc.Arbitrary<string>): fc.Arbitrary<unknown> {
  const schema = readSchema(raw);
  const listed = schema.const === undefined ? (schema.enum ?? schema.examples) : [schema.const];
  if (listed !== undefined && listed.length > 0) return fc.constantFrom(...listed);
  if (schema.anyOf !== undefined) {
    return fc.oneof(...schema.anyOf.map((option) => fitting(option, texts)));
  }
  switch (schema.type) {
    case 'string':
      return schema.format === 'uuid' ? fc.oneof(fc.uuid(), texts) : texts;
    case 'integer':
      return fc.oneof(fc.integer({ min: schema.minimum ?? -10, max: schema.maximum ?? 1000 }));
    case 'number':
      return fc.oneof(fc.integer({ min: -10, max: 1000 }), fc.constantFrom(...NUMBERS));
    case 'boolean':
      return fc.boolean();
    case 'array':
      return fc.array(valueFor(schema.items ?? {}, texts), { maxLength: 4 });
    case 'null':
      return fc.constant(null);
    case 'object':
      return objectFor(raw, texts);
    default:
      return anything(texts);
  }
}

/** A value for a JSON schema: mostly one that fits. */
export const valueFor = (raw: unknown, texts: fc.Arbitrary<string>): fc.Arbitrary<unknown> =>
  mostly(fitting(raw, texts), anything(texts));

/** An object for a JSON schema: fields there or not, one or the other that nobody asked for. */
export function objectFor(raw: unknown, texts: fc.Arbitrary<string>): fc.Arbitrary<unknown> {
  const { properties = {}, required = [] } = readSchema(raw);
  const fields = Object.entries(properties).map(([name, property]) => {
    const there = required.includes(name) ? 19 : 8;
    const value = valueFor(property, texts);
    return fc.oneof(
      { weight: there, arbitrary: value.map((given) => [[name, given]] as const) },
      { weight: 20 - there, arbitrary: fc.constant([] as const) },
    );
  });
  const strange = fc.oneof(
    { weight: 9, arbitrary: fc.constant([] as const) },
    { weight: 1, arbitrary: anything(texts).map((given) => [['__proto__', given]] as const) },
  );
  return fc.tuple(...fields, strange).map((parts) => Object.fromEntries(parts.flat()));
}

/** How deep inputs are filled in; filters nest without end. */
const INPUT_DEPTH = 4;

const scalars: Readonly<Record<string, (texts: fc.Arbitrary<string>) => fc.Arbitrary<unknown>>> = {
  Int: () => fc.integer({ min: -5, max: 1100 }),
  BigInt: () => fc.constantFrom<unknown>(...NUMBERS, '9'.repeat(30)),
  Float: () => fc.constantFrom<unknown>(...NUMBERS),
  Boolean: () => fc.boolean(),
  JSONString: () => fc.constantFrom('{}', '[]', '{"cpu": "1"}', '{"cpu": "x"}', '{', 'null', '1'),
  UUID: (texts) => fc.oneof(fc.uuid(), texts),
};

function fittingInput(
  name: string,
  type: GraphQLInputType,
  texts: fc.Arbitrary<string>,
  depth: number,
): fc.Arbitrary<unknown> {
  const inner = getNullableType(type);
  if (isListType(inner)) {
    return fc.array(inputFor(name, inner.ofType, texts, depth), { maxLength: 3 });
  }
  if (isEnumType(inner)) return fc.constantFrom(...inner.getValues().map((value) => value.name));
  if (isInputObjectType(inner)) {
    if (depth === 0) return fc.constant({});
    const fields = Object.values(inner.getFields()).map((field) =>
      fc.oneof(
        {
          weight: isNonNullType(field.type) ? 19 : 5,
          arbitrary: inputFor(field.name, field.type, texts, depth - 1).map(
            (given) => [[field.name, given]] as const,
          ),
        },
        { weight: isNonNullType(field.type) ? 1 : 15, arbitrary: fc.constant([] as const) },
      ),
    );
    return fc.tuple(...fields).map((parts) => Object.fromEntries(parts.flat()));
  }
  if (name === 'filter') return fc.oneof(fc.constantFrom(...FILTERS), texts);
  if (name === 'order') return fc.oneof(fc.constantFrom(...ORDERS), texts);
  return scalars[inner.name]?.(texts) ?? texts;
}

/** A value for a GraphQL input: mostly one that fits its type. */
export const inputFor = (
  name: string,
  type: GraphQLInputType,
  texts: fc.Arbitrary<string>,
  depth = INPUT_DEPTH,
): fc.Arbitrary<unknown> => mostly(fittingInput(name, type, texts, depth), anything(texts));
