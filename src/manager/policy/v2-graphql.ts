/** GraphQL fields about resource policies (the newer types). */
import type { GraphQLResolveInfo } from 'graphql';
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { hostPermissionsColumn, slotMapColumn } from '../db/json.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { kept, v2Mutation } from '../graphql/mutation.ts';
import type {
  UpdateKeypairResourcePolicyInput,
  UpdateProjectResourcePolicyInput,
  UpdateUserResourcePolicyInput,
} from '../graphql/resolvers.generated.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import { type V2Arguments, v2ListField } from '../graphql/v2-list.ts';
import {
  binarySize,
  bytesOfSize,
  hostPermissionEntries,
  hostPermissionsOfEntries,
  limitEntries,
  limitsOfEntries,
} from '../graphql/v2-shapes.ts';
import { checkedUnspecified } from './graphql.ts';
import {
  createPolicy,
  deletePolicy,
  findPolicy,
  listPoliciesV2,
  modifyPolicy,
  ownKeypairPolicy,
  ownUserPolicy,
  type PolicyColumns,
  type PolicyRows,
} from './manage.ts';
import { v2TypeDefs } from './v2-schema.ts';

type Kind = keyof PolicyRows;

const idOf = ({ name }: { readonly name: string }): string => name;

/** Policies are the administrators' to list; others see the ones they have. */
function find<K extends Kind>({ ctx, caller }: GraphqlContext, kind: K, name: string) {
  requireAdministrator(caller);
  return findPolicy(ctx.sql, kind, name);
}

function list<K extends Kind>(
  { ctx, caller }: GraphqlContext,
  kind: K,
  args: V2Arguments & V2Query,
  info: GraphQLResolveInfo,
) {
  requireAdministrator(caller);
  return v2ListField<PolicyRows[K]>(args, info, {
    idOf,
    load: (wish) => listPoliciesV2(ctx.sql, kind, args, wish),
  });
}

/** Superadmins find any policy by its global id, others the one they have. */
async function findNode<K extends Kind>(
  context: GraphqlContext,
  kind: K,
  name: string,
  own: () => Promise<PolicyRows[K] | null>,
): Promise<PolicyRows[K] | null> {
  if (context.caller.isSuperadmin) return findPolicy(context.ctx.sql, kind, name);
  const row = await own();
  return row?.name === name ? row : null;
}

function keypairColumns(input: UpdateKeypairResourcePolicyInput): PolicyColumns {
  const { totalResourceSlots: total, maxPendingSessionResourceSlots: pending } = input;
  const { allowedVfolderHosts: hosts } = input;
  return {
    default_for_unspecified: checkedUnspecified(
      'defaultForUnspecified',
      kept(input.defaultForUnspecified),
    ),
    total_resource_slots:
      total == null ? undefined : { json: limitsOfEntries('totalResourceSlots', total) },
    max_session_lifetime: kept(input.maxSessionLifetime),
    max_concurrent_sessions: kept(input.maxConcurrentSessions),
    max_pending_session_count: kept(input.maxPendingSessionCount),
    max_pending_session_resource_slots:
      pending == null
        ? undefined
        : { json: limitsOfEntries('maxPendingSessionResourceSlots', pending) },
    max_concurrent_sftp_sessions: kept(input.maxConcurrentSftpSessions),
    max_containers_per_session: kept(input.maxContainersPerSession),
    idle_timeout: kept(input.idleTimeout),
    allowed_vfolder_hosts:
      hosts == null ? undefined : { json: hostPermissionsOfEntries('allowedVfolderHosts', hosts) },
  };
}

const sizeColumn = (size: { readonly expr: string } | null | undefined): number | undefined =>
  size == null ? undefined : bytesOfSize('maxQuotaScopeSize', size);

const userColumns = (input: UpdateUserResourcePolicyInput): PolicyColumns => ({
  max_vfolder_count: kept(input.maxVfolderCount),
  max_concurrent_logins: kept(input.maxConcurrentLogins),
  max_quota_scope_size: sizeColumn(input.maxQuotaScopeSize),
  max_session_count_per_model_session: kept(input.maxSessionCountPerModelSession),
  max_customized_image_count: kept(input.maxCustomizedImageCount),
});

const projectColumns = (input: UpdateProjectResourcePolicyInput): PolicyColumns => ({
  max_vfolder_count: kept(input.maxVfolderCount),
  max_quota_scope_size: sizeColumn(input.maxQuotaScopeSize),
  max_network_count: kept(input.maxNetworkCount),
});

/** The policy as it became. */
async function shown<K extends Kind>(
  { ctx }: GraphqlContext,
  kind: K,
  name: string,
): Promise<PolicyRows[K]> {
  const row = await findPolicy(ctx.sql, kind, name);
  if (row) return row;
  throw new BackendError(
    'ObjectNotFound',
    `There is no ${kind} resource policy '${name}' any more.`,
  );
}

const create = <K extends Kind>(
  context: GraphqlContext,
  kind: K,
  name: string,
  columns: () => PolicyColumns,
): Promise<PolicyRows[K]> =>
  v2Mutation(context, 'superadmin', async () => {
    await createPolicy(context, kind, name, columns());
    return shown(context, kind, name);
  });

const modify = <K extends Kind>(
  context: GraphqlContext,
  kind: K,
  name: string,
  columns: () => PolicyColumns,
): Promise<PolicyRows[K]> =>
  v2Mutation(context, 'superadmin', async () => {
    await modifyPolicy(context, kind, name, columns());
    return shown(context, kind, name);
  });

