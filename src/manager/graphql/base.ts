/** The types that several features' schemas refer to. */
import type { SchemaPart } from './module.ts';
import { scalars } from './scalars.ts';
import { v2Shapes } from './v2-shapes.ts';

const shapes = /* GraphQL */ `
  scalar UUID
  scalar DateTime
  scalar Date
  scalar JSONString
  scalar BigInt
  scalar JSON
  scalar Bytes
  scalar GlobalIDField
  scalar ScopeField

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

  type PageInfo {
    hasNextPage: Boolean!
    hasPreviousPage: Boolean!
    startCursor: String
    endCursor: String
  }
`;

/** What lists of the newer schema are filtered and ordered with. */
const filters = /* GraphQL */ `
  enum OrderDirection {
    ASC
    DESC
  }

  input StringFilter {
    contains: String = null
    startsWith: String = null
    endsWith: String = null
    equals: String = null
    notContains: String = null
    notStartsWith: String = null
    notEndsWith: String = null
    notEquals: String = null
    iContains: String = null
    iStartsWith: String = null
    iEndsWith: String = null
    iEquals: String = null
    iNotContains: String = null
    iNotStartsWith: String = null
    iNotEndsWith: String = null
    iNotEquals: String = null
    in: [String!] = null
    notIn: [String!] = null
    iIn: [String!] = null
    iNotIn: [String!] = null
  }

  input UUIDFilter {
    equals: UUID = null
    in: [UUID!] = null
    notEquals: UUID = null
    notIn: [UUID!] = null
  }

  input DateTimeFilter {
    before: DateTime = null
    after: DateTime = null
    equals: DateTime = null
    notEquals: DateTime = null
  }

  input NullableDateTimeFilter {
    before: DateTime = null
    after: DateTime = null
    equals: DateTime = null
    notEquals: DateTime = null
    isNull: Boolean = null
  }

  input DateFilter {
    before: Date = null
    after: Date = null
    equals: Date = null
    notEquals: Date = null
  }

  input IntFilter {
    equals: Int = null
    notEquals: Int = null
    greaterThan: Int = null
    greaterThanOrEqual: Int = null
    lessThan: Int = null
    lessThanOrEqual: Int = null
  }

  input IntArrayFilter {
    contains: Int = null
    containsAny: [Int!] = null
    containsAll: [Int!] = null
  }
`;

export const baseGraphql: SchemaPart = {
  typeDefs: `${shapes}${filters}${v2Shapes}`,
  resolvers: scalars,
};
