/** The SDL of resource presets in the newer type, as upstream has it. */
const LIST =
  'filter: ResourcePresetFilter = null, orderBy: [ResourcePresetOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null';

export const v2TypeDefs = /* GraphQL */ `
  type Query {
    adminResourcePresetV2(id: UUID!): ResourcePresetV2
    adminResourcePresetsV2(${LIST}): ResourcePresetConnection
  }

  type Mutation {
    adminCreateResourcePresetV2(input: CreateResourcePresetV2Input!): CreateResourcePresetPayload
    adminUpdateResourcePresetV2(input: UpdateResourcePresetV2Input!): UpdateResourcePresetPayload
    adminDeleteResourcePresetV2(id: UUID!): DeleteResourcePresetPayload
  }

  type ResourcePresetV2 implements Node {
    id: ID!
    name: String!
    resourceSlots: [ResourceSlotEntry!]!
    sharedMemory: BinarySizeInfo
    resourceGroupName: String
  }

  input CreateResourcePresetV2Input {
    name: String!
    resourceSlots: [ResourceSlotEntryInput!]!
    sharedMemory: BinarySizeInput = null
    resourceGroupName: String = null
  }

  input UpdateResourcePresetV2Input {
    id: UUID!
    name: String = null
    resourceSlots: [ResourceSlotEntryInput!] = null
    sharedMemory: BinarySizeInput = null
    resourceGroupName: String = null
  }

  type CreateResourcePresetPayload {
    resourcePreset: ResourcePresetV2!
  }

  type UpdateResourcePresetPayload {
    resourcePreset: ResourcePresetV2!
  }

  type DeleteResourcePresetPayload {
    id: String!
  }

  input ResourcePresetFilter {
    name: StringFilter = null
    resourceGroupName: StringFilter = null
    AND: [ResourcePresetFilter!] = null
    OR: [ResourcePresetFilter!] = null
    NOT: [ResourcePresetFilter!] = null
  }

  input ResourcePresetOrderBy {
    field: ResourcePresetOrderField!
    direction: OrderDirection! = ASC
  }

  enum ResourcePresetOrderField {
    NAME
  }

  type ResourcePresetConnection {
    pageInfo: PageInfo!
    edges: [ResourcePresetV2Edge!]!
    count: Int!
  }

  type ResourcePresetV2Edge {
    cursor: String!
    node: ResourcePresetV2!
  }
`;