const remove = (context: GraphqlContext, kind: Kind, name: string) =>
  v2Mutation(context, 'superadmin', async () => {
    await deletePolicy(context, kind, name);
    return { name };
  });

const mutations: NonNullable<GraphqlModule['resolvers']['Mutation']> = {
  adminCreateKeypairResourcePolicyV2: async (_root, { input }, context) => ({
    keypairResourcePolicy: await create(context, 'keypair', input.name, () =>
      keypairColumns(input),
    ),
  }),
  adminUpdateKeypairResourcePolicyV2: async (_root, { name, input }, context) => ({
    keypairResourcePolicy: await modify(context, 'keypair', name, () => keypairColumns(input)),
  }),
  adminDeleteKeypairResourcePolicyV2: (_root, { name }, context) =>
    remove(context, 'keypair', name),
  adminCreateUserResourcePolicyV2: async (_root, { input }, context) => ({
    userResourcePolicy: await create(context, 'user', input.name, () => userColumns(input)),
  }),
  adminUpdateUserResourcePolicyV2: async (_root, { name, input }, context) => ({
    userResourcePolicy: await modify(context, 'user', name, () => userColumns(input)),
  }),
  adminDeleteUserResourcePolicyV2: (_root, { name }, context) => remove(context, 'user', name),
  adminCreateProjectResourcePolicyV2: async (_root, { input }, context) => ({
    projectResourcePolicy: await create(context, 'project', input.name, () =>
      projectColumns(input),
    ),
  }),
  adminUpdateProjectResourcePolicyV2: async (_root, { name, input }, context) => ({
    projectResourcePolicy: await modify(context, 'project', name, () => projectColumns(input)),
  }),
  adminDeleteProjectResourcePolicyV2: (_root, { name }, context) =>
    remove(context, 'project', name),
};

const slotLimits = (column: unknown) => limitEntries(v.parse(slotMapColumn, column));

export const policyV2Graphql: GraphqlModule = {
  typeDefs: v2TypeDefs,
  nodes: {
    KeypairResourcePolicyV2: (context, name) =>
      findNode(context, 'keypair', name, () => ownKeypairPolicy(context.ctx.sql, context.caller)),
    UserResourcePolicyV2: (context, name) =>
      findNode(context, 'user', name, () => ownUserPolicy(context.ctx.sql, context.caller)),
    ProjectResourcePolicyV2: (context, name) =>
      findNode(context, 'project', name, async () => null),
  },
  resolvers: {
    Query: {
      adminKeypairResourcePolicyV2: (_root, { name }, context) => find(context, 'keypair', name),
      adminKeypairResourcePoliciesV2: (_root, args, context, info) =>
        list(context, 'keypair', args, info),
      myKeypairResourcePolicyV2: (_root, _args, { ctx, caller }) =>
        ownKeypairPolicy(ctx.sql, caller),
      adminUserResourcePolicyV2: (_root, { name }, context) => find(context, 'user', name),
      adminUserResourcePoliciesV2: (_root, args, context, info) =>
        list(context, 'user', args, info),
      myUserResourcePolicyV2: (_root, _args, { ctx, caller }) => ownUserPolicy(ctx.sql, caller),
      adminProjectResourcePolicyV2: (_root, { name }, context) => find(context, 'project', name),
      adminProjectResourcePoliciesV2: (_root, args, context, info) =>
        list(context, 'project', args, info),
    },
    Mutation: mutations,
    KeypairResourcePolicyV2: {
      id: ({ name }) => globalId('KeypairResourcePolicyV2', name),
      createdAt: ({ created_at }) => created_at,
      defaultForUnspecified: ({ default_for_unspecified }) => default_for_unspecified,
      totalResourceSlots: (row) => slotLimits(row.total_resource_slots),
      maxSessionLifetime: (row) => row.max_session_lifetime,
      maxConcurrentSessions: (row) => row.max_concurrent_sessions,
      maxPendingSessionCount: (row) => row.max_pending_session_count,
      maxPendingSessionResourceSlots: ({ max_pending_session_resource_slots: slots }) =>
        slots === null ? null : slotLimits(slots),
      maxConcurrentSftpSessions: (row) => row.max_concurrent_sftp_sessions,
      maxContainersPerSession: (row) => row.max_containers_per_session,
      idleTimeout: (row) => row.idle_timeout,
      allowedVfolderHosts: (row) =>
        hostPermissionEntries(v.parse(hostPermissionsColumn, row.allowed_vfolder_hosts)),
    },
    UserResourcePolicyV2: {
      id: ({ name }) => globalId('UserResourcePolicyV2', name),
      createdAt: ({ created_at }) => created_at,
      maxVfolderCount: (row) => row.max_vfolder_count,
      maxConcurrentLogins: (row) => row.max_concurrent_logins,
      maxQuotaScopeSize: (row) => binarySize(row.max_quota_scope_size),
      maxSessionCountPerModelSession: (row) => row.max_session_count_per_model_session,
      maxCustomizedImageCount: (row) => row.max_customized_image_count,
    },
    ProjectResourcePolicyV2: {
      id: ({ name }) => globalId('ProjectResourcePolicyV2', name),
      createdAt: ({ created_at }) => created_at,
      maxVfolderCount: (row) => row.max_vfolder_count,
      maxQuotaScopeSize: (row) => binarySize(row.max_quota_scope_size),
      maxNetworkCount: (row) => row.max_network_count,
    },
  },
};
