/** The types that several features' schemas refer to. */
import type { GraphqlModule } from './module.ts';
import { scalars } from './scalars.ts';

export const baseGraphql: GraphqlModule = {
  typeDefs: /* GraphQL */ `
    scalar UUID
    scalar DateTime
    scalar JSONString
    scalar BigInt
    scalar JSON

    interface Item {
      id: ID
    }

    interface Node {
      id: ID!
    }

    interface PaginatedList {
      items: [Item]!
      total_count: Int!
    }

    type KVPair {
      key: String
      value: String
    }
  `,
  resolvers: scalars,
};
