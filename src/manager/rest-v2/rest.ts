/** The newer HTTP operations (`/v2`): lists and rows of the GraphQL schema in the REST spelling. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import type { GraphqlEngine } from '../graphql/engine.ts';
import { callerOf } from '../graphql/rest.ts';
import { route } from '../http/declare.ts';
import { uuidText } from '../http/parameters.ts';
import type { Route } from '../http/route.ts';
import { searchBody, tellOne, tellPage } from './bridge.ts';
import { v2ChangeRoutes } from './changes.ts';

type Auth = 'user' | 'superadmin';
/** Path of a search, the root field that answers it, and who may call it. */
type Search = readonly [path: string, field: string, auth: Auth, what: string];

const name = v.pipe(v.string(), v.maxLength(1024));

const SEARCHES: readonly Search[] = [
  ['users', 'adminUsersV2', 'superadmin', 'users'],
  ['sessions', 'adminSessionsV2', 'superadmin', 'sessions'],
  ['sessions/my', 'mySessionsV2', 'user', 'sessions of yours'],
  ['sessions/kernels', 'adminKernelsV2', 'superadmin', 'kernels'],
  ['keypairs', 'adminKeypairsV2', 'superadmin', 'keypairs'],
  ['keypairs/my', 'myKeypairs', 'user', 'keypairs of yours'],
  ['domains', 'adminDomainsV2', 'superadmin', 'domains'],
  ['projects', 'adminProjectsV2', 'superadmin', 'projects'],
  ['vfolders', 'adminVfoldersV2', 'superadmin', 'folders'],
  ['vfolders/my', 'myVfolders', 'user', 'folders of yours'],
  ['audit-logs', 'adminAuditLogsV2', 'superadmin', 'changes'],
  ['login-history', 'adminLoginHistoryV2', 'superadmin', 'sign-ins'],
  ['login-history/my', 'myLoginHistoryV2', 'user', 'sign-ins of yours'],
  ['login-sessions', 'adminLoginSessionsV2', 'superadmin', 'sign-ins that last'],
  ['login-sessions/my', 'myLoginSessionsV2', 'user', 'sign-ins of yours that last'],
  [
    'resource-policies/keypair',
    'adminKeypairResourcePoliciesV2',
    'superadmin',
    'resource policies of keypairs',
  ],
  [
    'resource-policies/user',
    'adminUserResourcePoliciesV2',
    'superadmin',
    'resource policies of users',
  ],
  [
    'resource-policies/project',
    'adminProjectResourcePoliciesV2',
    'superadmin',
    'resource policies of projects',
  ],
  ['resource-slots/slot-types', 'resourceSlotTypes', 'user', 'types of resource slots'],
  ['fair-share/domains', 'adminDomainFairShares', 'superadmin', 'fair shares of domains'],
  ['fair-share/projects', 'adminProjectFairShares', 'superadmin', 'fair shares of projects'],
  ['fair-share/users', 'adminUserFairShares', 'superadmin', 'fair shares of users'],
  ['resource-usage/domains', 'adminDomainUsageBuckets', 'superadmin', 'usage of domains'],
  ['resource-usage/projects', 'adminProjectUsageBuckets', 'superadmin', 'usage of projects'],
  ['resource-usage/users', 'adminUserUsageBuckets', 'superadmin', 'usage of users'],
  [
    'scheduling-history/sessions',
    'adminSessionSchedulingHistories',
    'superadmin',
    'tries at sessions',
  ],
  ['rbac/roles', 'adminRoles', 'superadmin', 'roles'],
  ['rbac/assignments', 'adminRoleAssignments', 'superadmin', 'who has which role'],
  ['rbac/assignments/my', 'myRoles', 'user', 'roles of yours'],
];

function searchRoutes(ctx: ManagerContext, engine: GraphqlEngine): Route[] {
  return SEARCHES.map(([path, field, auth, what]) => {
    return route(
      {
        method: 'POST',
        path: `/v2/${path}/search`,
        gate: 'any',
        auth,
        summary: `List ${what}.`,
        takes: { body: searchBody },
      },
      async (request, { body }) => ({
        json: await tellPage(engine, callerOf(ctx, request), field, {}, body),
      }),
    );
  });
}

/** A search within a place that the path names. */
interface Scoped {
  readonly path: string;
  readonly params: v.ObjectSchema<Record<string, typeof name | typeof uuidText>, undefined>;
  readonly field: string;
  /** The arguments that the place stands for. */
  readonly place: (params: Readonly<Record<string, string>>) => Readonly<Record<string, unknown>>;
  readonly what: string;
}

