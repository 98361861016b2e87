/** GraphQL fields about container registries (the older type, for superadmins). */
import { globalId } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { requireSuperadmin } from '../graphql/scope.ts';
import { listRegistryConfigurations, PASSWORD_PLACEHOLDER } from './service.ts';

type Configuration = Awaited<ReturnType<typeof listRegistryConfigurations>>[number];

const toRegistry = (row: Configuration) => ({
  id: globalId('ContainerRegistry', row.id),
  hostname: row.registry_name,
  config: {
    url: row.url,
    type: row.type,
    project: row.project === null ? [] : [row.project],
    username: row.username,
    password: row.has_password ? PASSWORD_PLACEHOLDER : null,
    ssl_verify: row.ssl_verify,
    is_global: row.is_global,
  },
});

export const registryGraphql: GraphqlModule = {
  typeDefs: /* GraphQL */ `
    type Query {
      container_registry(hostname: String!): ContainerRegistry @deprecated
      container_registries: [ContainerRegistry] @deprecated
    }

    type ContainerRegistry implements Node {
      id: ID!
      hostname: String
      config: ContainerRegistryConfig
    }

    type ContainerRegistryConfig {
      url: String!
      type: String!
      project: [String]
      username: String
      password: String
      ssl_verify: Boolean
      is_global: Boolean
    }
  `,
  resolvers: {
    Query: {
      container_registry: async (_root, { hostname }, { ctx, caller }) => {
        requireSuperadmin(caller);
        const [row] = await listRegistryConfigurations(ctx.sql, hostname);
        return row ? toRegistry(row) : null;
      },
      container_registries: async (_root, _args, { ctx, caller }) => {
        requireSuperadmin(caller);
        return (await listRegistryConfigurations(ctx.sql)).map(toRegistry);
      },
    },
  },
};
