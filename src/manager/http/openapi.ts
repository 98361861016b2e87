/** The OpenAPI 3.1 document of declared operations, made of the schemas that parse their input. */
import { type JsonSchema, toJsonSchema } from '@valibot/to-json-schema';
import * as v from 'valibot';
import { aliasesOf } from './parameters.ts';
import { compilePath } from './path.ts';
import type { Route, SocketRoute } from './route.ts';
import { LATEST_API_VERSION } from './versions.ts';

type Schema = v.GenericSchema<unknown, unknown>;
/** Keywords beyond the library's own types carry what JSON Schema cannot say. */
type Json = JsonSchema | Record<string, unknown>;

interface Parameter {
  readonly name: string;
  readonly in: 'path' | 'query';
  readonly required: boolean;
  readonly description?: string;
  readonly schema: Json;
}

export interface OpenApiOperation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly parameters: readonly Parameter[];
  readonly requestBody?: {
    readonly required: boolean;
    readonly content: Readonly<Record<string, { readonly schema: Json }>>;
  };
  readonly responses: Readonly<Record<string, unknown>>;
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
  /** Who may call it: none, user, admin or superadmin. */
  readonly 'x-role': Route['auth'];
  /** In which status of the cluster: any, read (running or frozen), all (running). */
  readonly 'x-gate': Route['gate'];
  readonly 'x-websocket'?: true;
}

export interface OpenApiDocument {
  readonly openapi: '3.1.0';
  readonly info: { readonly title: string; readonly version: string };
  readonly paths: Readonly<Record<string, Readonly<Record<string, OpenApiOperation>>>>;
  readonly components: Readonly<Record<string, unknown>>;
}

/** A field of an input, with the other names under which clients send it. */
interface Field {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly required: boolean;
  readonly schema: Json;
}

/** What a client writes: before transformations, without the checks that JSON Schema cannot say. */
function jsonSchemaOf(schema: Schema): Json {
  const { $schema: _, ...converted } = toJsonSchema(schema, {
    target: 'draft-2020-12',
    typeMode: 'input',
    errorMode: 'ignore',
  });
  return converted;
}

const OPTIONAL_TYPES = ['optional', 'exact_optional', 'nullish', 'undefinedable'];

/** The fields of an object, or null when the schema is no object of known fields. */
function fieldsOf(
  schema:
    | Schema
    | v.ObjectSchema<v.ObjectEntries, undefined>
    | v.IntersectSchema<Schema[], undefined>,
): Field[] | null {
  const aliased = aliasesOf(schema);
  if (aliased !== undefined) {
    const fields = fieldsOf(aliased.schema);
    return fields?.map((field) => ({ ...field, aliases: aliased.names[field.name] ?? [] })) ?? null;
  }
  if (v.isOfType('intersect', schema)) {
    const parts = schema.options.map(fieldsOf);
    return parts.includes(null) ? null : parts.flatMap((part) => part ?? []);
  }
  if (!v.isOfType('object', schema)) return null;
  return Object.entries(schema.entries).map(([name, entry]) => ({
    name,
    aliases: [],
    required: !OPTIONAL_TYPES.includes(entry.type),
    schema: jsonSchemaOf(entry),
  }));
}

const sameAs = (name: string) => `The same as ${name}.`;

/** An object schema in which every alias is a field of its own. */
function bodySchema(schema: Schema): Json {
  const fields = fieldsOf(schema);
  if (fields === null) return jsonSchemaOf(schema);
  const named = fields.flatMap(({ name, aliases, schema: json }) => [
    [name, json] as const,
    ...aliases.map((alias) => [alias, { ...json, description: sameAs(name) }] as const),
  ]);
  const required = fields.filter((field) => field.required);
  const underSomeName = required
    .filter(({ aliases }) => aliases.length > 0)
    .map(({ name, aliases }) => ({
      anyOf: [name, ...aliases].map((key) => ({ required: [key] })),
    }));
  return {
    type: 'object',
    properties: Object.fromEntries(named),
    required: required.filter(({ aliases }) => aliases.length === 0).map(({ name }) => name),
    ...(underSomeName.length > 0 ? { allOf: underSomeName } : {}),
  };
}

