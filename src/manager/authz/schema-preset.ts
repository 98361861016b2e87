/** The SDL of role presets, as upstream has it. */

export const presetTypeDefs = /* GraphQL */ `
  type Query {
    adminRolePreset(id: ID!): RolePreset
    adminRolePresets(filter: RolePresetFilter = null, orderBy: [RolePresetOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): RolePresetConnection
  }

  type Mutation {
    adminCreateRolePreset(input: CreateRolePresetInput!): CreateRolePresetPayload
    adminUpdateRolePreset(input: UpdateRolePresetInput!): UpdateRolePresetPayload
    adminDeleteRolePresets(input: BulkDeleteRolePresetsInput!): BulkDeleteRolePresetsPayload
    adminRestoreRolePresets(input: BulkRestoreRolePresetsInput!): BulkRestoreRolePresetsPayload
    adminPurgeRolePresets(input: BulkPurgeRolePresetsInput!): BulkPurgeRolePresetsPayload
    adminBulkAddRolePresetPermissions(input: BulkAddRolePermissionPresetsInput!): BulkAddRolePermissionPresetsPayload
    adminBulkRemoveRolePresetPermissions(input: BulkRemoveRolePermissionPresetsInput!): BulkRemoveRolePermissionPresetsPayload
  }

  type RolePreset implements Node {
    id: ID!
    name: String!
    scopeType: RBACElementType!
    autoAssign: Boolean!
    deleted: Boolean!
    createdAt: DateTime!
    updatedAt: DateTime!
    permissionPresets(filter: RolePermissionPresetFilter = null, orderBy: [RolePermissionPresetOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): RolePermissionPresetConnection
  }

  type RolePresetConnection {
    pageInfo: PageInfo!
    edges: [RolePresetEdge!]!
    count: Int!
  }

  type RolePresetEdge {
    cursor: String!
    node: RolePreset!
  }

  input RolePresetFilter {
    name: StringFilter = null
    scopeType: RBACElementTypeFilter = null
    autoAssign: Boolean = null
    deleted: Boolean = null
    AND: [RolePresetFilter!] = null
    OR: [RolePresetFilter!] = null
    NOT: [RolePresetFilter!] = null
  }

  input RolePresetOrderBy {
    field: RolePresetOrderField!
    direction: OrderDirection! = ASC
  }

  enum RolePresetOrderField {
    NAME
    SCOPE_TYPE
    CREATED_AT
    UPDATED_AT
  }

  type RolePermissionPreset implements Node {
    id: ID!
    rolePresetId: UUID!
    entityType: RBACElementType!
    operation: OperationType!
    createdAt: DateTime!
  }

  type RolePermissionPresetConnection {
    pageInfo: PageInfo!
    edges: [RolePermissionPresetEdge!]!
    count: Int!
  }

  type RolePermissionPresetEdge {
    cursor: String!
    node: RolePermissionPreset!
  }

  input RolePermissionPresetFilter {
    rolePresetId: UUIDFilter = null
    entityType: RBACElementTypeFilter = null
    operation: OperationTypeFilter = null
    createdAt: DateTimeFilter = null
    AND: [RolePermissionPresetFilter!] = null
    OR: [RolePermissionPresetFilter!] = null
    NOT: [RolePermissionPresetFilter!] = null
  }

  input RolePermissionPresetOrderBy {
    field: RolePermissionPresetOrderField!
    direction: OrderDirection! = ASC
  }

  enum RolePermissionPresetOrderField {
    ENTITY_TYPE
    OPERATION
    CREATED_AT
  }

  input RolePermissionPresetEntryInput {
    entityType: RBACElementType!
    operation: OperationType!
  }

  input CreateRolePresetInput {
    name: String!
    scopeType: RBACElementType!
    autoAssign: Boolean! = false
    permissions: [RolePermissionPresetEntryInput!]!
  }

  type CreateRolePresetPayload {
    rolePreset: RolePreset!
  }

  input UpdateRolePresetInput {
    rolePresetId: ID!
    name: String
    autoAssign: Boolean
  }

  type UpdateRolePresetPayload {
    rolePreset: RolePreset!
  }

  input BulkDeleteRolePresetsInput {
    rolePresetIds: [ID!]!
  }

  type BulkDeleteRolePresetsPayload {
    items: [RolePreset!]!
    failed: [BulkRolePresetFailureInfo!]!
  }

  input BulkRestoreRolePresetsInput {
    rolePresetIds: [ID!]!
  }

  type BulkRestoreRolePresetsPayload {
    items: [RolePreset!]!
    failed: [BulkRolePresetFailureInfo!]!
  }

  input BulkPurgeRolePresetsInput {
    rolePresetIds: [ID!]!
  }

  type BulkPurgeRolePresetsPayload {
    items: [RolePreset!]!
    failed: [BulkRolePresetFailureInfo!]!
  }

  type BulkRolePresetFailureInfo {
    rolePresetId: UUID!
    message: String!
  }

  input BulkAddRolePermissionPresetsInput {
    rolePresetId: ID!
    permissions: [RolePermissionPresetEntryInput!]!
  }

  type BulkAddRolePermissionPresetsPayload {
    items: [RolePermissionPreset!]!
    failed: [BulkAddRolePermissionPresetFailureInfo!]!
  }

  type BulkAddRolePermissionPresetFailureInfo {
    entityType: RBACElementType!
    operation: OperationType!
    message: String!
  }

  input BulkRemoveRolePermissionPresetsInput {
    permissionPresetIds: [ID!]!
  }

  type BulkRemoveRolePermissionPresetsPayload {
    items: [RolePermissionPreset!]!
    failed: [BulkRolePermissionPresetFailureInfo!]!
  }

  type BulkRolePermissionPresetFailureInfo {
    permissionPresetId: UUID!
    message: String!
  }
`;
