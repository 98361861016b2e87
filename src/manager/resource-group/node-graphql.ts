/** GraphQL fields about resource groups as nodes (upstream: scaling groups). */
import type { ScalingGroupRow } from '../db/rows.generated.ts';
import { toConnection } from '../graphql/connection.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId } from '../graphql/global-id.ts';
import { batched } from '../graphql/loaders.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { listGroupRows } from './manage.ts';
import { allowedResourceGroups } from './service.ts';

const TYPE = 'ScalingGroupNode';

const typeDefs = /* GraphQL */ `
  type ScalingGroupNode implements Node {
    id: ID!
    name: String
    description: String
    is_active: Boolean
    is_public: Boolean
    created_at: DateTime
    wsproxy_addr: String
    wsproxy_api_token: String
    driver: String
    driver_opts: JSONString
    scheduler: String
    scheduler_opts: JSONString
    use_host_network: Boolean
  }

  type ScalingGroupConnection {
    pageInfo: PageInfo!
    edges: [ScalingGroupEdge]!
    count: Int
  }

  type ScalingGroupEdge {
    node: ScalingGroupNode
    cursor: String!
  }

  type DomainNode {
    scaling_groups(filter: String, order: String, offset: Int, before: String, after: String, first: Int, last: Int): ScalingGroupConnection
  }
`;

const groupByName = batched<string, ScalingGroupRow>(async (names, { ctx }) => {
  const rows = await listGroupRows(ctx.sql, { names });
  return new Map(rows.map((row) => [row.name, row]));
});

/** Superadmins may see any group, others what they may use and is public. */
async function mayUse({ ctx, caller }: GraphqlContext, name: string): Promise<boolean> {
  if (caller.isSuperadmin) return true;
  const usable = await allowedResourceGroups(ctx.sql, {
    domain: caller.domainName,
    projectId: null,
    accessKey: caller.accessKey,
  });
  return usable.some((group) => group.name === name && group.isPublic);
}

export const resourceGroupNodeGraphql: GraphqlModule = {
  typeDefs,
  nodes: {
    ScalingGroupNode: async (context, name) =>
      (await mayUse(context, name)) ? groupByName(context, name) : null,
  },
  resolvers: {
    ScalingGroupNode: {
      id: ({ name }) => globalId(TYPE, name),
      // The proxy takes whoever knows it for the manager.
      wsproxy_api_token: ({ wsproxy_api_token: token }, _args, { caller }) =>
        caller.isSuperadmin ? token : null,
    },
    DomainNode: {
      // Upstream ignores the arguments and answers all; a domain has few.
      async scaling_groups({ scaling_groups: names }, _args, context) {
        const found = await Promise.all(names.map((name) => groupByName(context, name)));
        const isAdministrator = context.caller.role !== 'user';
        const rows = found.filter(
          (row): row is ScalingGroupRow => row !== null && (row.is_public || isAdministrator),
        );
        return toConnection(
          { rows, total: rows.length, hasNext: false, hasPrevious: false },
          ({ name }) => globalId(TYPE, name),
        );
      },
    },
  },
};
