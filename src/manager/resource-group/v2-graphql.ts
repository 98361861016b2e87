/** GraphQL fields about resource groups (the newer type): `resourceGroups`, `adminResourceGroups`. */
import { formatSlots, parseSlots, subtractSlots } from '../../common/slots.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId } from '../graphql/global-id.ts';
import { batched } from '../graphql/loaders.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import type { SchedulerType } from '../graphql/resolvers.generated.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import { v2ListField } from '../graphql/v2-list.ts';
import { slotEntries } from '../graphql/v2-shapes.ts';
import {
  listAllResourceGroups,
  listGroupsV2,
  type ResourceGroup,
  usableGroups,
} from './service.ts';
import { agentSumsOf } from './statistics.ts';
import { v2TypeDefs } from './v2-schema.ts';

const TYPE = 'ResourceGroup';
const idOf = ({ name }: ResourceGroup): string => name;

const SCHEDULERS: Readonly<Record<string, SchedulerType>> = {
  fifo: 'FIFO',
  lifo: 'LIFO',
  drf: 'DRF',
  'fair-share': 'FAIR_SHARE',
};

function schedulerType({ name, scheduler }: ResourceGroup): SchedulerType {
  const type = SCHEDULERS[scheduler];
  if (type === undefined) throw new Error(`resource group '${name}' has scheduler '${scheduler}'`);
  return type;
}

const orders = {
  oldest: 'OLDEST',
  newest: 'NEWEST',
  'fewest-sessions': 'FEWEST_SESSIONS',
  'smallest-resources': 'SMALLEST_RESOURCES',
} as const;
const victimScopes = {
  user: 'USER',
  project: 'PROJECT',
  domain: 'DOMAIN',
  'resource-group': 'RESOURCE_GROUP',
} as const;

const failurePolicies = {
  strict: 'STRICT',
  'boot-all': 'BOOT_ALL',
  tolerant: 'TOLERANT',
} as const;

/** Limits of phases, of all and of single ones. Seconds. */
function handlerOptions(options: ResourceGroup['deploymentOptions']['handler_options']) {
  const limits = (of: typeof options.default) => ({
    timeoutSec: of.timeout,
    maxRetryCount: of.max_retry_count,
  });
  const byHandler = Object.entries(options.by_handler).map(([handlerName, of]) => ({
    ...limits(of),
    handlerName,
  }));
  return { default: limits(options.default), byHandler };
}

/** Superadmins see every group, others those that they may use. */
export const loadResourceGroupV2 = batched<string, ResourceGroup>(async (_names, context) => {
  const { ctx, caller } = context;
  const groups = caller.isSuperadmin
    ? await listAllResourceGroups(ctx.sql)
    : await usableGroups(ctx.sql, caller);
  const shown = groups.filter(
    ({ isPublic }) => isPublic || caller.isSuperadmin || caller.role === 'admin',
  );
  return new Map(shown.map((group) => [group.name, group]));
});

/** What the living agents of the group have together. */
async function resourceInfo({ name }: ResourceGroup, context: GraphqlContext) {
  const { available, occupied } = await agentSumsOf(context, name, 'ALIVE');
  const free = formatSlots(subtractSlots(parseSlots(available), parseSlots(occupied)));
  return {
    capacity: { entries: slotEntries(available) },
    used: { entries: slotEntries(occupied) },
    free: { entries: slotEntries(free) },
  };
}

export const resourceGroupV2Graphql: GraphqlModule = {
  typeDefs: v2TypeDefs,
  nodes: { ResourceGroup: loadResourceGroupV2 },
  resolvers: {
    Query: {
      resourceGroups: (_root, args, { ctx, caller }, info) =>
        v2ListField<ResourceGroup>(args, info, {
          idOf,
          load: (wish) => listGroupsV2(ctx.sql, caller, args, wish),
        }),
      adminResourceGroups: (_root, args, { ctx, caller }, info) => {
        requireAdministrator(caller);
        return v2ListField<ResourceGroup>(args, info, {
          idOf,
          load: (wish) => listGroupsV2(ctx.sql, caller, args, wish),
        });
      },
    },
    ResourceGroup: {
      id: ({ name }) => globalId(TYPE, name),
      status: ({ isActive, isPublic }) => ({ isActive, isPublic }),
      metadata: ({ description, createdAt }) => ({ description, createdAt }),
      network: ({ wsproxyAddr, useHostNetwork }) => ({ wsproxyAddr, useHostNetwork }),
      scheduler: (group) => {
        const { preemption } = group.schedulerOptions;
        return {
          type: schedulerType(group),
          preemption: {
            enabled: preemption.enabled,
            preemptiblePriority: preemption.preemptible_priority,
            order: orders[preemption.order],
            mode: preemption.mode === 'terminate' ? 'TERMINATE' : 'RESCHEDULE',
            preemptionMinRuntime: preemption.preemption_min_runtime,
            victimScope: victimScopes[preemption.victim_scope],
          },
        };
      },
      defaultDeploymentOptions: ({ deploymentOptions }) => ({
        handlerOptions: handlerOptions(deploymentOptions.handler_options),
      }),
      defaultSessionOptions: ({ sessionOptions }) => ({
        priority: sessionOptions.priority,
        isPreemptible: sessionOptions.is_preemptible,
        clusterMode: sessionOptions.cluster_mode,
        defaultFailurePolicy: failurePolicies[sessionOptions.default_failure_policy],
        handlerOptions: handlerOptions(sessionOptions.handler_options),
        agentSelectionPolicy:
          sessionOptions.agent_selection_policy === 'strict' ? 'STRICT' : 'PREFERRED',
      }),
      resourceInfo: (group, _args, context) => resourceInfo(group, context),
    },
  },
};
