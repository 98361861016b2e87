/** GraphQL fields about container registries as nodes, and changing them; for superadmins. */
import { connectionField, nestedConnection } from '../graphql/connection.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId, rawIdOf } from '../graphql/global-id.ts';
import { listInput } from '../graphql/inputs.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { kept, v2Mutation } from '../graphql/mutation.ts';
import type {
  ContainerRegistryNodeallowed_groupsArgs,
  ModifyContainerRegistryNodeInputV2,
} from '../graphql/resolvers.generated.ts';
import { wordScalar } from '../graphql/scalars.ts';
import { listProjectNodesOfRegistries, type ProjectRecord } from '../project/service.ts';
import {
  createRegistry,
  deleteRegistry,
  modifyRegistry,
  REGISTRY_TYPES,
  type RegistryWishes,
} from './manage.ts';
import {
  findRegistry,
  listRegistryNodes,
  PASSWORD_PLACEHOLDER,
  type RegistryConfiguration,
} from './service.ts';

const TYPE = 'ContainerRegistryNode';

const typeDefs = /* GraphQL */ `
  scalar ContainerRegistryTypeField

  type Query {
    container_registry_node(id: String!): ContainerRegistryNode
    container_registry_nodes(filter: String, order: String, offset: Int, before: String, after: String, first: Int, last: Int): ContainerRegistryConnection
  }

  type Mutation {
    create_container_registry_node_v2(props: CreateContainerRegistryNodeInputV2!): CreateContainerRegistryNodeV2
    modify_container_registry_node_v2(id: String!, props: ModifyContainerRegistryNodeInputV2!): ModifyContainerRegistryNodeV2
    delete_container_registry_node_v2(id: String!): DeleteContainerRegistryNodeV2
  }

  type ContainerRegistryNode implements Node {
    id: ID!
    row_id: UUID
    name: String
    url: String!
    type: ContainerRegistryTypeField!
    registry_name: String!
    is_global: Boolean
    project: String
    username: String
    password: String
    ssl_verify: Boolean
    extra: JSONString
    allowed_groups(filter: String, order: String, offset: Int, before: String, after: String, first: Int, last: Int): GroupConnection
  }

  type ContainerRegistryConnection {
    pageInfo: PageInfo!
    edges: [ContainerRegistryEdge]!
    count: Int
  }

  type ContainerRegistryEdge {
    node: ContainerRegistryNode
    cursor: String!
  }

  input AllowedGroups {
    add: [String] = []
    remove: [String] = []
  }

  input CreateContainerRegistryNodeInputV2 {
    url: String!
    type: ContainerRegistryTypeField!
    registry_name: String!
    is_global: Boolean
    project: String
    username: String
    password: String
    ssl_verify: Boolean
    extra: JSONString
    allowed_groups: AllowedGroups
  }

  input ModifyContainerRegistryNodeInputV2 {
    url: String
    type: ContainerRegistryTypeField
    registry_name: String
    is_global: Boolean
    project: String
    username: String
    password: String
    ssl_verify: Boolean
    extra: JSONString
    allowed_groups: AllowedGroups
  }

  type CreateContainerRegistryNodeV2 {
    container_registry: ContainerRegistryNode
  }

  type ModifyContainerRegistryNodeV2 {
    container_registry: ContainerRegistryNode
  }

  type DeleteContainerRegistryNodeV2 {
    container_registry: ContainerRegistryNode
  }
`;

const loadRegistry = ({ ctx, caller }: GraphqlContext, id: string) =>
  findRegistry(ctx.sql, caller, id);

const projectsOf = nestedConnection<ProjectRecord, ContainerRegistryNodeallowed_groupsArgs>({
  typeName: 'GroupNode',
  idOf: ({ id }) => id,
  load: ({ ctx, caller }, registryIds, args, wish) =>
    listProjectNodesOfRegistries(ctx.sql, caller, registryIds, args, wish),
});

/** Clients send ids of projects in either form. */
const projectIds = (ids: readonly (string | null)[] | null | undefined): string[] =>
  (listInput(ids) ?? []).map(rawIdOf);

const wishesOf = (props: ModifyContainerRegistryNodeInputV2): RegistryWishes => ({
  url: kept(props.url),
  registry_name: kept(props.registry_name),
  type: kept(props.type),
  project: props.project,
  username: props.username,
  // What was shown in place of a password changes nothing when it is sent back.
  password: props.password === PASSWORD_PLACEHOLDER ? undefined : props.password,
  ssl_verify: kept(props.ssl_verify),
  is_global: kept(props.is_global),
  extra: props.extra,
  addProjects: projectIds(props.allowed_groups?.add),
  removeProjects: projectIds(props.allowed_groups?.remove),
});

export const registryNodeGraphql: GraphqlModule = {
  typeDefs,
  nodes: { ContainerRegistryNode: loadRegistry },
  resolvers: {
    ContainerRegistryTypeField: wordScalar('ContainerRegistryTypeField', REGISTRY_TYPES),
    Query: {
      container_registry_node: (_root, { id }, context) => loadRegistry(context, rawIdOf(id)),
      container_registry_nodes: (_root, args, context, info) =>
        connectionField<RegistryConfiguration>(args, context, info, {
          typeName: TYPE,
          idOf: ({ id }) => id,
          load: (wish) => listRegistryNodes(context.ctx.sql, context.caller, args, wish),
        }),
    },
    Mutation: {
      create_container_registry_node_v2: (_root, { props }, context) =>
        v2Mutation(context, 'superadmin', async () => {
          const { url, registry_name, type } = props;
          const wishes = { ...wishesOf(props), url, registry_name, type };
          const id = await createRegistry(context, wishes);
          return { container_registry: await loadRegistry(context, id) };
        }),
      modify_container_registry_node_v2: (_root, { id, props }, context) =>
        v2Mutation(context, 'superadmin', async () => {
          await modifyRegistry(context, rawIdOf(id), wishesOf(props));
          return { container_registry: await loadRegistry(context, rawIdOf(id)) };
        }),
      delete_container_registry_node_v2: (_root, { id }, context) =>
        v2Mutation(context, 'superadmin', async () => {
          const gone = await loadRegistry(context, rawIdOf(id));
          await deleteRegistry(context, rawIdOf(id));
          return { container_registry: gone };
        }),
    },
    ContainerRegistryNode: {
      id: ({ id }) => globalId(TYPE, id),
      row_id: ({ id }) => id,
      name: ({ registry_name }) => registry_name,
      password: ({ has_password }) => (has_password ? PASSWORD_PLACEHOLDER : null),
      allowed_groups: ({ id }, args, context, info) => projectsOf(context, id, args, info),
    },
  },
};
