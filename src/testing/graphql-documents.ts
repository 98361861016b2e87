/** GraphQL documents made from the schema, so that tests reach every root field there is. */
import {
  type GraphQLField,
  type GraphQLInputField,
  type GraphQLInputType,
  type GraphQLObjectType,
  type GraphQLOutputType,
  getNamedType,
  getNullableType,
  isCompositeType,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isListType,
  isNonNullType,
  isObjectType,
  isRequiredArgument,
  isRequiredInputField,
  isScalarType,
  isUnionType,
} from 'graphql';
import { mergeModules } from '../manager/graphql/engine.ts';
import { graphqlModules } from '../manager/main.ts';

export type RootKind = 'query' | 'mutation' | 'subscription';

export interface RootField {
  readonly kind: RootKind;
  readonly name: string;
  readonly field: GraphQLField<unknown, unknown>;
}

const SCHEMA = mergeModules(graphqlModules);

/** Every root field of the schema. */
export const rootFields: readonly RootField[] = (
  [
    ['query', SCHEMA.getQueryType()],
    ['mutation', SCHEMA.getMutationType()],
    ['subscription', SCHEMA.getSubscriptionType()],
  ] as const
).flatMap(([kind, type]) =>
  Object.values(type?.getFields() ?? {}).map((field) => ({ kind, name: field.name, field })),
);

const SAMPLES: Readonly<Record<string, string>> = {
  UUID: '"00000000-0000-4000-8000-000000000000"',
  ID: '"00000000-0000-4000-8000-000000000000"',
  JSONString: '"{}"',
  ContainerRegistryTypeField: '"docker"',
  BigInt: '1',
  Int: '100',
  Float: '1',
  Boolean: 'true',
};

/** The text to pass under a name, of an argument or of a field of an input; undefined for none. */
type TextFor = (name: string, required: boolean) => string | undefined;

/** Pages begin at their start, or there would be nothing on them. */
const START = new Set(['offset', 'after', 'before']);

/** How deep inputs are looked into for fields that name rows; filters nest without end. */
const INPUT_DEPTH = 3;

/** A literal that names a row somewhere inside, with samples beside it; undefined when none does. */
function naming(
  name: string,
  type: GraphQLInputType,
  textFor: TextFor,
  depth = INPUT_DEPTH,
): string | undefined {
  const required = isNonNullType(type);
  const inner = getNullableType(type);
  if (isListType(inner)) {
    const item = naming(name.replace(/s$/, ''), inner.ofType, textFor, depth);
    return item === undefined ? undefined : `[${item}]`;
  }
  if (!isInputObjectType(inner)) {
    const text = isText(inner) ? textFor(name, required) : undefined;
    return text === undefined ? undefined : JSON.stringify(text);
  }
  if (depth === 0) return undefined;
  const fields = Object.values(inner.getFields()).map((field) => ({
    field,
    value: naming(field.name, field.type, textFor, depth - 1),
  }));
  if (fields.every(({ value }) => value === undefined)) return undefined;
  return objectOf(fields);
}

type GivenFields = readonly { field: GraphQLInputField; value: string | undefined }[];

function objectOf(fields: GivenFields): string {
  const parts = fields.flatMap(({ field, value }) => {
    const given = value ?? (isRequiredInputField(field) ? sample(field.name, field.type) : null);
    return given === null ? [] : [`${field.name}: ${given}`];
  });
  return `{ ${parts.join(', ')} }`;
}

/** Scalars and enumerations that no text names a row in. */
const isText = (type: GraphQLInputType): boolean =>
  isScalarType(type) && !['Int', 'Float', 'Boolean', 'BigInt', 'JSONString'].includes(type.name);

/** A literal of the type with whatever is required. */
function sample(name: string, type: GraphQLInputType): string {
  const inner = getNullableType(type);
  if (isListType(inner)) return '[]';
  if (isInputObjectType(inner)) {
    return objectOf(Object.values(inner.getFields()).map((field) => ({ field, value: undefined })));
  }
  if (isEnumType(inner)) return inner.getValues()[0]?.name ?? '';
  return START.has(name) ? '0' : (SAMPLES[inner.name] ?? '"nobody"');
}

const isComposite = (type: GraphQLOutputType): boolean => isCompositeType(getNamedType(type));

/** The plain fields of one type behind an interface, under names of their own. */
function plainFields(type: GraphQLObjectType): string {
  const fields = Object.values(type.getFields()).filter(
    (field) => !isComposite(field.type) && !field.args.some(isRequiredArgument),
  );
  const named = fields.map(({ name }) => `${type.name}_${name}: ${name}`);
  return `... on ${type.name} { __typename ${named.join(' ')} }`;
}

/** All fields without required arguments, objects down to `depth`; null when nothing is left. */
export function selection(type: GraphQLOutputType, depth: number): string | null {
  const named = getNamedType(type);
  if (isUnionType(named))
    return ` { ${SCHEMA.getPossibleTypes(named).map(plainFields).join(' ')} }`;
  if (!isObjectType(named) && !isInterfaceType(named)) return '';
  const parts = Object.values(named.getFields()).flatMap((field) => {
    if (field.args.some(isRequiredArgument)) return [];
    if (isComposite(field.type) && depth === 0) return [];
    const nested = selection(field.type, depth - 1);
    return nested === null ? [] : [`${field.name}${nested}`];
  });
  if (isInterfaceType(named)) parts.push(...SCHEMA.getPossibleTypes(named).map(plainFields));
  return parts.length === 0 ? null : ` { ${parts.join(' ')} }`;
}

/** How deep results are looked into: a page, its nodes, and what hangs on them. */
const DEPTH = 3;

/** A document that asks one root field; arguments that `textFor` does not know are samples. */
export function documentOf({ kind, name, field }: RootField, textFor: TextFor): string {
  const args = field.args.flatMap((arg) => {
    const given = naming(arg.name, arg.type, textFor);
    const value = given ?? (isRequiredArgument(arg) ? sample(arg.name, arg.type) : null);
    return value === null ? [] : [`${arg.name}: ${value}`];
  });
  const call = args.length > 0 ? `${name}(${args.join(', ')})` : name;
  return `${kind} { ${call}${selection(field.type, DEPTH) ?? ' { __typename }'} }`;
}
