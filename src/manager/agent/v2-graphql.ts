/** Agents in the newer GraphQL type: `agentsV2`, for superadmins; `agentV2` is one of them, as other types have it. Session and kernel lists are the session feature's. */
import { formatSlots, parseSlots } from '../../common/slots.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import type { AgentStatusEnum } from '../graphql/resolvers.generated.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import { v2ListField } from '../graphql/v2-list.ts';
import { type AgentListRow, findAgentRow, searchAgents } from './graphql-store.ts';
import { freeOf } from './node-graphql.ts';

export type { AgentListRow };

const TYPE = 'AgentV2';
const LIST =
  'filter: AgentFilter = null, orderBy: [AgentOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null';

const typeDefs = /* GraphQL */ `
  type Query {
    agentV2(id: String!): AgentV2
    agentsV2(${LIST}): AgentV2Connection
  }

  type AgentV2 implements Node {
    id: ID!
    resourceInfo: AgentResource!
    statusInfo: AgentStatusInfo!
    systemInfo: AgentSystemInfo!
    networkInfo: AgentNetworkInfo!
    permissions: [AgentPermission!]!
    scalingGroup: String!
  }

  type AgentStatusInfo {
    status: AgentStatusEnum!
    statusChanged: DateTime
    firstContact: DateTime
    lostAt: DateTime
    schedulable: Boolean!
  }

  type AgentSystemInfo {
    architecture: String!
    version: String!
    autoTerminateAbusingKernel: Boolean!
    computePlugins: ComputePlugins!
  }

  type ComputePlugins {
    entries: [ComputePluginEntry!]!
  }

  type ComputePluginEntry {
    pluginName: String!
    value: String!
  }

  type AgentNetworkInfo {
    region: String!
    addr: String!
  }

  enum AgentStatusEnum {
    ALIVE
    LOST
    RESTARTING
    TERMINATED
  }

  enum AgentPermission {
    READ_ATTRIBUTE
    UPDATE_ATTRIBUTE
    CREATE_COMPUTE_SESSION
    CREATE_SERVICE
  }

  input AgentFilter {
    id: StringFilter = null
    status: AgentStatusFilter = null
    schedulable: Boolean = null
    scalingGroup: StringFilter = null
    AND: [AgentFilter!] = null
    OR: [AgentFilter!] = null
    NOT: [AgentFilter!] = null
  }

  input AgentStatusFilter {
    in: [AgentStatusEnum!] = null
    equals: AgentStatusEnum = null
  }

  input AgentOrderBy {
    field: AgentOrderField!
    direction: OrderDirection! = ASC
  }

  enum AgentOrderField {
    ID
    STATUS
    FIRST_CONTACT
    SCALING_GROUP
    SCHEDULABLE
  }

  type AgentV2Connection {
    pageInfo: PageInfo!
    edges: [AgentV2Edge!]!
    count: Int!
  }

  type AgentV2Edge {
    cursor: String!
    node: AgentV2!
  }
`;

const idOf = ({ id }: AgentListRow): string => id;

/** The agent; null when there is none, or who asks may not know of agents. */
async function loadAgentV2({ ctx, caller }: GraphqlContext, id: string) {
  return caller.isSuperadmin ? await findAgentRow(ctx.sql, id) : null;
}

const STATUSES = {
  ALIVE: 'ALIVE',
  LOST: 'LOST',
  RESTARTING: 'RESTARTING',
  TERMINATED: 'TERMINATED',
} as const satisfies Record<AgentStatusEnum, AgentStatusEnum>;

const isStatus = (status: string): status is AgentStatusEnum => Object.hasOwn(STATUSES, status);

function statusOf({ id, status }: AgentListRow): AgentStatusEnum {
  if (isStatus(status)) return status;
  throw new Error(`agent '${id}' has status '${status}'`);
}

const textOf = (value: unknown): string =>
  typeof value === 'string' ? value : JSON.stringify(value);

/** Who sees agents at all may do all of it. */
const PERMISSIONS = [
  'READ_ATTRIBUTE',
  'UPDATE_ATTRIBUTE',
  'CREATE_COMPUTE_SESSION',
  'CREATE_SERVICE',
] as const;

export const agentV2Graphql: GraphqlModule = {
  typeDefs,
  nodes: { AgentV2: loadAgentV2 },
  resolvers: {
    Query: {
      agentV2: (_root, { id }, context) => {
        requireAdministrator(context.caller);
        return findAgentRow(context.ctx.sql, id);
      },
      agentsV2: (_root, args, { ctx, caller }, info) => {
        requireAdministrator(caller);
        return v2ListField<AgentListRow>(args, info, {
          idOf,
          load: (wish) => searchAgents(ctx.sql, args, wish),
        });
      },
    },
    AgentV2: {
      id: ({ id }) => globalId(TYPE, id),
      resourceInfo: (agent) => {
        const capacity = formatSlots(parseSlots(agent.available_slots));
        const used = formatSlots(parseSlots(agent.occupied_slots));
        return { capacity, used, free: freeOf(capacity, used) };
      },
      statusInfo: (agent) => ({
        status: statusOf(agent),
        statusChanged: agent.status_changed,
        firstContact: agent.first_contact,
        lostAt: agent.lost_at,
        schedulable: agent.schedulable,
      }),
      systemInfo: (agent) => ({
        architecture: agent.architecture,
        version: agent.version,
        autoTerminateAbusingKernel: agent.auto_terminate_abusing_kernel,
        computePlugins: {
          entries: Object.entries(agent.compute_plugins).map(([pluginName, value]) => ({
            pluginName,
            value: textOf(value),
          })),
        },
      }),
      networkInfo: ({ region, addr }) => ({ region, addr }),
      permissions: () => PERMISSIONS,
      scalingGroup: (agent) => agent.scaling_group,
    },
  },
};
