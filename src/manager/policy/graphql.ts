/** GraphQL fields about the three resource policies (the legacy types). */
import { BackendError } from '../../common/errors.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { hostPermissionsInput, limitsInput } from '../graphql/inputs.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { kept, mutate } from '../graphql/mutation.ts';
import type {
  CreateProjectResourcePolicyInput,
  CreateUserResourcePolicyInput,
  ModifyKeyPairResourcePolicyInput,
} from '../graphql/resolvers.generated.ts';
import { requireDomainAdmin } from '../graphql/scope.ts';
import {
  createPolicy,
  deletePolicy,
  findPolicy,
  listPolicies,
  modifyPolicy,
  ownKeypairPolicy,
  ownUserPolicy,
  type PolicyColumns,
  type PolicyRows,
} from './manage.ts';
import { typeDefs } from './schema.ts';

type Kind = keyof PolicyRows;

/** Columns that may be empty in the table, though clients are promised a time. */
function createdAt({ name, created_at }: PolicyRows['user'] | PolicyRows['project']): Date {
  if (created_at) return created_at;
  throw new Error(`the resource policy '${name}' has no time of creation`);
}

const toKeypairPolicy = (row: PolicyRows['keypair']) => ({
  ...row,
  // Folders' limits moved to the users' and projects' policies; the fields answer nothing.
  max_vfolder_count: null,
  max_vfolder_size: null,
  max_quota_scope_size: null,
});
const toUserPolicy = (row: PolicyRows['user']) => ({
  ...row,
  id: `UserResourcePolicy:${row.name}`,
  created_at: createdAt(row),
  max_vfolder_size: row.max_quota_scope_size,
});
const toProjectPolicy = (row: PolicyRows['project']) => ({
  ...row,
  id: `ProjectResourcePolicy:${row.name}`,
  created_at: createdAt(row),
  max_vfolder_size: row.max_quota_scope_size,
});

/** Administrators see every policy, others the one they have. */
async function visible<Row>(
  { caller }: GraphqlContext,
  all: () => Promise<Row[]>,
  own: () => Promise<Row | null>,
): Promise<Row[]> {
  if (caller.role === 'superadmin' || caller.role === 'admin') return all();
  const row = await own();
  return row ? [row] : [];
}

const UNSPECIFIED = ['LIMITED', 'UNLIMITED'] as const;

/** @throws BackendError InvalidAPIParameters naming the argument; absent stays so. */
export function checkedUnspecified(argument: string, text: string | undefined): string | undefined {
  const wanted = text?.toUpperCase();
  if (wanted === undefined || UNSPECIFIED.some((name) => name === wanted)) return wanted;
  throw new BackendError(
    'InvalidAPIParameters',
    `${argument} must be one of ${UNSPECIFIED.join(', ')}.`,
  );
}

function keypairColumns(props: ModifyKeyPairResourcePolicyInput): PolicyColumns {
  const {
    total_resource_slots: total,
    allowed_vfolder_hosts: hosts,
    max_pending_session_resource_slots: pending,
  } = props;
  return {
    default_for_unspecified: checkedUnspecified(
      'default_for_unspecified',
      kept(props.default_for_unspecified),
    ),
    total_resource_slots:
      total == null ? undefined : { json: limitsInput('total_resource_slots', total) },
    max_session_lifetime: kept(props.max_session_lifetime),
    max_concurrent_sessions: kept(props.max_concurrent_sessions),
    max_concurrent_sftp_sessions: kept(props.max_concurrent_sftp_sessions),
    max_containers_per_session: kept(props.max_containers_per_session),
    idle_timeout: kept(props.idle_timeout),
    allowed_vfolder_hosts:
      hosts == null ? undefined : { json: hostPermissionsInput('allowed_vfolder_hosts', hosts) },
    max_pending_session_count: props.max_pending_session_count,
    max_pending_session_resource_slots:
      pending == null
        ? pending
        : { json: limitsInput('max_pending_session_resource_slots', pending) },
  };
}

const userColumns = (props: CreateUserResourcePolicyInput): PolicyColumns => ({
  max_vfolder_count: kept(props.max_vfolder_count),
  // The older name of the same limit.
  max_quota_scope_size: kept(props.max_quota_scope_size) ?? kept(props.max_vfolder_size),
  max_session_count_per_model_session: kept(props.max_session_count_per_model_session),
  max_customized_image_count: kept(props.max_customized_image_count),
});

