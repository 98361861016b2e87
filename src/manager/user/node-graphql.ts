/** GraphQL fields about users as nodes: `viewer`, `user_node`, `user_nodes`, and where one comes from. */
import { BackendError } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import { connectionField, nestedConnection } from '../graphql/connection.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId, rawIdOf } from '../graphql/global-id.ts';
import { batched } from '../graphql/loaders.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import type { GroupNodeuser_nodesArgs } from '../graphql/resolvers.generated.ts';
import { requireSuperadmin } from '../graphql/scope.ts';
import {
  findUser,
  listUserNodes,
  listUserNodesOfProjects,
  listUsers,
  type UserRecord,
} from './service.ts';

const TYPE = 'UserNode';
const idOf = ({ uuid }: UserRecord): string => uuid;

const typeDefs = /* GraphQL */ `
  type Query {
    viewer: Viewer
    myClientIp: MyClientIp
    user_node(id: String!): UserNode
    user_nodes(filter: String, order: String, offset: Int, before: String, after: String, first: Int, last: Int): UserConnection
  }

  type Viewer {
    user: UserNode
    user_id: UUID
    encoded_user_role: String
  }

  type MyClientIp {
    clientIp: String!
  }

  type UserNode implements Node {
    id: ID!
    username: String
    email: String
    need_password_change: Boolean
    full_name: String
    description: String
    is_active: Boolean @deprecated
    status: String
    status_info: String
    created_at: DateTime
    modified_at: DateTime
    domain_name: String
    role: String
    resource_policy: String
    allowed_client_ip: [String]
    totp_activated: Boolean
    totp_activated_at: DateTime
    sudo_session_enabled: Boolean
    container_uid: Int
    container_main_gid: Int
    container_gids: [Int]
  }

  type UserConnection {
    pageInfo: PageInfo!
    edges: [UserEdge]!
    count: Int
  }

  type UserEdge {
    node: UserNode
    cursor: String!
  }

  type GroupNode {
    user_nodes(filter: String, order: String, offset: Int, before: String, after: String, first: Int, last: Int): UserConnection
  }
`;

/** The user as a node; null when there is none that the caller may see. */
export async function loadUserNode(
  { ctx, caller }: GraphqlContext,
  userId: string,
): Promise<UserRecord | null> {
  return isUuid(userId) ? findUser(ctx.lookups, caller, { userId }) : null;
}

const byId = batched<string, UserRecord>(async (userIds, { ctx, caller }) => {
  const users = await listUsers(ctx.sql, caller, { userIds });
  return new Map(users.map((user) => [user.uuid, user]));
});

/** The user that something belongs to; many are looked up together. */
export const userNode = (context: GraphqlContext, userId: string): Promise<UserRecord | null> =>
  byId(context, userId);

const membersOf = nestedConnection<UserRecord, GroupNodeuser_nodesArgs>({
  typeName: TYPE,
  idOf,
  load: ({ ctx, caller }, projectIds, args, wish) =>
    listUserNodesOfProjects(ctx.sql, caller, projectIds, args, wish),
});

export const userNodeGraphql: GraphqlModule = {
  typeDefs,
  nodes: { UserNode: loadUserNode },
  resolvers: {
    Query: {
      viewer: async (_root, _args, context) => {
        const { userId, role } = context.caller;
        return {
          user: await loadUserNode(context, userId),
          user_id: userId,
          encoded_user_role: Buffer.from(role).toString('base64'),
        };
      },
      myClientIp: (_root, _args, { clientAddress }) => {
        if (clientAddress !== null) return { clientIp: clientAddress };
        throw new BackendError('ServiceUnavailable', 'Your address is not known to the manager.');
      },
      user_node: (_root, { id }, context) => loadUserNode(context, rawIdOf(id)),
      user_nodes: async (_root, args, context, info) => {
        requireSuperadmin(context.caller);
        return connectionField(args, context, info, {
          typeName: TYPE,
          idOf,
          load: (wish) => listUserNodes(context.ctx.sql, context.caller, args, wish),
        });
      },
    },
    UserNode: {
      id: ({ uuid }) => globalId(TYPE, uuid),
      is_active: ({ status }) => status === 'active',
    },
    GroupNode: {
      user_nodes: ({ id }, args, context, info) => membersOf(context, id, args, info),
    },
  },
};
