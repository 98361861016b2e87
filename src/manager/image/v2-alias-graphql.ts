/** `adminImageAliases`: the aliases of images, for superadmins. */
import { globalId } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import { v2ListField } from '../graphql/v2-list.ts';
import { type ImageAlias, listAliases } from './service.ts';

const typeDefs = /* GraphQL */ `
  type Query {
    adminImageAliases(
      filter: ImageV2AliasFilter = null
      orderBy: [ImageV2AliasOrderBy!] = null
      before: String = null
      after: String = null
      first: Int = null
      last: Int = null
      limit: Int = null
      offset: Int = null
    ): ImageV2AliasConnection
  }

  type ImageV2Alias implements Node {
    id: ID!
    alias: String!
  }

  input ImageV2AliasFilter {
    alias: StringFilter = null
    imageId: UUIDFilter = null
    AND: [ImageV2AliasFilter!] = null
    OR: [ImageV2AliasFilter!] = null
    NOT: [ImageV2AliasFilter!] = null
  }

  input ImageV2AliasOrderBy {
    field: ImageV2AliasOrderField!
    direction: OrderDirection! = ASC
  }

  enum ImageV2AliasOrderField {
    ALIAS
  }

  type ImageV2AliasConnection {
    pageInfo: PageInfo!
    edges: [ImageV2AliasEdge!]!
    count: Int!
  }

  type ImageV2AliasEdge {
    cursor: String!
    node: ImageV2Alias!
  }
`;

export const imageAliasV2Graphql: GraphqlModule = {
  typeDefs,
  resolvers: {
    Query: {
      adminImageAliases: (_root, args, { ctx, caller }, info) => {
        requireAdministrator(caller);
        return v2ListField<ImageAlias>(args, info, {
          idOf: ({ id }) => id,
          load: (wish) => listAliases(ctx.sql, args, wish),
        });
      },
    },
    ImageV2Alias: { id: ({ id }) => globalId('ImageV2Alias', id) },
  },
};
