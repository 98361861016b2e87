/** REST requests made from the OpenAPI document, so that tests reach every operation there is. */
import * as v from 'valibot';
import type { OpenApiOperation } from '../manager/http/openapi.ts';
import { describeApi } from '../manager/main.ts';

export interface RestOperation {
  /** As the routes and tables write it, e.g. `GET /session/:session_name`. */
  readonly name: string;
  readonly method: string;
  /** With `{name}` in place of path parameters. */
  readonly path: string;
  readonly operation: OpenApiOperation;
}

/** Every operation, WebSockets included. */
export const restOperations: readonly RestOperation[] = Object.entries(describeApi().paths).flatMap(
  ([path, operations]) =>
    Object.entries(operations).map(([verb, operation]) => {
      const method = verb.toUpperCase();
      const name = `${method} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`;
      return { name, method, path, operation };
    }),
);

const schemaShape = v.object({
  type: v.optional(v.string()),
  enum: v.optional(v.array(v.unknown())),
  const: v.optional(v.unknown()),
  examples: v.optional(v.array(v.unknown())),
  format: v.optional(v.string()),
  pattern: v.optional(v.string()),
  minimum: v.optional(v.number()),
  maximum: v.optional(v.number()),
  minLength: v.optional(v.number()),
  maxLength: v.optional(v.number()),
  minItems: v.optional(v.number()),
  maxItems: v.optional(v.number()),
  items: v.optional(v.unknown()),
  anyOf: v.optional(v.array(v.unknown())),
  properties: v.optional(v.record(v.string(), v.unknown())),
  required: v.optional(v.array(v.string())),
});
type SchemaShape = v.InferOutput<typeof schemaShape>;

/** The keywords of a JSON schema that generators go by. */
export const readSchema = (schema: unknown): SchemaShape => v.parse(schemaShape, schema);

const NIL = '00000000-0000-4000-8000-000000000000';

/** Texts that fit the patterns of some parameters. */
const FITTING: Readonly<Record<string, string>> = {
  permission: '644',
  callback_url: 'http://127.0.0.1:9/',
};

function sampleText(name: string, schema: SchemaShape): string {
  if (schema.format === 'uuid') return NIL;
  return FITTING[name] ?? 'nobody'.padEnd(schema.minLength ?? 0, 'x');
}

/** A value that fits a schema, apart from patterns it does not know. */
function sampleOf(name: string, raw: unknown): unknown {
  const schema = readSchema(raw);
  if (schema.const !== undefined) return schema.const;
  const listed = schema.enum ?? schema.examples;
  if (listed !== undefined) return listed[0];
  if (schema.anyOf !== undefined) return sampleOf(name, schema.anyOf[0]);
  switch (schema.type) {
    case 'string':
      return sampleText(name, schema);
    case 'integer':
    case 'number':
      return schema.minimum ?? 1;
    case 'boolean':
      return false;
    case 'array':
      return (schema.minItems ?? 0) > 0 ? [sampleOf(name, schema.items ?? {})] : [];
    case 'null':
      return null;
    default:
      return sampleBody(raw, () => undefined);
  }
}

/** The text to pass for a parameter; undefined for a sample, or for none where that is possible. */
type TextFor = (name: string, required: boolean) => string | undefined;

export interface RestRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly body: Readonly<Record<string, unknown>> | undefined;
}

const isAlias = (schema: unknown): boolean =>
  v.is(v.object({ description: v.pipe(v.string(), v.startsWith('The same as ')) }), schema);

/** A body with required fields, and others that `textFor` knows. */
function sampleBody(schema: unknown, textFor: TextFor): Record<string, unknown> {
  const { properties = {}, required = [] } = readSchema(schema);
  const body: Record<string, unknown> = {};
  for (const [name, property] of Object.entries(properties)) {
    if (isAlias(property)) continue;
    const isRequired = required.includes(name) || mustComeUnderSomeName(schema, name);
    const text = textFor(name, isRequired);
    if (text !== undefined) body[name] = text;
    else if (isRequired) body[name] = sampleOf(name, property);
  }
  return body;
}

const alternatives = v.object({
  allOf: v.array(v.object({ anyOf: v.array(v.object({ required: v.tuple([v.string()]) })) })),
});

const mustComeUnderSomeName = (schema: unknown, name: string): boolean => {
  const parsed = v.safeParse(alternatives, schema);
  return parsed.success && parsed.output.allOf.some(({ anyOf }) => anyOf[0]?.required[0] === name);
};

/** A request with whatever the operation requires; its parameters are those of `textFor` and samples. */
export function requestOf(
  { method, path, operation }: RestOperation,
  textFor: TextFor,
): RestRequest {
  let target = path;
  const query = new URLSearchParams();
  for (const { name, in: place, required, description, schema } of operation.parameters) {
    if (description?.startsWith('The same as ')) continue;
    const isRequired = required || description?.startsWith('Required') === true;
    const text = textFor(name, isRequired) ?? (isRequired ? String(sampleOf(name, schema)) : null);
    if (text === null) continue;
    if (place === 'path') target = target.replace(`{${name}}`, encodeURIComponent(text));
    else query.append(name, text);
  }
  const search = query.size > 0 ? `?${query}` : '';
  const content = operation.requestBody?.content['application/json'];
  const body = content && sampleBody(content.schema, textFor);
  return { method, target: `${target}${search}`, body };
}
