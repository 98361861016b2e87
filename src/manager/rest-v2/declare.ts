/** What the tables of the newer HTTP operations are made of: a line of one of these is an operation. */
import * as v from 'valibot';
import { uuidText } from '../http/parameters.ts';

export type Auth = 'user' | 'superadmin';
export type Values = Readonly<Record<string, unknown>>;
export type BodySchema = v.GenericSchema<unknown, Record<string, unknown>>;

export const name = v.pipe(v.string(), v.maxLength(1024));
export const optional = v.nullish(name);
export const admin = { auth: 'superadmin' } as const;
export const user = { auth: 'user' } as const;

/** What may stand in paths. */
const parameters = {
  user_id: uuidText,
  domain_name: name,
  project_id: uuidText,
  access_key: name,
  vfolder_id: uuidText,
  session_id: uuidText,
  agent_id: name,
  preset_id: uuidText,
  role_id: uuidText,
  role_preset_id: uuidText,
  invitation_id: uuidText,
  name,
} as const;
type Params = v.ObjectSchema<Record<string, typeof name | typeof uuidText>, undefined>;

const isParameter = (key: string): key is keyof typeof parameters => Object.hasOwn(parameters, key);

/**
 * The parameters that a path names.
 * @throws Error for a name without a schema, which is a mistake of ours.
 */
export function paramsOf(path: string): Params {
  const names = [...path.matchAll(/:(\w+)/g)].map(([, key = '']) => key);
  return v.object(
    Object.fromEntries(
      names.map((key) => {
        if (!isParameter(key)) throw new Error(`no schema for the parameter '${key}' of ${path}`);
        return [key, parameters[key]];
      }),
    ),
  );
}

/** A search, the root field that answers it, and who may call it. */
export type Search = readonly [path: string, field: string, auth: Auth, what: string];

/** A search within a place that the path names. */
export interface Scoped {
  readonly path: string;
  readonly field: string;
  /** The list of the row that the field tells, when it is not a list itself. */
  readonly list?: string;
  readonly auth?: Auth;
  /** The arguments that the place stands for. */
  readonly place: (params: Values) => Values;
  readonly what: string;
}

/** One row, or what a field tells besides rows. */
export interface One {
  /** Rows that bodies name are asked for with POST. */
  readonly method?: 'GET' | 'POST';
  readonly path: string;
  readonly field: string;
  readonly auth: Auth;
  readonly body?: BodySchema;
  readonly place: (params: Values, body: Values) => Values;
  readonly what: string;
  /** Under which key it is told; alone when absent. */
  readonly under?: string;
  /** What of the row is told, where that is not all of it. */
  readonly shape?: (row: unknown) => unknown;
  /** Without the row the answer says null, where clients know that there may be none. */
  readonly orNull?: true;
}

export interface Change {
  readonly method: 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly mutation: string;
  readonly auth: Auth;
  readonly what: string;
  /** What is sent along at least; nothing when absent. The mutation knows the other fields. */
  readonly body?: BodySchema;
  /** The mutation's arguments; the body is its `input` when nothing is said. */
  readonly given?: (params: Values, body: Values) => Values;
  /** Under which key the row is told that the mutation tells alone. */
  readonly under?: string;
}

/** All operations of one topic. */
export interface Topic {
  readonly searches?: readonly Search[];
  readonly scoped?: readonly Scoped[];
  readonly ones?: readonly One[];
  readonly changes?: readonly Change[];
}
