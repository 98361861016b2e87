/** GraphQL fields about domains as nodes: `domain_node`, `domain_nodes`. */
import { connectionField } from '../graphql/connection.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { mapListed, type PageWish } from '../graphql/page.ts';
import { wordScalar } from '../graphql/scalars.ts';
import { type DomainParent, toParent } from './graphql.ts';
import {
  DOMAIN_PERMISSIONS,
  type DomainPermission,
  findDomain,
  holdsOnDomains,
  listDomainNodes,
} from './service.ts';

const TYPE = 'DomainNode';

const typeDefs = /* GraphQL */ `
  scalar DomainPermissionValueField

  type Query {
    domain_node(id: GlobalIDField!, permission: DomainPermissionValueField = "read_attribute"): DomainNode
    domain_nodes(filter: String, order: String, permission: DomainPermissionValueField = "read_attribute", offset: Int, before: String, after: String, first: Int, last: Int): DomainConnection
  }

  type DomainNode implements Node {
    id: ID!
    name: String
    description: String
    is_active: Boolean
    created_at: DateTime
    modified_at: DateTime
    total_resource_slots: JSONString
    allowed_vfolder_hosts: JSONString
    allowed_docker_registries: [String]
    dotfiles: Bytes
    integration_id: String
  }

  type DomainConnection {
    pageInfo: PageInfo!
    edges: [DomainEdge]!
    count: Int
  }

  type DomainEdge {
    node: DomainNode
    cursor: String!
  }
`;

/** The domain as a node; null when there is none on which the caller holds the permission. */
async function loadDomainNode(
  { ctx, caller }: GraphqlContext,
  name: string,
  permission: DomainPermission = 'read_attribute',
): Promise<DomainParent | null> {
  if (!holdsOnDomains(caller, permission)) return null;
  const domain = await findDomain(ctx.sql, caller, name);
  return domain && toParent(domain);
}

export const domainNodeGraphql: GraphqlModule = {
  typeDefs,
  nodes: { DomainNode: (context, name) => loadDomainNode(context, name) },
  resolvers: {
    DomainPermissionValueField: wordScalar('DomainPermissionValueField', DOMAIN_PERMISSIONS),
    Query: {
      domain_node: (_root, { id, permission }, context) =>
        loadDomainNode(context, id, permission ?? undefined),
      domain_nodes: (_root, args, context, info) => {
        const { ctx, caller } = context;
        const held = holdsOnDomains(caller, args.permission ?? 'read_attribute');
        const load = async (wish: PageWish) =>
          held
            ? mapListed(await listDomainNodes(ctx.sql, caller, args, wish), toParent)
            : { rows: [], total: 0, hasNext: false, hasPrevious: false };
        return connectionField<DomainParent>(args, context, info, {
          typeName: TYPE,
          idOf: ({ name }) => name,
          load,
        });
      },
    },
    DomainNode: {
      id: ({ name }) => globalId(TYPE, name),
    },
  },
};
