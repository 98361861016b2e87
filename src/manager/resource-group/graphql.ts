/** GraphQL fields about resource groups (upstream: scaling groups; the legacy type). */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import type { ScalingGroupRow } from '../db/rows.generated.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { listInput } from '../graphql/inputs.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { kept, mutate } from '../graphql/mutation.ts';
import type { ModifyScalingGroupInput } from '../graphql/resolvers.generated.ts';
import { requireSuperadmin } from '../graphql/scope.ts';
import { getProject } from '../project/service.ts';
import {
  associateGroups,
  createGroup,
  deleteGroup,
  disassociateGroups,
  type GroupWishes,
  listGroupRows,
  modifyGroup,
  type Owner,
} from './manage.ts';
import { schedulerOptions } from './options.ts';
import { typeDefs } from './schema.ts';
import { allowedResourceGroups, type ResourceGroup } from './service.ts';
import { acceleratorQuantum, agentSumsOf, largestAgentOf, ownSlotsOf } from './statistics.ts';

type Complete = Omit<ReturnType<typeof toParent>, 'round_robin_agent'>;
/** A resource group as its resolvers give it; those who only use it see its name and little else. */
export type ScalingGroupParent = { readonly name: string } & {
  readonly [K in keyof Complete]: Complete[K] | null;
};

const toParent = (row: ScalingGroupRow) => ({
  ...row,
  is_active: row.is_active ?? false,
  scheduler_opts: v.parse(schedulerOptions, row.scheduler_opts),
});

type Filter = Parameters<typeof listGroupRows>[1];

/** Everything about resource groups is for superadmins: the rows hold a secret of the proxy. */
async function listed({ ctx, caller }: GraphqlContext, filter: Filter) {
  requireSuperadmin(caller);
  return (await listGroupRows(ctx.sql, filter)).map(toParent);
}

/** What those see who may only use a group. */
const usableOnly = (group: ResourceGroup): ScalingGroupParent => ({
  id: null,
  name: group.name,
  is_active: group.isActive,
  description: null,
  is_public: null,
  created_at: null,
  wsproxy_addr: null,
  wsproxy_api_token: null,
  driver: null,
  driver_opts: null,
  scheduler: null,
  scheduler_opts: null,
  use_host_network: null,
  fair_share_spec: null,
  default_deployment_options: null,
  default_session_options: null,
});

/**
 * The groups in which the caller may run sessions of the project. Those that are not public are
 * shown to administrators only.
 */
async function accessible({ ctx, caller }: GraphqlContext, projectId: string) {
  const project = await getProject(ctx.sql, caller, projectId);
  const groups = await allowedResourceGroups(ctx.sql, {
    domain: project.domain_name,
    projectId: project.id,
    accessKey: caller.accessKey,
  });
  const isAdministrator = caller.role === 'superadmin' || caller.role === 'admin';
  return groups.filter(({ isPublic }) => isPublic || isAdministrator).map(usableOnly);
}

function projectOwner(projectId: string): Owner {
  if (isUuid(projectId)) return { kind: 'project', projectId };
  throw new BackendError('InvalidAPIParameters', `'${projectId}' is no project id.`);
}
const domainOwner = (domain: string): Owner => ({ kind: 'domain', domain });
const keypairOwner = (accessKey: string): Owner => ({ kind: 'keypair', accessKey });

const wishesOf = (props: ModifyScalingGroupInput): GroupWishes => ({
  description: props.description,
  is_active: kept(props.is_active),
  is_public: kept(props.is_public),
  wsproxy_addr: props.wsproxy_addr,
  wsproxy_api_token: props.wsproxy_api_token,
  driver: kept(props.driver),
  driverOptions: kept(props.driver_opts),
  scheduler: kept(props.scheduler),
  schedulerOptions: kept(props.scheduler_opts),
  use_host_network: kept(props.use_host_network),
});

/** A mutation without a result besides its success. */
const run = (context: GraphqlContext, field: string | number, work: () => Promise<void>) =>
  mutate(context, field, 'superadmin', {}, async () => {
    await work();
    return {};
  });

const associate = (
  context: GraphqlContext,
  field: string | number,
  names: readonly (string | null)[],
  owner: Owner,
) => run(context, field, () => associateGroups(context, listInput(names) ?? [], owner));

const disassociate = (
  context: GraphqlContext,
  field: string | number,
  names: readonly (string | null)[] | null,
  owner: Owner,
) => run(context, field, () => disassociateGroups(context, listInput(names) ?? null, owner));

