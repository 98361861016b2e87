/** GraphQL fields about projects as nodes (upstream: groups): `group_node`, `group_nodes`. */
import { isUuid } from '../../common/ids.ts';
import { connectionField, nestedConnection } from '../graphql/connection.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId, rawIdOf } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import type { UserNodeproject_nodesArgs } from '../graphql/resolvers.generated.ts';
import { wordScalar } from '../graphql/scalars.ts';
import { nameOfType } from './graphql.ts';
import {
  findProject,
  listProjectNodes,
  listProjectNodesOfUsers,
  PROJECT_PERMISSIONS,
  type ProjectRecord,
} from './service.ts';

const TYPE = 'GroupNode';
const idOf = ({ id }: ProjectRecord): string => id;

const typeDefs = /* GraphQL */ `
  scalar GroupPermissionField

  type Query {
    group_node(id: String!): GroupNode
    group_nodes(filter: String, order: String, scope: ScopeField, permission: GroupPermissionField = "read_attribute", offset: Int, before: String, after: String, first: Int, last: Int): GroupConnection
  }

  type GroupNode implements Node {
    id: ID!
    row_id: UUID
    name: String
    description: String
    is_active: Boolean
    created_at: DateTime
    modified_at: DateTime
    domain_name: String
    total_resource_slots: JSONString
    allowed_vfolder_hosts: JSONString
    integration_id: String
    resource_policy: String
    type: String
    container_registry: JSONString
    scaling_groups: [String]
  }

  type GroupConnection {
    pageInfo: PageInfo!
    edges: [GroupEdge]!
    count: Int
  }

  type GroupEdge {
    node: GroupNode
    cursor: String!
  }

  type UserNode {
    project_nodes(filter: String, order: String, offset: Int, before: String, after: String, first: Int, last: Int): GroupConnection
  }
`;

/** The project as a node; null when there is none that the caller may see. */
export async function loadProjectNode(
  { ctx, caller }: GraphqlContext,
  id: string,
): Promise<ProjectRecord | null> {
  return isUuid(id) ? findProject(ctx.sql, caller, id) : null;
}

const projectsOf = nestedConnection<ProjectRecord, UserNodeproject_nodesArgs>({
  typeName: TYPE,
  idOf,
  load: ({ ctx, caller }, userIds, args, wish) =>
    listProjectNodesOfUsers(ctx.sql, caller, userIds, args, wish),
});

export const projectNodeGraphql: GraphqlModule = {
  typeDefs,
  nodes: { GroupNode: loadProjectNode },
  resolvers: {
    GroupPermissionField: wordScalar('GroupPermissionField', PROJECT_PERMISSIONS),
    Query: {
      group_node: (_root, { id }, context) => loadProjectNode(context, rawIdOf(id)),
      group_nodes: (_root, args, context, info) =>
        connectionField(args, context, info, {
          typeName: TYPE,
          idOf,
          load: (wish) =>
            listProjectNodes(
              context.ctx.sql,
              context.caller,
              {
                filter: args.filter,
                order: args.order,
                within: args.scope ?? { kind: 'system' },
                permission: args.permission ?? 'read_attribute',
              },
              wish,
            ),
        }),
    },
    GroupNode: {
      id: ({ id }) => globalId(TYPE, id),
      row_id: ({ id }) => id,
      type: ({ type }) => nameOfType(type),
    },
    UserNode: {
      project_nodes: ({ uuid }, args, context, info) => projectsOf(context, uuid, args, info),
    },
  },
};