const projectColumns = (props: CreateProjectResourcePolicyInput): PolicyColumns => ({
  max_vfolder_count: kept(props.max_vfolder_count),
  max_quota_scope_size: kept(props.max_quota_scope_size) ?? kept(props.max_vfolder_size),
  max_network_count: kept(props.max_network_count),
});

/** Creates a policy and answers with it. */
const create = <K extends Kind, T>(
  context: GraphqlContext,
  field: string | number,
  kind: K,
  name: string,
  columns: () => PolicyColumns,
  show: (row: PolicyRows[K]) => T,
) =>
  mutate(context, field, 'superadmin', { resource_policy: null }, async () => {
    await createPolicy(context, kind, name, columns());
    const row = await findPolicy(context.ctx.sql, kind, name);
    return { resource_policy: row && show(row) };
  });

const modify = (
  context: GraphqlContext,
  field: string | number,
  kind: Kind,
  name: string,
  columns: () => PolicyColumns,
) =>
  mutate(context, field, 'superadmin', {}, async () => {
    await modifyPolicy(context, kind, name, columns());
    return {};
  });

const remove = (context: GraphqlContext, field: string | number, kind: Kind, name: string) =>
  mutate(context, field, 'superadmin', {}, async () => {
    await deletePolicy(context, kind, name);
    return {};
  });

const queries: NonNullable<GraphqlModule['resolvers']['Query']> = {
  keypair_resource_policy: async (_root, { name }, { ctx, caller }) => {
    const row = await (name == null
      ? ownKeypairPolicy(ctx.sql, caller)
      : findPolicy(ctx.sql, 'keypair', name));
    return row && toKeypairPolicy(row);
  },
  user_resource_policy: async (_root, { name }, { ctx, caller }) => {
    const row = await (name == null
      ? ownUserPolicy(ctx.sql, caller)
      : findPolicy(ctx.sql, 'user', name));
    return row && toUserPolicy(row);
  },
  project_resource_policy: async (_root, { name }, { ctx }) => {
    const row = await findPolicy(ctx.sql, 'project', name);
    return row && toProjectPolicy(row);
  },
  keypair_resource_policies: async (_root, _args, context) => {
    const { ctx, caller } = context;
    const rows = await visible(
      context,
      () => listPolicies(ctx.sql, 'keypair'),
      () => ownKeypairPolicy(ctx.sql, caller),
    );
    return rows.map(toKeypairPolicy);
  },
  user_resource_policies: async (_root, _args, context) => {
    const { ctx, caller } = context;
    const rows = await visible(
      context,
      () => listPolicies(ctx.sql, 'user'),
      () => ownUserPolicy(ctx.sql, caller),
    );
    return rows.map(toUserPolicy);
  },
  project_resource_policies: async (_root, _args, { ctx, caller }) => {
    requireDomainAdmin(caller, null);
    return (await listPolicies(ctx.sql, 'project')).map(toProjectPolicy);
  },
};

const mutations: NonNullable<GraphqlModule['resolvers']['Mutation']> = {
  create_keypair_resource_policy: (_root, { name, props }, context, { path }) =>
    create(context, path.key, 'keypair', name, () => keypairColumns(props), toKeypairPolicy),
  modify_keypair_resource_policy: (_root, { name, props }, context, { path }) =>
    modify(context, path.key, 'keypair', name, () => keypairColumns(props)),
  delete_keypair_resource_policy: (_root, { name }, context, { path }) =>
    remove(context, path.key, 'keypair', name),
  create_user_resource_policy: (_root, { name, props }, context, { path }) =>
    create(context, path.key, 'user', name, () => userColumns(props), toUserPolicy),
  modify_user_resource_policy: (_root, { name, props }, context, { path }) =>
    modify(context, path.key, 'user', name, () => userColumns(props)),
  delete_user_resource_policy: (_root, { name }, context, { path }) =>
    remove(context, path.key, 'user', name),
  create_project_resource_policy: (_root, { name, props }, context, { path }) =>
    create(context, path.key, 'project', name, () => projectColumns(props), toProjectPolicy),
  modify_project_resource_policy: (_root, { name, props }, context, { path }) =>
    modify(context, path.key, 'project', name, () => projectColumns(props)),
  delete_project_resource_policy: (_root, { name }, context, { path }) =>
    remove(context, path.key, 'project', name),
};

export const policyGraphql: GraphqlModule = {
  typeDefs,
  resolvers: { Query: queries, Mutation: mutations },
};