const associations: NonNullable<GraphqlModule['resolvers']['Mutation']> = {
  associate_scaling_group_with_domain: (_root, args, context, { path }) =>
    associate(context, path.key, [args.scaling_group], domainOwner(args.domain)),
  associate_scaling_groups_with_domain: (_root, args, context, { path }) =>
    associate(context, path.key, args.scaling_groups, domainOwner(args.domain)),
  associate_scaling_group_with_user_group: (_root, args, context, { path }) =>
    associate(context, path.key, [args.scaling_group], projectOwner(args.user_group)),
  associate_scaling_groups_with_user_group: (_root, args, context, { path }) =>
    associate(context, path.key, args.scaling_groups, projectOwner(args.user_group)),
  associate_scaling_group_with_keypair: (_root, args, context, { path }) =>
    associate(context, path.key, [args.scaling_group], keypairOwner(args.access_key)),
  associate_scaling_groups_with_keypair: (_root, args, context, { path }) =>
    associate(context, path.key, args.scaling_groups, keypairOwner(args.access_key)),
  disassociate_scaling_group_with_domain: (_root, args, context, { path }) =>
    disassociate(context, path.key, [args.scaling_group], domainOwner(args.domain)),
  disassociate_scaling_groups_with_domain: (_root, args, context, { path }) =>
    disassociate(context, path.key, args.scaling_groups, domainOwner(args.domain)),
  disassociate_scaling_group_with_user_group: (_root, args, context, { path }) =>
    disassociate(context, path.key, [args.scaling_group], projectOwner(args.user_group)),
  disassociate_scaling_groups_with_user_group: (_root, args, context, { path }) =>
    disassociate(context, path.key, args.scaling_groups, projectOwner(args.user_group)),
  disassociate_scaling_group_with_keypair: (_root, args, context, { path }) =>
    disassociate(context, path.key, [args.scaling_group], keypairOwner(args.access_key)),
  disassociate_scaling_groups_with_keypair: (_root, args, context, { path }) =>
    disassociate(context, path.key, args.scaling_groups, keypairOwner(args.access_key)),
  disassociate_all_scaling_groups_with_domain: (_root, args, context, { path }) =>
    disassociate(context, path.key, null, domainOwner(args.domain)),
  disassociate_all_scaling_groups_with_group: (_root, args, context, { path }) =>
    disassociate(context, path.key, null, projectOwner(args.user_group)),
};

export const resourceGroupGraphql: GraphqlModule = {
  typeDefs,
  resolvers: {
    Query: {
      scaling_group: async (_root, { name }, context) => {
        if (name == null) {
          requireSuperadmin(context.caller);
          throw new BackendError('InvalidAPIParameters', 'Name the resource group.');
        }
        return (await listed(context, { name }))[0] ?? null;
      },
      scaling_groups: (_root, { name, is_active: isActive }, context) =>
        listed(context, { name, isActive }),
      accessible_scaling_groups: (_root, { project_id }, context) =>
        accessible(context, project_id),
      scaling_groups_for_domain: (_root, { domain, is_active: isActive }, context) =>
        listed(context, { isActive, owner: domainOwner(domain) }),
      scaling_groups_for_user_group: (_root, { user_group, is_active: isActive }, context) =>
        listed(context, { isActive, owner: projectOwner(user_group) }),
      scaling_groups_for_keypair: (_root, { access_key, is_active: isActive }, context) =>
        listed(context, { isActive, owner: keypairOwner(access_key) }),
    },
    Mutation: {
      ...associations,
      create_scaling_group: (_root, { name, props }, context, info) =>
        mutate(context, info.path.key, 'superadmin', { scaling_group: null }, async () => {
          const { driver, scheduler } = props;
          await createGroup(context, name, { ...wishesOf(props), driver, scheduler });
          return { scaling_group: (await listed(context, { name }))[0] ?? null };
        }),
      modify_scaling_group: (_root, { name, props }, context, info) =>
        run(context, info.path.key, () => modifyGroup(context, name, wishesOf(props))),
      delete_scaling_group: (_root, { name }, context, info) =>
        run(context, info.path.key, () => deleteGroup(context, name)),
    },
    ScalingGroup: {
      accelerator_quantum_size: (_row, _args, context) => acceleratorQuantum(context),
      agent_count_by_status: async ({ name }, { status }, context) =>
        context.caller.isSuperadmin
          ? (await agentSumsOf(context, name, status ?? null)).agents
          : null,
      agent_total_resource_slots_by_status: async ({ name }, { status }, context) => {
        if (!context.caller.isSuperadmin) return null;
        const { occupied, available } = await agentSumsOf(context, name, status ?? null);
        return { occupied_slots: occupied, available_slots: available };
      },
      resource_allocation_limit_for_sessions: ({ name }, _args, context) =>
        largestAgentOf(context, name),
      own_session_occupied_resource_slots: ({ name }, _args, context) => ownSlotsOf(context, name),
    },
  },
};
