/** GraphQL fields that make, change and remove resource groups (the newer type), and say who may use them. */
import { BackendError } from '../../common/errors.ts';
import type { Db } from '../db/connect.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { kept, v2Mutation } from '../graphql/mutation.ts';
import type {
  PreemptionOrder,
  SchedulerType,
  UpdateResourceGroupInput,
} from '../graphql/resolvers.generated.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import {
  changeAllowances,
  createGroup,
  deleteGroup,
  type GroupWishes,
  listGroupRows,
  modifyGroup,
  type Owner,
  ownersOf,
} from './manage.ts';
import { loadResourceGroup, type ResourceGroup } from './service.ts';
import { v2ManageTypeDefs } from './v2-manage-schema.ts';

const domainOwner = (domain: string): Owner => ({ kind: 'domain', domain });
const projectOwner = (projectId: string): Owner => ({ kind: 'project', projectId });

const schedulers = {
  FIFO: 'fifo',
  LIFO: 'lifo',
  DRF: 'drf',
  FAIR_SHARE: 'fair-share',
} as const satisfies Record<SchedulerType, string>;
const orders = {
  OLDEST: 'oldest',
  NEWEST: 'newest',
  FEWEST_SESSIONS: 'fewest-sessions',
  SMALLEST_RESOURCES: 'smallest-resources',
} as const satisfies Record<PreemptionOrder, string>;

const wishesOf = (input: UpdateResourceGroupInput): GroupWishes => ({
  description: kept(input.description),
  is_active: kept(input.isActive),
  is_public: kept(input.isPublic),
  wsproxy_addr: kept(input.appProxyAddr),
  wsproxy_api_token: kept(input.appproxyApiToken),
  use_host_network: kept(input.useHostNetwork),
  scheduler: input.schedulerType ? schedulers[input.schedulerType] : undefined,
  preemption: input.preemption
    ? {
        preemptible_priority: input.preemption.preemptiblePriority,
        order: orders[input.preemption.order ?? 'OLDEST'],
        mode: input.preemption.mode === 'TERMINATE' ? 'terminate' : 'reschedule',
      }
    : undefined,
});

/** @throws BackendError ScalingGroupNotFound. */
async function present(sql: Db, name: string): Promise<ResourceGroup> {
  const group = await loadResourceGroup(sql, name);
  if (group) return group;
  throw new BackendError('ScalingGroupNotFound', `There is no resource group '${name}'.`);
}

/** Names of the groups that an owner may use, whether or not they are active. */
async function groupsOf({ ctx }: GraphqlContext, owner: Owner) {
  const rows = await listGroupRows(ctx.sql, { owner });
  return { items: rows.map(({ name }) => name) };
}

async function ownersAllowed(
  { ctx, caller }: GraphqlContext,
  name: string,
  kind: 'domain' | 'project',
) {
  requireAdministrator(caller);
  return { items: await ownersOf(ctx.sql, name, kind) };
}

interface AddAndRemove {
  readonly add?: readonly string[] | null | undefined;
  readonly remove?: readonly string[] | null | undefined;
}

/** Lets owners use a group, and others no longer. */
const changeOwners = (
  context: GraphqlContext,
  { resourceGroupName: name, add, remove }: AddAndRemove & { readonly resourceGroupName: string },
  kind: 'domain' | 'project',
) =>
  v2Mutation(context, 'superadmin', async () => {
    const toOwner = kind === 'domain' ? domainOwner : projectOwner;
    const allowances = (ids: readonly string[] | null | undefined) =>
      (ids ?? []).map((id) => ({ name, owner: toOwner(id) }));
    await changeAllowances(context, allowances(add), allowances(remove));
    return { items: await ownersOf(context.ctx.sql, name, kind) };
  });

/** Lets an owner use groups, and others no longer. */
const changeGroups = (context: GraphqlContext, owner: Owner, { add, remove }: AddAndRemove) =>
  v2Mutation(context, 'superadmin', async () => {
    const allowances = (names: readonly string[] | null | undefined) =>
      (names ?? []).map((name) => ({ name, owner }));
    await changeAllowances(context, allowances(add), allowances(remove));
    return groupsOf(context, owner);
  });

export const resourceGroupV2ManageGraphql: GraphqlModule = {
  typeDefs: v2ManageTypeDefs,
  resolvers: {
    Query: {
      adminResourceGroupV2: (_root, { name }, { ctx, caller }) => {
        requireAdministrator(caller);
        return present(ctx.sql, name);
      },
      adminAllowedDomainsForResourceGroupV2: (_root, { resourceGroupName }, context) =>
        ownersAllowed(context, resourceGroupName, 'domain'),
      adminAllowedProjectsForResourceGroupV2: (_root, { resourceGroupName }, context) =>
        ownersAllowed(context, resourceGroupName, 'project'),
      adminAllowedResourceGroupsForDomainV2: (_root, { domainName }, context) => {
        requireAdministrator(context.caller);
        return groupsOf(context, domainOwner(domainName));
      },
      adminAllowedResourceGroupsForProjectV2: (_root, { projectId }, context) => {
        requireAdministrator(context.caller);
        return groupsOf(context, projectOwner(projectId));
      },
    },
    Mutation: {
      adminCreateResourceGroupV2: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', async () => {
          const wishes = { description: kept(input.description) };
          const kind = { driver: 'static', scheduler: 'fifo' };
          const owner = domainOwner(input.domainName);
          await createGroup(context, input.name, { ...wishes, ...kind }, owner);
          return { resourceGroup: await present(context.ctx.sql, input.name) };
        }),
      adminUpdateResourceGroup: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', async () => {
          await modifyGroup(context, input.resourceGroupName, wishesOf(input));
          return { resourceGroup: await present(context.ctx.sql, input.resourceGroupName) };
        }),
      adminDeleteResourceGroupV2: (_root, { name }, context) =>
        v2Mutation(context, 'superadmin', async () => {
          await deleteGroup(context, name);
          return { id: name };
        }),
      adminUpdateAllowedDomainsForResourceGroupV2: (_root, { input }, context) =>
        changeOwners(context, input, 'domain'),
      adminUpdateAllowedProjectsForResourceGroupV2: (_root, { input }, context) =>
        changeOwners(context, input, 'project'),
      adminUpdateAllowedResourceGroupsForDomainV2: (_root, { input }, context) =>
        changeGroups(context, domainOwner(input.domainName), input),
      adminUpdateAllowedResourceGroupsForProjectV2: (_root, { input }, context) =>
        changeGroups(context, projectOwner(input.projectId), input),
    },
  },
};
