/** The newer HTTP operations that change something: mutations of the schema in the REST spelling. */
import * as v from 'valibot';
import type { ManagerContext } from '../context.ts';
import type { GraphqlEngine } from '../graphql/engine.ts';
import { callerOf } from '../graphql/rest.ts';
import { route } from '../http/declare.ts';
import { uuidText } from '../http/parameters.ts';
import type { Route } from '../http/route.ts';
import { runChange } from './bridge.ts';

type BodySchema = v.GenericSchema<unknown, Record<string, unknown>>;
type Values = Readonly<Record<string, unknown>>;

interface Change {
  readonly method: 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly mutation: string;
  readonly auth: 'user' | 'superadmin';
  readonly what: string;
  /** What is sent along at least; nothing when absent. The mutation knows the other fields. */
  readonly body?: BodySchema;
  /** The mutation's arguments; the body is its `input` when nothing is said. */
  readonly given?: (params: Values, body: Values) => Values;
}

const name = v.pipe(v.string(), v.maxLength(1024));
const optional = v.nullish(name);
/** What may stand in paths. */
const parameters = {
  user_id: uuidText,
  domain_name: name,
  project_id: uuidText,
  access_key: name,
  vfolder_id: uuidText,
  name,
} as const;

const isParameter = (key: string): key is keyof typeof parameters => Object.hasOwn(parameters, key);

/** The parameters that a path names. */
function paramsOf(path: string) {
  const names = [...path.matchAll(/:(\w+)/g)].flatMap(([, key = '']) =>
    isParameter(key) ? [key] : [],
  );
  return v.object(Object.fromEntries(names.map((key) => [key, parameters[key]])));
}

const admin = { auth: 'superadmin' } as const;
/** What the SDK leaves out of a new user because its models say it. */
const USER_DEFAULTS = {
  need_password_change: false,
  totp_activated: false,
  sudo_session_enabled: false,
};

const USERS: readonly Change[] = [
  {
    ...{ ...admin, method: 'POST', path: 'users', mutation: 'adminCreateUserV2' },
    what: 'Make a user.',
    body: v.looseObject({ email: name, username: name, password: name }),
    given: (_params, body) => ({ input: { ...USER_DEFAULTS, ...body } }),
  },
  {
    ...{ ...admin, method: 'PATCH', path: 'users/:user_id', mutation: 'adminUpdateUserV2' },
    what: 'Change a user.',
    body: v.looseObject({ username: optional, full_name: optional }),
    given: ({ user_id: userId }, input) => ({ userId, input }),
  },
  {
    ...{ ...admin, method: 'POST', path: 'users/delete', mutation: 'adminDeleteUserV2' },
    what: 'Close the account of a user.',
    body: v.object({ user_id: uuidText }),
    given: (_params, { user_id: userId }) => ({ userId }),
  },
];

/** Domains and projects are made, changed, closed and removed alike. */
const owned = (
  kind: 'Domain' | 'Project',
  path: string,
  parameter: 'domain_name' | 'project_id',
  argument: 'domainName' | 'projectId',
  /** How bodies name it. */
  bodyKey: 'name' | 'group_id',
): Change[] => {
  const word = kind.toLowerCase();
  const named: BodySchema =
    bodyKey === 'name' ? v.object({ name }) : v.object({ group_id: uuidText });
  return [
    {
      ...{ ...admin, method: 'POST', path, mutation: `adminCreate${kind}V2` },
      what: `Make a ${word}.`,
      body: v.looseObject({ name, description: optional }),
    },
    {
      ...{ ...admin, method: 'PATCH', path: `${path}/:${parameter}` },
      mutation: `adminUpdate${kind}V2`,
      what: `Change a ${word}.`,
      body: v.looseObject({ name: optional, description: optional }),
      given: (params, input) => ({ [argument]: params[parameter], input }),
    },
    {
      ...{ ...admin, method: 'POST', path: `${path}/delete`, mutation: `adminDelete${kind}V2` },
      what: `Close a ${word}.`,
      body: named,
      given: (_params, body) => ({ [argument]: body[bodyKey] }),
    },
    {
      ...{ ...admin, method: 'POST', path: `${path}/purge`, mutation: `adminPurge${kind}V2` },
      what: `Remove a ${word}.`,
      body: named,
      given: (_params, body) => ({ [argument]: body[bodyKey] }),
    },
  ];
};

