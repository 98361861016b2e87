/** The SDL of what changes roles, permissions and who has them, as upstream has it. */

export const changeTypeDefs = /* GraphQL */ `
  type Mutation {
    adminCreateRole(input: CreateRoleInput!): Role
    adminUpdateRole(input: UpdateRoleInput!): Role
    adminDeleteRole(input: DeleteRoleInput!): DeleteRolePayload
    adminPurgeRole(input: PurgeRoleInput!): PurgeRolePayload
    adminCreatePermission(input: CreatePermissionInput!): Permission
    adminUpdatePermission(input: UpdatePermissionInput!): Permission
    adminDeletePermission(input: DeletePermissionInput!): DeletePermissionPayload
    adminAssignRole(input: AssignRoleInput!): RoleAssignment
    adminRevokeRole(input: RevokeRoleInput!): RoleAssignment
    adminBulkAssignRole(input: BulkAssignRoleInput!): BulkAssignRolePayload
    adminBulkRevokeRole(input: BulkRevokeRoleInput!): BulkRevokeRolePayload
    adminBulkAddRolePermissions(input: BulkAddRolePermissionsInput!): BulkAddRolePermissionsPayload
    adminBulkRemoveRolePermissions(input: BulkRemoveRolePermissionsInput!): BulkRemoveRolePermissionsPayload
    adminReplaceRolePermissions(input: ReplaceRolePermissionsInput!): ReplaceRolePermissionsPayload
  }

  input ScopeInput {
    scopeType: RBACElementType!
    scopeId: String!
  }

  input CreateRoleInput {
    name: String!
    description: String = null
    source: RoleSource! = CUSTOM
    autoAssign: Boolean! = false
    scopes: [ScopeInput!] = null
  }

  input UpdateRoleInput {
    id: UUID!
    name: String
    description: String
    status: RoleStatus
    autoAssign: Boolean
  }

  input DeleteRoleInput {
    id: UUID!
  }

  type DeleteRolePayload {
    id: UUID!
  }

  input PurgeRoleInput {
    id: UUID!
  }

  type PurgeRolePayload {
    id: UUID!
  }

  input CreatePermissionInput {
    roleId: UUID!
    scopeType: RBACElementType!
    scopeId: String!
    entityType: RBACElementType!
    operation: OperationType!
  }

  input UpdatePermissionInput {
    id: UUID!
    scopeType: RBACElementType = null
    scopeId: String = null
    entityType: RBACElementType = null
    operation: OperationType = null
  }

  input DeletePermissionInput {
    id: UUID!
  }

  type DeletePermissionPayload {
    id: UUID!
  }

  input AssignRoleInput {
    userId: UUID!
    roleId: UUID!
    projectId: UUID
  }

  input RevokeRoleInput {
    userId: UUID!
    roleId: UUID!
  }

  input BulkAssignRoleInput {
    roleId: UUID!
    userIds: [UUID!]!
    projectId: UUID
  }

  type BulkAssignRolePayload {
    assigned: [RoleAssignment!]!
    failed: [BulkAssignRoleError!]!
  }

  type BulkAssignRoleError {
    userId: UUID!
    message: String!
  }

  input BulkRevokeRoleInput {
    roleId: UUID!
    userIds: [UUID!]!
  }

  type BulkRevokeRolePayload {
    revoked: [RoleAssignment!]!
    failed: [BulkRevokeRoleError!]!
  }

  type BulkRevokeRoleError {
    userId: UUID!
    message: String!
  }

  input BulkAddRolePermissionsInput {
    permissions: [CreatePermissionInput!]!
  }

  type BulkAddRolePermissionsPayload {
    items: [Permission!]!
    failed: [BulkAddRolePermissionFailureInfo!]!
  }

  type BulkAddRolePermissionFailureInfo {
    roleId: UUID!
    scopeType: String!
    scopeId: String!
    entityType: String!
    operation: String!
    message: String!
  }

  input BulkRemoveRolePermissionsInput {
    permissionIds: [UUID!]!
  }

  type BulkRemoveRolePermissionsPayload {
    items: [Permission!]!
    failed: [BulkRemoveRolePermissionFailureInfo!]!
  }

  type BulkRemoveRolePermissionFailureInfo {
    permissionId: UUID!
    message: String!
  }

  input ReplaceRolePermissionsInput {
    roleId: UUID!
    permissions: [CreatePermissionInput!]!
  }

  type ReplaceRolePermissionsPayload {
    items: [Permission!]!
    failed: [ReplaceRolePermissionFailureInfo!]!
  }

  type ReplaceRolePermissionFailureInfo {
    roleId: UUID!
    scopeType: String!
    scopeId: String!
    entityType: String!
    operation: String!
    message: String!
  }
`;
