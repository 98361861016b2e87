/** Agents in the GraphQL schema (the legacy type). Its kernels are added by the session feature. */
import type { GraphqlModule } from '../graphql/module.ts';
import type { QueryagentsArgs } from '../graphql/resolvers.generated.ts';
import { nameList, pageOf, requireSuperadmin } from '../graphql/scope.ts';
import { deviceFields, floatMap } from './graphql-devices.ts';
import { nodeFigures } from './graphql-statistics.ts';
import { type AgentListRow, findAgentRow, listAgents, selectAgents } from './graphql-store.ts';

const typeDefs = /* GraphQL */ `
  scalar UUIDFloatMap

  type Query {
    agent(agent_id: String!): Agent
    agents(scaling_group: String, status: String): [Agent]
    agent_list(
      limit: Int!
      offset: Int!
      filter: String
      order: String
      scaling_group: String
      status: String
    ): AgentList
  }

  type Agent implements Item {
    id: ID
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
    gpu_alloc_map: UUIDFloatMap
    auto_terminate_abusing_kernel: Boolean
    local_config: JSONString
    mem_slots: Int
    cpu_slots: Float
    gpu_slots: Float
    tpu_slots: Float
    used_mem_slots: Int
    used_cpu_slots: Float
    used_gpu_slots: Float
    used_tpu_slots: Float
    cpu_cur_pct: Float
    mem_cur_bytes: Float
  }

  type AgentList implements PaginatedList {
    items: [Agent]!
    total_count: Int!
  }
`;

export const agentStatuses = ['ALIVE', 'LOST', 'RESTARTING', 'TERMINATED'];
const MAX_PLAIN_LIST = 1000;
const MIB = 1024 * 1024;

const slot = (slots: AgentListRow['available_slots'], name: string): number =>
  Number(slots[name] ?? 0);

export function toAgent(row: AgentListRow) {
  const { available_slots: available, occupied_slots: occupied, ...columns } = row;
  return {
    ...columns,
    available_slots: available,
    occupied_slots: occupied,
    local_config: {
      agent: { auto_terminate_abusing_kernel: row.auto_terminate_abusing_kernel },
    },
    mem_slots: Math.floor(slot(available, 'mem') / MIB),
    cpu_slots: slot(available, 'cpu'),
    gpu_slots: slot(available, 'cuda.device'),
    tpu_slots: slot(available, 'tpu.device'),
    used_mem_slots: Math.floor(slot(occupied, 'mem') / MIB),
    used_cpu_slots: slot(occupied, 'cpu'),
    used_gpu_slots: slot(occupied, 'cuda.device'),
    used_tpu_slots: slot(occupied, 'tpu.device'),
  };
}

/** An agent as its resolvers give it. */
export type AgentParent = ReturnType<typeof toAgent>;

const selectionOf = (args: QueryagentsArgs) => ({
  visibleGroups: null,
  scalingGroup: args.scaling_group ?? null,
  statuses: nameList(args.status, agentStatuses),
});

export const agentGraphql: GraphqlModule = {
  typeDefs,
  resolvers: {
    UUIDFloatMap: floatMap,
    Agent: { ...nodeFigures, ...deviceFields },
    Query: {
      agent: async (_root, args, context) => {
        requireSuperadmin(context.caller);
        const row = await findAgentRow(context.ctx.sql, args.agent_id);
        return row && toAgent(row);
      },
      agents: async (_root, args, context) => {
        requireSuperadmin(context.caller);
        const rows = await selectAgents(context.ctx.sql, selectionOf(args), MAX_PLAIN_LIST);
        return rows.map(toAgent);
      },
      agent_list: async (_root, args, context) => {
        requireSuperadmin(context.caller);
        const { rows, total } = await listAgents(context.ctx.sql, {
          ...pageOf(args),
          ...selectionOf(args),
          filter: args.filter,
          order: args.order,
        });
        return { items: rows.map(toAgent), total_count: total };
      },
    },
  },
};