const SCOPED: readonly Scoped[] = [
  {
    path: 'users/domains/:domain_name',
    params: v.object({ domain_name: name }),
    field: 'domainUsersV2',
    place: ({ domain_name }) => ({ scope: { domain_name } }),
    what: 'users of a domain',
  },
  {
    path: 'users/projects/:project_id',
    params: v.object({ project_id: uuidText }),
    field: 'projectUsersV2',
    place: ({ project_id }) => ({ scope: { project_id } }),
    what: 'users of a project',
  },
  {
    path: 'sessions/projects/:project_id',
    params: v.object({ project_id: uuidText }),
    field: 'projectSessionsV2',
    place: ({ project_id }) => ({ scope: { project_id } }),
    what: 'sessions of a project',
  },
  {
    path: 'sessions/:session_id/kernels',
    params: v.object({ session_id: uuidText }),
    field: 'sessionKernelsV2',
    place: ({ session_id }) => ({ scope: { session_id } }),
    what: 'kernels of a session',
  },
  {
    path: 'vfolders/projects/:project_id',
    params: v.object({ project_id: uuidText }),
    field: 'projectVfolders',
    place: ({ project_id }) => ({ projectId: project_id }),
    what: 'folders of a project',
  },
  {
    path: 'scheduling-history/sessions/:session_id',
    params: v.object({ session_id: uuidText }),
    field: 'sessionScopedSchedulingHistories',
    place: ({ session_id }) => ({ scope: { session_id } }),
    what: 'tries at a session',
  },
  {
    path: 'rbac/roles/projects/:project_id',
    params: v.object({ project_id: uuidText }),
    field: 'projectRoles',
    place: ({ project_id }) => ({ projectId: project_id }),
    what: 'roles of a project',
  },
];

function scopedRoutes(ctx: ManagerContext, engine: GraphqlEngine): Route[] {
  return SCOPED.map(({ path, params, field, place, what }) => {
    return route(
      {
        method: 'POST',
        path: `/v2/${path}/search`,
        gate: 'any',
        auth: 'user',
        summary: `List ${what}.`,
        takes: { params, body: searchBody },
      },
      async (request, input) => ({
        json: await tellPage(
          engine,
          callerOf(ctx, request),
          field,
          place(input.params),
          input.body,
        ),
      }),
    );
  });
}

/** One row. */
interface One {
  readonly path: string;
  readonly params: Scoped['params'];
  readonly field: string;
  readonly auth: Auth;
  readonly place: Scoped['place'];
  readonly what: string;
  /** Under which key it is told; alone when absent. */
  readonly under?: string;
}

const nothing = v.object({});
const byName = v.object({ name });

const ONES: readonly One[] = [
  {
    path: 'users/:user_id',
    params: v.object({ user_id: uuidText }),
    field: 'adminUserV2',
    auth: 'superadmin',
    place: ({ user_id }) => ({ userId: user_id }),
    what: 'a user',
    under: 'user',
  },
  {
    path: 'domains/:domain_name',
    params: v.object({ domain_name: name }),
    field: 'domainV2',
    auth: 'user',
    place: ({ domain_name }) => ({ domainName: domain_name }),
    what: 'a domain',
  },
  {
    path: 'projects/:project_id',
    params: v.object({ project_id: uuidText }),
    field: 'projectV2',
    auth: 'user',
    place: ({ project_id }) => ({ projectId: project_id }),
    what: 'a project',
  },
  {
    path: 'sessions/:session_id',
    params: v.object({ session_id: uuidText }),
    field: 'sessionV2',
    auth: 'user',
    place: ({ session_id }) => ({ id: session_id }),
    what: 'a session',
  },
  {
    path: 'vfolders/:vfolder_id',
    params: v.object({ vfolder_id: uuidText }),
    field: 'vfolderV2',
    auth: 'user',
    place: ({ vfolder_id }) => ({ vfolderId: vfolder_id }),
    what: 'a folder',
  },
  {
    path: 'keypairs/:access_key',
    params: v.object({ access_key: name }),
    field: 'adminKeypairV2',
    auth: 'superadmin',
    place: ({ access_key }) => ({ accessKey: access_key }),
    what: 'a keypair',
  },
  {
    path: 'resource-policies/keypair/my',
    params: nothing,
    field: 'myKeypairResourcePolicyV2',
    auth: 'user',
    place: () => ({}),
    what: 'the policy of your keypair',
  },
  {
    path: 'resource-policies/user/my',
    params: nothing,
    field: 'myUserResourcePolicyV2',
    auth: 'user',
    place: () => ({}),
    what: 'the policy of your account',
  },
  ...(['keypair', 'user', 'project'] as const).map((kind): One => {
    const capital = { keypair: 'Keypair', user: 'User', project: 'Project' }[kind];
    return {
      path: `resource-policies/${kind}/:name`,
      params: byName,
      field: `admin${capital}ResourcePolicyV2`,
      auth: 'superadmin',
      place: (params) => ({ name: params.name }),
      what: `a resource policy of ${kind}s`,
    };
  }),
];

function oneRoutes(ctx: ManagerContext, engine: GraphqlEngine): Route[] {
  return ONES.map(({ path, params, field, auth, place, what, under }) => {
    return route(
      {
        method: 'GET',
        path: `/v2/${path}`,
        gate: 'any',
        auth,
        summary: `Tell about ${what}.`,
        takes: { params },
      },
      async (request, input) => {
        const row = await tellOne(engine, callerOf(ctx, request), field, place(input.params));
        if (row === null)
          throw new BackendError('ObjectNotFound', `There is no such row: ${what}.`);
        return { json: under === undefined ? row : { [under]: row } };
      },
    );
  });
}

export const v2Routes = (ctx: ManagerContext, engine: GraphqlEngine): Route[] => [
  ...searchRoutes(ctx, engine),
  ...scopedRoutes(ctx, engine),
  ...oneRoutes(ctx, engine),
  ...v2ChangeRoutes(ctx, engine),
];
