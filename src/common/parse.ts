/**
 * Parses data from outside. Valibot's `object` and `record` also take lists, of which they read the
 * keys `0`, `1`, …; where an object is meant, a list is a mistake that is told.
 */
import * as v from 'valibot';

type AnySchema = v.GenericSchema<unknown, unknown>;

/** Deeper parts are left to the schema alone, so that one that names itself comes to an end. */
const MAX_DEPTH = 64;

const KEYED = new Set([
  'object',
  'loose_object',
  'strict_object',
  'object_with_rest',
  'record',
  'variant',
]);

interface Misplaced {
  readonly path: readonly v.UnknownPathItem[];
  readonly list: readonly unknown[];
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A part of a schema that is a schema itself. */
const part = (schema: object, name: string): object | null => {
  const value: unknown = Reflect.get(schema, name);
  return typeof value === 'object' && value !== null ? value : null;
};

function within(
  key: string | number,
  input: object,
  schema: object | null,
  value: unknown,
  depth: number,
): Misplaced | null {
  const found = schema && findList(schema, value, depth);
  if (!found) return null;
  const step = { type: 'unknown', origin: 'value', input, key, value } as const;
  return { ...found, path: [step, ...found.path] };
}

/** What every one of the alternatives objects to. */
function inAll(options: readonly unknown[], value: unknown, depth: number): Misplaced | null {
  let first: Misplaced | null = null;
  for (const option of options) {
    const found = isObject(option) ? findList(option, value, depth) : null;
    if (!found) return null;
    first ??= found;
  }
  return first;
}

/** The alternatives that a variant's key leaves for this value. */
function chosen(schema: object, options: readonly unknown[], value: object): unknown[] {
  const key: unknown = Reflect.get(schema, 'key');
  return options.filter((option) => {
    if (typeof key !== 'string' || !isObject(option)) return true;
    const entry = part(part(option, 'entries') ?? {}, key);
    const literal: unknown = entry && Reflect.get(entry, 'literal');
    return literal === undefined || literal === null || literal === Reflect.get(value, key);
  });
}

function inMembers(schema: object, value: object, depth: number): Misplaced | null {
  const entries = part(schema, 'entries') ?? {};
  const rest = part(schema, 'rest') ?? part(schema, 'value');
  for (const [key, member] of Object.entries(value)) {
    const known = Object.hasOwn(entries, key) ? part(entries, key) : rest;
    const found = within(key, value, known, member, depth);
    if (found) return found;
  }
  return null;
}

function inItems(schema: object, value: readonly unknown[], depth: number): Misplaced | null {
  const item = part(schema, 'item');
  if (!item) return null;
  for (const [index, element] of value.entries()) {
    const found = within(index, value, item, element, depth);
    if (found) return found;
  }
  return null;
}

/** The first list of `value` that stands where `schema` means an object. */
function findList(schema: object, value: unknown, depth: number): Misplaced | null {
  if (depth > MAX_DEPTH || typeof value !== 'object' || value === null) return null;
  const wrapped = part(schema, 'wrapped');
  if (wrapped) return findList(wrapped, value, depth + 1);
  const type: unknown = Reflect.get(schema, 'type');
  if (Array.isArray(value) && typeof type === 'string' && KEYED.has(type)) {
    return { path: [], list: value };
  }
  const options: unknown = Reflect.get(schema, 'options');
  if (type === 'variant' && Array.isArray(options))
    return inAll(chosen(schema, options, value), value, depth + 1);
  if (type === 'union' && Array.isArray(options)) return inAll(options, value, depth + 1);
  if (type === 'intersect' && Array.isArray(options)) {
    for (const option of options) {
      const found = isObject(option) ? findList(option, value, depth + 1) : null;
      if (found) return found;
    }
    return null;
  }
  return Array.isArray(value)
    ? inItems(schema, value, depth + 1)
    : inMembers(schema, value, depth + 1);
}

export type Outside<S extends AnySchema> =
  | { readonly success: true; readonly output: v.InferOutput<S>; readonly issues?: undefined }
  | {
      readonly success: false;
      readonly issues: readonly [v.BaseIssue<unknown>, ...v.BaseIssue<unknown>[]];
    };

/** As valibot's `safeParse`, and refuses lists in place of objects, at any depth. */
export function parseOutside<S extends AnySchema>(schema: S, value: unknown): Outside<S> {
  const found = findList(schema, value, 0);
  if (!found) return v.safeParse(schema, value);
  const [first, ...others] = found.path;
  const issue: v.BaseIssue<unknown> = {
    ...{ kind: 'schema', type: 'object', input: found.list },
    ...{ expected: 'Object', received: 'Array' },
    message: 'Invalid type: Expected Object but received Array',
    path: first && [first, ...others],
  };
  return { success: false, issues: [issue] };
}