const KEYPAIRS: readonly Change[] = [
  {
    ...{ ...admin, method: 'POST', path: 'keypairs', mutation: 'adminCreateKeypairV2' },
    what: 'Make a keypair.',
    body: v.looseObject({ user_id: uuidText, resource_policy: name }),
  },
  {
    ...{ ...admin, method: 'PATCH', path: 'keypairs', mutation: 'adminUpdateKeypairV2' },
    what: 'Change a keypair.',
    body: v.looseObject({ access_key: name }),
  },
  {
    ...{ ...admin, method: 'DELETE', path: 'keypairs/:access_key' },
    mutation: 'adminDeleteKeypairV2',
    what: 'Remove a keypair.',
    given: ({ access_key: accessKey }) => ({ accessKey }),
  },
  {
    ...{ auth: 'user', method: 'POST', path: 'keypairs/my/issue', mutation: 'issueMyKeypair' },
    what: 'Make a keypair for yourself.',
    given: () => ({}),
  },
];

const policies = (kind: 'Keypair' | 'User' | 'Project'): Change[] => {
  const path = `resource-policies/${kind.toLowerCase()}`;
  const what = `a resource policy of ${kind.toLowerCase()}s`;
  return [
    {
      ...{ ...admin, method: 'POST', path, mutation: `adminCreate${kind}ResourcePolicyV2` },
      what: `Make ${what}.`,
      body: v.looseObject({ name }),
    },
    {
      ...{ ...admin, method: 'PATCH', path: `${path}/:name` },
      mutation: `adminUpdate${kind}ResourcePolicyV2`,
      what: `Change ${what}.`,
      body: v.looseObject({ name: optional }),
      given: (params, input) => ({ name: params.name, input }),
    },
    {
      ...{ ...admin, method: 'DELETE', path: `${path}/:name` },
      mutation: `adminDelete${kind}ResourcePolicyV2`,
      what: `Remove ${what}.`,
      given: (params) => ({ name: params.name }),
    },
  ];
};

const CHANGES: readonly Change[] = [
  ...USERS,
  ...owned('Domain', 'domains', 'domain_name', 'domainName', 'name'),
  ...owned('Project', 'projects', 'project_id', 'projectId', 'group_id'),
  ...KEYPAIRS,
  ...policies('Keypair'),
  ...policies('User'),
  ...policies('Project'),
  {
    ...{ auth: 'user', method: 'POST', path: 'sessions/terminate' },
    mutation: 'terminateSessionsV2',
    what: 'End sessions.',
    body: v.object({
      session_ids: v.pipe(v.array(uuidText), v.maxLength(100)),
      forced: v.optional(v.boolean(), false),
    }),
    given: (_params, body) => ({ sessionIds: body.session_ids, forced: body.forced }),
  },
  {
    ...{ auth: 'user', method: 'POST', path: 'vfolders', mutation: 'createVfolderV2' },
    what: 'Make a folder.',
    body: v.looseObject({ name, host: optional }),
  },
];

export const v2ChangeRoutes = (ctx: ManagerContext, engine: GraphqlEngine): Route[] =>
  CHANGES.map(({ method, path, mutation, auth, what, body, given }) => {
    const declared = { method, path: `/v2/${path}`, gate: 'all', auth, summary: what } as const;
    const params = paramsOf(path);
    const run = async (request: Parameters<typeof callerOf>[1], inPath: Values, sent: Values) => ({
      json: await runChange(
        engine,
        callerOf(ctx, request),
        mutation,
        given?.(inPath, sent) ?? { input: sent },
      ),
    });
    return body === undefined
      ? route({ ...declared, takes: { params } }, (request, input) =>
          run(request, input.params, {}),
        )
      : route({ ...declared, takes: { params, body } }, (request, input) =>
          run(request, input.params, input.body),
        );
  });
