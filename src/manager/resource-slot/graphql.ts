/** GraphQL fields about the kinds of resources that a cluster knows; everybody may read them. */
import type { Sql } from 'postgres';
import * as v from 'valibot';
import { globalId } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { type Listed, mapListed, type PageWish } from '../graphql/page.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import { v2ListField } from '../graphql/v2-list.ts';
import { selectSlotTypes, slotTypeRecord } from './store.ts';

const TYPE = 'ResourceSlotType';

export type SlotTypeRecord = v.InferOutput<typeof slotTypeRecord>;

const idOf = ({ slot_name }: SlotTypeRecord): string => slot_name;

const list = async (sql: Sql, query: V2Query, wish: PageWish): Promise<Listed<SlotTypeRecord>> =>
  mapListed(await selectSlotTypes(sql, query, wish), (row) => v.parse(slotTypeRecord, row));

/** One kind by its name; null when there is none. */
async function find(sql: Sql, slotName: string): Promise<SlotTypeRecord | null> {
  const page = { mode: 'offset', limit: 1, offset: 0 } as const;
  const query = { filter: { slotName: { equals: slotName } } };
  return (await list(sql, query, { page, rows: true, count: false })).rows[0] ?? null;
}

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
  nodes: { ResourceSlotType: ({ ctx }, slotName) => find(ctx.sql, slotName) },
  resolvers: {
    Query: {
      resourceSlotType: (_root, { slotName }, { ctx }) => find(ctx.sql, slotName),
      resourceSlotTypes: (_root, args, { ctx }, info) =>
        v2ListField<SlotTypeRecord>(args, info, {
          idOf,
          load: (wish) => list(ctx.sql, args, wish),
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
