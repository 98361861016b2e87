/** GraphQL fields about agents as nodes, what everybody may know of agents, and changing one. */
import { BackendError } from '../../common/errors.ts';
import { formatSlots, parseSlots, type SlotMap } from '../../common/slots.ts';
import { connectionField } from '../graphql/connection.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { mutate, v2Mutation } from '../graphql/mutation.ts';
import { type Listed, mapListed } from '../graphql/page.ts';
import { wordScalar } from '../graphql/scalars.ts';
import { nameList, pageOf, requireSuperadmin } from '../graphql/scope.ts';
import { usableGroupNames } from '../resource-group/service.ts';
import { type AgentParent, agentStatuses, toAgent } from './graphql.ts';
import { deviceFields } from './graphql-devices.ts';
import { liveStat } from './graphql-statistics.ts';
import {
  type AgentListRow,
  findAgentRow,
  listAgents,
  selectAgentNodes,
  selectTotals,
} from './graphql-store.ts';
import { modifyAgent, rescanDevices } from './manage.ts';

const TYPE = 'AgentNode';
const EMPTY = { rows: [], total: 0, hasNext: false, hasPrevious: false };

const AGENT_PERMISSIONS = [
  'read_attribute',
  'update_attribute',
  'create_compute_session',
  'create_service',
] as const;
export type AgentPermissionWord = (typeof AGENT_PERMISSIONS)[number];

const PAGE =
  'filter: String, order: String, offset: Int, before: String, after: String, first: Int, last: Int';

const typeDefs = /* GraphQL */ `
  scalar AgentPermissionField

  type Query {
    agent_nodes(
      scope: ScopeField
      permission: AgentPermissionField = "create_compute_session"
      ${PAGE}
    ): AgentConnection
    agent_summary(agent_id: String!): AgentSummary
    agent_summary_list(
      limit: Int!
      offset: Int!
      filter: String
      order: String
      scaling_group: String
      status: String
    ): AgentSummaryList
    agentStats: AgentStats
  }

  type Mutation {
    modify_agent(id: String!, props: ModifyAgentInput!): ModifyAgent
    rescan_gpu_alloc_maps(agent_id: String!): RescanGPUAllocMaps
  }

  input ModifyAgentInput {
    schedulable: Boolean
    scaling_group: String
  }

  type ModifyAgent {
    ok: Boolean
    msg: String
  }

  type RescanGPUAllocMaps {
    task_id: UUID
  }

  type AgentStats {
    totalResource: AgentResource!
  }

  type AgentResource {
    capacity: JSON!
    used: JSON!
    free: JSON!
  }

  type AgentNode implements Node {
    id: ID!
    row_id: String
    status: String
    status_changed: DateTime
    region: String
    scaling_group: String
    schedulable: Boolean
    available_slots: JSONString
    occupied_slots: JSONString
    addr: String
    architecture: String
    first_contact: DateTime
    lost_at: DateTime
    live_stat: JSONString
    version: String
    compute_plugins: JSONString
    hardware_metadata: JSONString
    auto_terminate_abusing_kernel: Boolean
    local_config: JSONString
    gpu_alloc_map: UUIDFloatMap
    permissions: [AgentPermissionField]
  }

  type AgentConnection {
    pageInfo: PageInfo!
    edges: [AgentEdge]!
    count: Int
  }

  type AgentEdge {
    node: AgentNode
    cursor: String!
  }

  type AgentSummary implements Item {
    id: ID
    status: String
    scaling_group: String
    schedulable: Boolean
    available_slots: JSONString
    occupied_slots: JSONString
    architecture: String
  }

  type AgentSummaryList implements PaginatedList {
    items: [AgentSummary]!
    total_count: Int!
  }
`;

async function loadAgentNode({ ctx, caller }: GraphqlContext, id: string) {
  if (!caller.isSuperadmin) return null;
  const row = await findAgentRow(ctx.sql, id);
  return row && toAgent(row);
}

/** The resource groups whose agents the caller may know of; null: all. */
async function knownGroups({ ctx, caller }: GraphqlContext): Promise<readonly string[] | null> {
  if (caller.isSuperadmin) return null;
  if (ctx.settings.hideAgents) throw new BackendError('AgentNotFound');
  return await usableGroupNames(ctx.sql, caller);
}

const toSummary = ({
  id,
  status,
  scaling_group,
  schedulable,
  architecture,
  ...row
}: AgentListRow) => ({
  ...{ id, status, scaling_group, schedulable, architecture },
  available_slots: row.available_slots,
  occupied_slots: row.occupied_slots,
});

/** What is left of the capacity; nothing of a slot where more is held than there is. */
export function freeOf(capacity: SlotMap, used: SlotMap): SlotMap {
  const free = new Map(parseSlots(capacity));
  for (const [name, amount] of parseSlots(used)) {
    const left = (free.get(name) ?? 0n) - amount;
    free.set(name, left > 0n ? left : 0n);
  }
  return formatSlots(free);
}

export const agentNodeGraphql: GraphqlModule = {
  typeDefs,
  nodes: { AgentNode: loadAgentNode },
  resolvers: {
    AgentPermissionField: wordScalar('AgentPermissionField', AGENT_PERMISSIONS),
    Query: {
      agent_nodes: (_root, args, context, info) =>
        connectionField(args, context, info, {
          typeName: TYPE,
          idOf: ({ id }: AgentParent) => id,
          load: async (wish): Promise<Listed<AgentParent>> => {
            // As upstream's: no error, since every WebUI asks, but nothing to see.
            if (!context.caller.isSuperadmin) return EMPTY;
            const query = { ...args, within: args.scope ?? ({ kind: 'system' } as const) };
            const listed = await selectAgentNodes(context.ctx.sql, query, wish);
            return mapListed(listed, toAgent);
          },
        }),
      agent_summary: async (_root, { agent_id }, context) => {
        const row = await findAgentRow(context.ctx.sql, agent_id, await knownGroups(context));
        if (!row) throw new BackendError('AgentNotFound');
        return toSummary(row);
      },
      agent_summary_list: async (_root, args, context) => {
        const { rows, total } = await listAgents(context.ctx.sql, {
          ...pageOf(args),
          visibleGroups: await knownGroups(context),
          scalingGroup: args.scaling_group ?? null,
          statuses: nameList(args.status, agentStatuses),
          filter: args.filter,
          order: args.order,
        });
        return { items: rows.map(toSummary), total_count: total };
      },
      agentStats: async (_root, _args, { ctx, caller }) => {
        requireSuperadmin(caller);
        const { capacity, used } = await selectTotals(ctx.sql);
        return { totalResource: { capacity, used, free: freeOf(capacity, used) } };
      },
    },
    Mutation: {
      rescan_gpu_alloc_maps: (_root, { agent_id }, context) =>
        v2Mutation(context, 'superadmin', async () => ({
          task_id: await rescanDevices(context, agent_id),
        })),
      modify_agent: async (_root, { id, props }, context, info) => {
        try {
          return await mutate(context, info.path.key, 'superadmin', {}, async () => {
            await modifyAgent(context, id, props);
            return {};
          });
        } catch (error) {
          if (!(error instanceof BackendError) || error.problem !== 'AgentNotFound') throw error;
          return { ok: false, msg: 'no matching modifyagent' };
        }
      },
    },
    AgentNode: {
      live_stat: liveStat,
      ...deviceFields,
      id: ({ id }) => globalId(TYPE, id),
      row_id: ({ id }) => id,
      permissions: () => AGENT_PERMISSIONS,
    },
  },
};
