/** GraphQL fields about kernels as nodes. */
import { isUuid } from '../../common/ids.ts';
import { kernelStatistics } from '../agent/graphql-statistics.ts';
import { type Connection, toConnection } from '../graphql/connection.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId } from '../graphql/global-id.ts';
import { batched } from '../graphql/loaders.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { imageNodeByName } from '../image/node-graphql.ts';
import { agentsHidden, historyTime, placedOn } from './graphql.ts';
import { type ContainerRow, selectVisibleKernels } from './graphql-store.ts';
import { sessionVisibility } from './node.ts';

const TYPE = 'KernelNode';

const typeDefs = /* GraphQL */ `
  type AgentNode {
    container_count: Int
    kernel_nodes(filter: String, order: String, offset: Int, before: String, after: String, first: Int, last: Int): KernelConnection
  }

  type KernelNode implements Node {
    id: ID!
    row_id: UUID
    cluster_idx: Int
    local_rank: Int
    cluster_role: String
    cluster_hostname: String
    session_id: UUID
    image: ImageNode
    image_reference: String
    architecture: String
    status: String
    status_changed: DateTime
    status_info: String
    status_data: JSONString
    created_at: DateTime
    terminated_at: DateTime
    starts_at: DateTime
    scheduled_at: DateTime
    agent_id: String
    agent_addr: String
    container_id: String
    resource_opts: JSONString
    occupied_slots: JSONString
    live_stat: JSONString
    preopen_ports: [Int]
  }

  type KernelConnection {
    pageInfo: PageInfo!
    edges: [KernelEdge]!
    count: Int
  }

  type KernelEdge {
    node: KernelNode
    cursor: String!
  }
`;

const readable = batched<string, ContainerRow>((ids, { ctx, caller }) =>
  selectVisibleKernels(ctx.sql, sessionVisibility(caller, 'read_attribute'), ids),
);

const loadKernelNode = (context: GraphqlContext, id: string) =>
  isUuid(id) ? readable(context, id.toLowerCase()) : Promise.resolve(null);

/** All of these kernels at once; such lists are never paged. */
export function kernelNodeConnection(rows: readonly ContainerRow[]): Connection<ContainerRow> {
  const listed = { rows, total: rows.length, hasNext: false, hasPrevious: false };
  return toConnection(listed, (row) => globalId(TYPE, row.id));
}

/** Where a kernel runs, unless that is kept from the caller. */
const whereabouts =
  <Name extends 'agent' | 'agent_addr' | 'container_id'>(name: Name) =>
  (kernel: ContainerRow, _args: unknown, context: GraphqlContext) =>
    agentsHidden(context) ? null : kernel[name];

export const kernelNodeGraphql: GraphqlModule = {
  typeDefs,
  nodes: { KernelNode: loadKernelNode },
  resolvers: {
    AgentNode: {
      container_count: async ({ id }, _args, context) => (await placedOn(id, context)).length,
      kernel_nodes: async ({ id }, _args, context) =>
        kernelNodeConnection(await placedOn(id, context)),
    },
    KernelNode: {
      id: ({ id }) => globalId(TYPE, id),
      row_id: ({ id }) => id,
      image: ({ image, architecture }, _args, context) =>
        image === null || architecture === null
          ? null
          : imageNodeByName(context, image, architecture),
      image_reference: ({ image }) => image,
      scheduled_at: (kernel) => historyTime(kernel.status_history, 'SCHEDULED'),
      agent_id: whereabouts('agent'),
      agent_addr: whereabouts('agent_addr'),
      container_id: whereabouts('container_id'),
      resource_opts: (kernel) => kernel.resource_opts ?? {},
      live_stat: async (kernel, _args, context) =>
        (await kernelStatistics(context, kernel.id)) ?? kernel.last_stat,
      preopen_ports: (kernel) => kernel.preopen_ports ?? [],
    },
  },
};