/** Query parameters; one that may come under other names is not required under any of them. */
function queryParameters(schema: Schema, neverRequired: boolean): Parameter[] {
  return (fieldsOf(schema) ?? []).flatMap(({ name, aliases, required, schema: json }) => [
    {
      name,
      in: 'query' as const,
      required: required && aliases.length === 0 && !neverRequired,
      ...(required && aliases.length > 0
        ? { description: `Required, under this name or as ${aliases.join(', ')}.` }
        : {}),
      schema: json,
    },
    ...aliases.map((alias) => ({
      ...{ name: alias, in: 'query' as const, required: false },
      description: sameAs(name),
      schema: json,
    })),
  ]);
}

/** Path parameters in order; one that no schema describes is any text. */
function pathParameters(path: string, schema: Schema | undefined): Parameter[] {
  const described = new Map(
    (schema ? (fieldsOf(schema) ?? []) : []).map((f) => [f.name, f.schema]),
  );
  return compilePath(path).names.map((name) => ({
    name,
    in: 'path',
    required: true,
    schema: described.get(name) ?? { type: 'string' },
  }));
}

function requestBody({ takes, consumes }: Route): OpenApiOperation['requestBody'] {
  const schema = takes.body ?? takes.fields;
  if (schema !== undefined) {
    const content = { 'application/json': { schema: bodySchema(schema) } };
    return { required: takes.body !== undefined, content };
  }
  if (consumes === undefined) return undefined;
  if (consumes === 'application/x-www-form-urlencoded') {
    return { required: true, content: { [consumes]: { schema: { type: 'object' } } } };
  }
  const files = { type: 'array', items: { type: 'string', format: 'binary' } };
  return {
    required: true,
    content: { [consumes]: { schema: { type: 'object', properties: { src: files } } } },
  };
}

const problem = { $ref: '#/components/responses/Problem' };

function operationOf(route: Route, isSocket: boolean): OpenApiOperation {
  const { method, path, takes, summary, auth, gate } = route;
  const body = method === 'GET' || method === 'HEAD' ? undefined : requestBody(route);
  const words = path.split(/[^\w-]+/).filter((word) => word !== '');
  return {
    operationId: [method.toLowerCase(), ...words].join('_'),
    summary,
    tags: [words[0] ?? 'version'],
    parameters: [
      ...pathParameters(path, takes.params),
      ...(takes.query ? queryParameters(takes.query, false) : []),
      ...(takes.fields ? queryParameters(takes.fields, body !== undefined) : []),
    ],
    ...(body ? { requestBody: body } : {}),
    responses: {
      ...(isSocket
        ? { 101: { description: 'A WebSocket.' } }
        : { '2XX': { description: 'Done.' } }),
      '4XX': problem,
      '5XX': problem,
    },
    security: auth === 'none' ? [] : [{ signature: [] }],
    'x-role': auth,
    'x-gate': gate,
    ...(isSocket ? { 'x-websocket': true } : {}),
  };
}

const components = {
  securitySchemes: {
    signature: {
      type: 'apiKey',
      in: 'header',
      name: 'Authorization',
      description:
        'BackendAI signMethod=HMAC-SHA256, credential=<access key>:<signature>; dated by X-BackendAI-Date.',
    },
  },
  schemas: {
    Problem: {
      type: 'object',
      properties: {
        type: { type: 'string', format: 'uri' },
        title: { type: 'string' },
        error_code: { type: 'string' },
        msg: { type: 'string', description: 'What is wrong here, and what to do.' },
        data: { description: 'More about it.' },
      },
      required: ['type', 'title'],
    },
  },
  responses: {
    Problem: {
      description: 'What went wrong.',
      content: {
        'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
      },
    },
  },
};

/** Describes all operations but the internal ones, by path. */
export function openApiDocument(
  routes: readonly Route[],
  sockets: readonly SocketRoute[],
): OpenApiDocument {
  const upgrades = sockets.map(
    (socket): Route => ({ ...socket, method: 'GET', handler: async () => undefined }),
  );
  const paths: Record<string, Record<string, OpenApiOperation>> = {};
  for (const route of [...routes, ...upgrades]) {
    if (route.internal) continue;
    const path = route.path.replaceAll(/:(\w+)/g, '{$1}');
    paths[path] ??= {};
    paths[path][route.method.toLowerCase()] = operationOf(route, upgrades.includes(route));
  }
  const sorted = Object.entries(paths).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    openapi: '3.1.0',
    info: { title: 'Backend.AI Manager API', version: LATEST_API_VERSION },
    paths: Object.fromEntries(sorted),
    components,
  };
}
