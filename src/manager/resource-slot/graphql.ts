/** GraphQL fields about the kinds of resources that a cluster knows; everybody may read them. */
import { globalId } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { v2ListField } from '../graphql/v2-list.ts';
import { findSlotType, listSlotTypes, type SlotTypeRecord } from './service.ts';

const TYPE = 'ResourceSlotType';

const idOf = ({ slot_name }: SlotTypeRecord): string => slot_name;

export const resourceSlotGraphql: GraphqlModule = {
  typeDefs: /* GraphQL */ `
    type Query {
      resourceSlotType(slotName: String!): ResourceSlotType
      resourceSlotTypes(filter: ResourceSlotTypeFilter = null, orderBy: [ResourceSlotTypeOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): ResourceSlotTypeConnection
    }

    type ResourceSlotType implements Node {
      id: ID!
      slotName: String!
      slotType: String!
      displayName: String!
      description: String!
      displayUnit: String!
      displayIcon: String!
      numberFormat: NumberFormat!
      rank: Int!
    }

    type NumberFormat {
      binary: Boolean!
      roundLength: Int!
    }

    input ResourceSlotTypeFilter {
      slotName: StringFilter = null
      slotType: StringFilter = null
      displayName: StringFilter = null
      AND: [ResourceSlotTypeFilter!] = null
      OR: [ResourceSlotTypeFilter!] = null
      NOT: [ResourceSlotTypeFilter!] = null
    }

    enum ResourceSlotTypeOrderField {
      SLOT_NAME
      RANK
      DISPLAY_NAME
    }

    input ResourceSlotTypeOrderBy {
      field: ResourceSlotTypeOrderField!
      direction: OrderDirection! = ASC
    }

    type ResourceSlotTypeConnection {
      pageInfo: PageInfo!
      edges: [ResourceSlotTypeEdge!]!
      count: Int!
    }

    type ResourceSlotTypeEdge {
      cursor: String!
      node: ResourceSlotType!
    }
  `,
  nodes: { ResourceSlotType: ({ ctx }, slotName) => findSlotType(ctx.sql, slotName) },
  resolvers: {
    Query: {
      resourceSlotType: (_root, { slotName }, { ctx }) => findSlotType(ctx.sql, slotName),
      resourceSlotTypes: (_root, args, { ctx }, info) =>
        v2ListField<SlotTypeRecord>(args, info, {
          idOf,
          load: (wish) => listSlotTypes(ctx.sql, args, wish),
        }),
    },
    ResourceSlotType: {
      id: (row) => globalId(TYPE, row.slot_name),
      slotName: (row) => row.slot_name,
      slotType: (row) => row.slot_type,
      displayName: (row) => row.display_name,
      displayUnit: (row) => row.display_unit,
      displayIcon: (row) => row.display_icon,
      numberFormat: ({ number_format: { binary, round_length: roundLength } }) => ({
        binary,
        roundLength,
      }),
    },
  },
};
