/**
 * The SDL of roles, permissions and who has them, as upstream has it. Of scopes that no feature has as a
 * type yet it has what roles show of them. There are no deployments and artifact registries yet, so
 * nothing answers with these two, but documents that name them are valid.
 */

export const typeDefs = /* GraphQL */ `
  type Query {
    adminRole(id: UUID!): Role
    adminRoles(filter: RoleFilter = null, orderBy: [RoleOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): RoleConnection
    adminPermissions(filter: PermissionFilter = null, orderBy: [PermissionOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): PermissionConnection
    adminRoleAssignments(filter: RoleAssignmentFilter = null, orderBy: [RoleAssignmentOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): RoleAssignmentConnection
    myRoles(filter: RoleAssignmentFilter = null, orderBy: [RoleAssignmentOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): RoleAssignmentConnection
    projectRoles(projectId: UUID!, filter: RoleFilter = null, orderBy: [RoleOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): RoleConnection
    rbacScopeEntityCombinations: [ScopeEntityCombination!]
    rbacEntityOperationCombinations: [EntityOperationCombination!]
    rbacPermissionMatrix: [ScopeEntityOperationCombination!]
  }

  enum RBACElementType {
    DOMAIN
    PROJECT
    USER
    SESSION
    VFOLDER
    MODEL_DEPLOYMENT
    KEYPAIR
    NOTIFICATION_CHANNEL
    NETWORK
    RESOURCE_GROUP
    CONTAINER_REGISTRY
    STORAGE_HOST
    AGENT
    KERNEL
    ROUTING
    IMAGE
    ARTIFACT
    ARTIFACT_REGISTRY
    SESSION_TEMPLATE
    APP_CONFIG
    MODEL_CARD
    RESOURCE_PRESET
    USER_RESOURCE_POLICY
    KEYPAIR_RESOURCE_POLICY
    PROJECT_RESOURCE_POLICY
    ROLE
    AUDIT_LOG
    EVENT_LOG
    PROJECT_ADMIN_PAGE
    DOMAIN_ADMIN_PAGE
    NOTIFICATION_RULE
    DEPLOYMENT_TOKEN
    DEPLOYMENT_POLICY
    DEPLOYMENT_REVISION
    IMAGE_ALIAS
    ROLE_ASSIGNMENT
    VFOLDER_DATA
    SESSION_APP_SERVICE
    USER_EMAIL
    ARTIFACT_REVISION
  }

  enum OperationType {
    CREATE
    READ
    UPDATE
    SOFT_DELETE
    HARD_DELETE
    GRANT_ALL
    GRANT_READ
    GRANT_UPDATE
    GRANT_SOFT_DELETE
    GRANT_HARD_DELETE
  }

  enum RoleSource {
    SYSTEM
    CUSTOM
  }

  enum RoleStatus {
    ACTIVE
    INACTIVE
    DELETED
  }

  type Role implements Node {
    id: ID!
    name: String!
    description: String
    source: RoleSource!
    status: RoleStatus!
    createdAt: DateTime!
    updatedAt: DateTime!
    deletedAt: DateTime
    autoAssign: Boolean!
    permissions(filter: PermissionFilter = null, orderBy: [PermissionOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): PermissionConnection
    users(filter: RoleAssignmentFilter = null, orderBy: [RoleAssignmentOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): RoleAssignmentConnection
    scopes(filter: EntityFilter = null, orderBy: [EntityOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): EntityConnection
  }

  type RoleConnection {
    pageInfo: PageInfo!
    edges: [RoleEdge!]!
    count: Int!
  }

  type RoleEdge {
    cursor: String!
    node: Role!
  }

  input RoleFilter {
    name: StringFilter = null
    source: RoleSourceFilter = null
    status: RoleStatusFilter = null
    assignedUser: RoleUserNestedFilter = null
    AND: [RoleFilter!] = null
    OR: [RoleFilter!] = null
    NOT: [RoleFilter!] = null
  }

  input RoleUserNestedFilter {
    userId: UUIDFilter = null
    AND: [RoleUserNestedFilter!] = null
    OR: [RoleUserNestedFilter!] = null
    NOT: [RoleUserNestedFilter!] = null
  }

  input RoleSourceFilter {
    equals: RoleSource = null
    in: [RoleSource!] = null
    notEquals: RoleSource = null
    notIn: [RoleSource!] = null
  }

  input RoleStatusFilter {
    equals: RoleStatus = null
    in: [RoleStatus!] = null
    notEquals: RoleStatus = null
    notIn: [RoleStatus!] = null
  }

  input RoleOrderBy {
    field: RoleOrderField!
    direction: OrderDirection! = DESC
  }

  enum RoleOrderField {
    NAME
    CREATED_AT
    UPDATED_AT
  }

  type Permission implements Node {
    id: ID!
    roleId: UUID!
    scopeType: RBACElementType!
    scopeId: String!
    entityType: RBACElementType!
    operation: OperationType!
    createdAt: DateTime!
    role: Role
    scope: EntityNode
  }

  type PermissionConnection {
    pageInfo: PageInfo!
    edges: [PermissionEdge!]!
    count: Int!
  }

  type PermissionEdge {
    cursor: String!
    node: Permission!
  }

  input PermissionFilter {
    roleId: UUIDFilter = null
    scopeType: RBACElementTypeFilter = null
    scopeId: StringFilter = null
    entityType: RBACElementTypeFilter = null
    createdAt: DateTimeFilter = null
    AND: [PermissionFilter!] = null
    OR: [PermissionFilter!] = null
    NOT: [PermissionFilter!] = null
  }

  input RBACElementTypeFilter {
    equals: RBACElementType = null
    in: [RBACElementType!] = null
    notEquals: RBACElementType = null
    notIn: [RBACElementType!] = null
  }

  input OperationTypeFilter {
    equals: OperationType = null
    in: [OperationType!] = null
    notEquals: OperationType = null
    notIn: [OperationType!] = null
  }

  input PermissionOrderBy {
    field: PermissionOrderField!
    direction: OrderDirection! = DESC
  }

  enum PermissionOrderField {
    ID
    ENTITY_TYPE
    CREATED_AT
  }

  type RoleAssignment implements Node {
    id: ID!
    userId: UUID!
    roleId: UUID!
    grantedBy: UUID
    grantedAt: DateTime!
    role: Role
    user: UserV2
    grantedByUser: UserV2
  }

  type RoleAssignmentConnection {
    pageInfo: PageInfo!
    edges: [RoleAssignmentEdge!]!
    count: Int!
  }

  type RoleAssignmentEdge {
    cursor: String!
    node: RoleAssignment!
  }

  input RoleAssignmentFilter {
    roleId: UUIDFilter = null
    role: RoleAssignmentRoleNestedFilter = null
    permission: PermissionNestedFilter = null
    username: StringFilter = null
    email: StringFilter = null
    AND: [RoleAssignmentFilter!] = null
    OR: [RoleAssignmentFilter!] = null
    NOT: [RoleAssignmentFilter!] = null
  }

  input RoleAssignmentRoleNestedFilter {
    name: StringFilter = null
    source: RoleSourceFilter = null
    status: RoleStatusFilter = null
    AND: [RoleAssignmentRoleNestedFilter!] = null
    OR: [RoleAssignmentRoleNestedFilter!] = null
    NOT: [RoleAssignmentRoleNestedFilter!] = null
  }

  input PermissionNestedFilter {
    scopeId: StringFilter = null
    scopeType: RBACElementTypeFilter = null
    entityType: RBACElementTypeFilter = null
    operation: OperationTypeFilter = null
    AND: [PermissionNestedFilter!] = null
    OR: [PermissionNestedFilter!] = null
    NOT: [PermissionNestedFilter!] = null
  }

  input RoleAssignmentOrderBy {
    field: RoleAssignmentOrderField!
    direction: OrderDirection! = DESC
  }

  enum RoleAssignmentOrderField {
    USERNAME
    EMAIL
    GRANTED_AT
  }

  type EntityRef implements Node {
    id: ID!
    scopeType: RBACElementType!
    scopeId: String!
    entityType: RBACElementType!
    entityId: String!
    registeredAt: DateTime!
    entity: EntityNode
    scope: EntityNode
  }

  type EntityConnection {
    pageInfo: PageInfo!
    edges: [EntityRefEdge!]!
    count: Int!
  }

  type EntityRefEdge {
    cursor: String!
    node: EntityRef!
  }

  input EntityFilter {
    entityType: RBACElementTypeFilter = null
    entityId: StringFilter = null
    AND: [EntityFilter!] = null
    OR: [EntityFilter!] = null
    NOT: [EntityFilter!] = null
  }

  input EntityOrderBy {
    field: EntityOrderField!
    direction: OrderDirection! = DESC
  }

  enum EntityOrderField {
    ENTITY_TYPE
    REGISTERED_AT
  }

  type ScopeEntityCombination {
    scopeType: RBACElementType!
    validEntityTypes: [RBACElementType!]!
  }

  type EntityOperationCombination {
    entityType: RBACElementType!
    operations: [OperationInfo!]!
  }

  type ScopeEntityOperationCombination {
    scopeType: RBACElementType!
    entities: [EntityActionInfo!]!
  }

  type EntityActionInfo {
    entityType: RBACElementType!
    actions: [OperationInfo!]!
  }

  type OperationInfo {
    operation: String!
    description: String!
    requiredPermission: OperationType!
  }

  union EntityNode =
    | UserV2
    | ProjectV2
    | DomainV2
    | VirtualFolderNode
    | SessionV2
    | ResourceGroup
    | ContainerRegistryV2
    | ModelDeployment
    | ArtifactRegistry
    | Role

  type ContainerRegistryV2 implements Node {
    id: ID!
    registryName: String!
    project: String
  }

  type ModelDeployment implements Node {
    id: ID!
    metadata: ModelDeploymentMetadata!
  }

  type ModelDeploymentMetadata {
    name: String!
  }

  type ArtifactRegistry {
    id: ID!
  }
`;
