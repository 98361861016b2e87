/**
 * Parameters as upstream's clients send them: a field has several accepted names, booleans and
 * numbers come as words, and null means absent.
 */
import * as v from 'valibot';
import { normalizeUuid } from '../../common/ids.ts';

/** Field name → the other names under which clients send it. */
export type Aliases = Readonly<Record<string, readonly string[]>>;

/** Copies values sent under an alias to the field's own name, which wins when both are sent. */
export function resolveAliases(
  input: Readonly<Record<string, unknown>>,
  aliases: Aliases,
): Record<string, unknown> {
  const out: Record<string, unknown> = { ...input };
  for (const [name, others] of Object.entries(aliases)) {
    if (Object.hasOwn(input, name)) continue;
    const used = others.find((other) => Object.hasOwn(input, other));
    if (used !== undefined) out[name] = input[used];
  }
  return out;
}

type Schema = v.GenericSchema<unknown, unknown>;

/** What `aliased` made a schema of, for those who describe the API. */
const aliasedSchemas = new WeakMap<Schema, { readonly names: Aliases; readonly schema: Schema }>();

/** The names and the inner schema of a schema that `aliased` made. */
export const aliasesOf = (schema: Schema) => aliasedSchemas.get(schema);

/** A schema for a body or query whose fields may be sent under other names. */
export function aliased<S extends Schema>(names: Aliases, schema: S) {
  const made = v.pipe(
    v.record(v.string(), v.unknown()),
    v.transform((input): unknown => resolveAliases(input, names)),
    schema,
  );
  aliasedSchemas.set(made, { names, schema });
  return made;
}

/** camelCase form of a snake_case name. */
export const camelCase = (name: string): string =>
  name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

const TRUE_WORDS = ['true', 't', '1', 'yes', 'y', 'on'];
const FALSE_WORDS = ['false', 'f', '0', 'no', 'n', 'off'];

/** Whether a text of the configuration says yes; anything else, and none at all, says no. */
export const saysYes = (text: string | null): boolean =>
  TRUE_WORDS.includes(text?.trim().toLowerCase() ?? '');

/** A boolean, or a word or number for one. */
export const lenientBoolean = v.pipe(
  v.union([v.boolean(), v.string(), v.number()]),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const word = String(dataset.value).trim().toLowerCase();
    if (TRUE_WORDS.includes(word)) return true;
    if (FALSE_WORDS.includes(word)) return false;
    addIssue({ message: `'${word}' is neither true nor false` });
    return NEVER;
  }),
);

/** A UUID as Python's clients write one, with dashes or without; it comes out with them, in lower case. */
export const uuidText = v.union(
  [
    v.pipe(v.string(), v.trim(), v.uuid(), v.toLowerCase()),
    v.pipe(
      v.string(),
      v.trim(),
      v.regex(/^[0-9a-f]{32}$/i),
      v.transform((text) => normalizeUuid(text) ?? text),
    ),
  ],
  'Invalid UUID',
);

/** An integer, or its decimal text. */
export const lenientInteger = v.pipe(
  v.union([v.number(), v.pipe(v.string(), v.regex(/^\s*[+-]?\d+\s*$/, 'not an integer'))]),
  v.transform(Number),
  v.integer(),
);
