/**
 * How much of what a real client asks of the GraphQL schema is there: root fields, their arguments
 * (input types included) and the fields that it selects.
 */
import {
  type GraphQLArgument,
  type GraphQLNamedType,
  type GraphQLSchema,
  isEnumType,
  isInputObjectType,
  isInterfaceType,
  isObjectType,
  isUnionType,
} from 'graphql';
import * as v from 'valibot';

const typeNames = v.record(v.string(), v.string());

/** What a client asks for: `webui-usage.json`. Types are spelled as in SDL. */
export const clientUsage = v.strictObject({
  groups: v.record(
    v.string(),
    v.strictObject({
      /** `Query.user` → the arguments that the client passes, and the type of the result. */
      roots: v.record(v.string(), v.strictObject({ args: typeNames, returns: v.string() })),
      /** Type → the fields of it that operations on these roots select. */
      selected: v.record(v.string(), v.array(v.string())),
    }),
  ),
  types: v.record(v.string(), typeNames),
  inputs: v.record(
    v.string(),
    v.union([v.literal('scalar'), v.strictObject({ enum: v.array(v.string()) }), typeNames]),
  ),
});
export type ClientUsage = v.InferOutput<typeof clientUsage>;

interface Count {
  readonly total: number;
  readonly missing: readonly string[];
}

/** Of one group of pages. */
export interface GroupCoverage {
  readonly roots: Count;
  /** Arguments of the roots and all fields and members of their input types. */
  readonly args: Count;
  /** Selected fields, each counted once per type. */
  readonly selections: Count;
}

/** Stricter or laxer nullability is no difference to a client that selects a field. */
const nullable = (type: string): string => type.replaceAll('!', '');

function argumentFits(declared: GraphQLArgument | undefined, sent: string): boolean {
  if (!declared) return false;
  const own = String(declared.type);
  if (nullable(own) !== nullable(sent)) return false;
  return !own.endsWith('!') || sent.endsWith('!') || declared.defaultValue !== undefined;
}

const rootOf = (schema: GraphQLSchema, operation: string) =>
  ({
    Query: schema.getQueryType(),
    Mutation: schema.getMutationType(),
    Subscription: schema.getSubscriptionType(),
  })[operation]?.getFields();

/** The input types that the named ones consist of, themselves included. */
function reachable(names: Iterable<string>, inputs: ClientUsage['inputs']): ReadonlySet<string> {
  const found = new Set<string>();
  const pending = [...names];
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    const input = inputs[name];
    if (found.has(name) || input === undefined || input === 'scalar') continue;
    found.add(name);
    for (const part of Object.values(input)) {
      if (typeof part === 'string') pending.push(baseName(part));
    }
  }
  return found;
}

const baseName = (type: string): string => type.replace(/[[\]!]/g, '');

/** The parts of an input type that a client sends, and whether the schema has each. */
function inputParts(
  type: GraphQLNamedType | undefined,
  wanted: Exclude<ClientUsage['inputs'][string], 'scalar'>,
): [part: string, there: boolean][] {
  if (Array.isArray(wanted.enum)) {
    const members = isEnumType(type) ? type.getValues().map(({ name }) => name) : [];
    return wanted.enum.map((member) => [member, members.includes(member)]);
  }
  const fields = isInputObjectType(type) ? type.getFields() : {};
  return Object.entries(wanted).map(([field, expected]) => [
    field,
    nullable(String(fields[field]?.type)) === nullable(String(expected)),
  ]);
}

function selectionThere(type: GraphQLNamedType | undefined, field: string, expected?: string) {
  if (isUnionType(type)) return field === '__typename';
  if (!isObjectType(type) && !isInterfaceType(type)) return false;
  const declared = type.getFields()[field];
  if (!declared) return false;
  return expected === undefined || nullable(String(declared.type)) === nullable(expected);
}

const counted = (parts: readonly [name: string, there: boolean][]): Count => ({
  total: parts.length,
  missing: parts.filter(([, there]) => !there).map(([name]) => name),
});

/** Compares a schema with what a client asks for. @returns by group, in the order of the usage. */
export function coverageOf(schema: GraphQLSchema, usage: ClientUsage): Map<string, GroupCoverage> {
  const groups = Object.entries(usage.groups).map(([name, { roots, selected }]) => {
    const args: [string, boolean][] = [];
    const inputs = new Set<string>();
    const present: [string, boolean][] = Object.entries(roots).map(([path, root]) => {
      const [operation = '', fieldName = ''] = path.split('.');
      const field = rootOf(schema, operation)?.[fieldName];
      for (const [arg, type] of Object.entries(root.args)) {
        const declared = field?.args.find((one) => one.name === arg);
        args.push([`${path}(${arg}:)`, argumentFits(declared, type)]);
        inputs.add(baseName(type));
      }
      const fits = field && nullable(String(field.type)) === nullable(root.returns);
      return [path, fits === true];
    });
    for (const input of reachable(inputs, usage.inputs)) {
      const wanted = usage.inputs[input];
      if (wanted === undefined || wanted === 'scalar') continue;
      const parts = inputParts(schema.getType(input), wanted);
      args.push(...parts.map(([part, there]): [string, boolean] => [`${input}.${part}`, there]));
    }
    const selections = Object.entries(selected).flatMap(([type, fields]) =>
      fields.map((field): [string, boolean] => [
        `${type}.${field}`,
        selectionThere(schema.getType(type), field, usage.types[type]?.[field]),
      ]),
    );
    const coverage: GroupCoverage = {
      roots: counted(present),
      args: counted(args),
      selections: counted(selections),
    };
    return [name, coverage] as const;
  });
  return new Map(groups);
}
