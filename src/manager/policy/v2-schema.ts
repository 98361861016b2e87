/** The SDL of resource policies (the newer types), as upstream has it. */

const PAGE =
  'before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null';

/** What each kind of policy has besides its own fields: connection, edge, order. */
const listOf = (type: string): string => /* GraphQL */ `
  type ${type}Connection {
    pageInfo: PageInfo!
    edges: [${type}Edge!]!
    count: Int!
  }

  type ${type}Edge {
    cursor: String!
    node: ${type}!
  }

  input ${type}OrderBy {
    field: ${type}OrderField! = CREATED_AT
    direction: OrderDirection! = DESC
  }
`;

const list = (type: string): string =>
  `(filter: ${type}Filter = null, orderBy: [${type}OrderBy!] = null, ${PAGE}): ${type}Connection`;

const keypair = /* GraphQL */ `
  type KeypairResourcePolicyV2 implements Node {
    id: ID!
    name: String!
    createdAt: DateTime
    defaultForUnspecified: String!
    totalResourceSlots: [ResourceLimitEntry!]!
    maxSessionLifetime: Int!
    maxConcurrentSessions: Int!
    maxPendingSessionCount: Int
    maxPendingSessionResourceSlots: [ResourceLimitEntry!]
    maxConcurrentSftpSessions: Int!
    maxContainersPerSession: Int!
    idleTimeout: Int!
    allowedVfolderHosts: [VFolderHostPermissionEntry!]!
  }

  input KeypairResourcePolicyV2Filter {
    name: StringFilter = null
    createdAt: DateTimeFilter = null
    maxSessionLifetime: IntFilter = null
    maxConcurrentSessions: IntFilter = null
    maxContainersPerSession: IntFilter = null
    idleTimeout: IntFilter = null
    maxConcurrentSftpSessions: IntFilter = null
    maxPendingSessionCount: IntFilter = null
    keypair: KeypairResourcePolicyKeypairNestedFilter = null
  }

  input KeypairResourcePolicyKeypairNestedFilter {
    userId: UUIDFilter = null
  }

  enum KeypairResourcePolicyV2OrderField {
    NAME
    CREATED_AT
    MAX_SESSION_LIFETIME
    MAX_CONCURRENT_SESSIONS
    MAX_CONTAINERS_PER_SESSION
    IDLE_TIMEOUT
    MAX_CONCURRENT_SFTP_SESSIONS
    MAX_PENDING_SESSION_COUNT
  }

  input CreateKeypairResourcePolicyInput {
    name: String!
    defaultForUnspecified: String!
    totalResourceSlots: [ResourceSlotEntryInput!]!
    maxSessionLifetime: Int!
    maxConcurrentSessions: Int!
    maxContainersPerSession: Int!
    idleTimeout: Int!
    maxPendingSessionCount: Int = null
    maxPendingSessionResourceSlots: [ResourceSlotEntryInput!] = null
    maxConcurrentSftpSessions: Int! = 1
    allowedVfolderHosts: [VFolderHostPermissionEntryInput!]!
  }

  input UpdateKeypairResourcePolicyInput {
    defaultForUnspecified: String = null
    totalResourceSlots: [ResourceSlotEntryInput!] = null
    maxSessionLifetime: Int = null
    maxConcurrentSessions: Int = null
    maxPendingSessionCount: Int = null
    maxPendingSessionResourceSlots: [ResourceSlotEntryInput!] = null
    maxConcurrentSftpSessions: Int = null
    maxContainersPerSession: Int = null
    idleTimeout: Int = null
    allowedVfolderHosts: [VFolderHostPermissionEntryInput!] = null
  }

  type CreateKeypairResourcePolicyPayload {
    keypairResourcePolicy: KeypairResourcePolicyV2!
  }

  type UpdateKeypairResourcePolicyPayload {
    keypairResourcePolicy: KeypairResourcePolicyV2!
  }

  type DeleteKeypairResourcePolicyPayload {
    name: String!
  }

  ${listOf('KeypairResourcePolicyV2')}
`;

const user = /* GraphQL */ `
  type UserResourcePolicyV2 implements Node {
    id: ID!
    name: String!
    createdAt: DateTime
    maxVfolderCount: Int!
    maxConcurrentLogins: Int
    maxQuotaScopeSize: BinarySizeInfo!
    maxSessionCountPerModelSession: Int!
    maxCustomizedImageCount: Int!
  }

  input UserResourcePolicyV2Filter {
    name: StringFilter = null
    createdAt: DateTimeFilter = null
    maxVfolderCount: IntFilter = null
    maxConcurrentLogins: IntFilter = null
    maxQuotaScopeSize: IntFilter = null
    maxSessionCountPerModelSession: IntFilter = null
    maxCustomizedImageCount: IntFilter = null
  }

  enum UserResourcePolicyV2OrderField {
    NAME
    CREATED_AT
    MAX_VFOLDER_COUNT
    MAX_CONCURRENT_LOGINS
    MAX_QUOTA_SCOPE_SIZE
    MAX_SESSION_COUNT_PER_MODEL_SESSION
    MAX_CUSTOMIZED_IMAGE_COUNT
  }

  input CreateUserResourcePolicyInputV2 {
    name: String!
    maxVfolderCount: Int!
    maxConcurrentLogins: Int = null
    maxQuotaScopeSize: BinarySizeInput!
    maxSessionCountPerModelSession: Int!
    maxCustomizedImageCount: Int!
  }

  input UpdateUserResourcePolicyInput {
    maxVfolderCount: Int = null
    maxConcurrentLogins: Int = null
    maxQuotaScopeSize: BinarySizeInput = null
    maxSessionCountPerModelSession: Int = null
    maxCustomizedImageCount: Int = null
  }

  type CreateUserResourcePolicyPayload {
    userResourcePolicy: UserResourcePolicyV2!
  }

  type UpdateUserResourcePolicyPayload {
    userResourcePolicy: UserResourcePolicyV2!
  }

  type DeleteUserResourcePolicyPayload {
    name: String!
  }

  ${listOf('UserResourcePolicyV2')}
`;

const project = /* GraphQL */ `
  type ProjectResourcePolicyV2 implements Node {
    id: ID!
    name: String!
    createdAt: DateTime
    maxVfolderCount: Int!
    maxQuotaScopeSize: BinarySizeInfo!
    maxNetworkCount: Int!
  }

  input ProjectResourcePolicyV2Filter {
    name: StringFilter = null
    createdAt: DateTimeFilter = null
    maxVfolderCount: IntFilter = null
    maxQuotaScopeSize: IntFilter = null
    maxNetworkCount: IntFilter = null
  }

  enum ProjectResourcePolicyV2OrderField {
    NAME
    CREATED_AT
    MAX_VFOLDER_COUNT
    MAX_QUOTA_SCOPE_SIZE
    MAX_NETWORK_COUNT
  }

  input CreateProjectResourcePolicyInputV2 {
    name: String!
    maxVfolderCount: Int!
    maxQuotaScopeSize: BinarySizeInput!
    maxNetworkCount: Int!
  }

  input UpdateProjectResourcePolicyInput {
    maxVfolderCount: Int = null
    maxQuotaScopeSize: BinarySizeInput = null
    maxNetworkCount: Int = null
  }

  type CreateProjectResourcePolicyPayload {
    projectResourcePolicy: ProjectResourcePolicyV2!
  }

  type UpdateProjectResourcePolicyPayload {
    projectResourcePolicy: ProjectResourcePolicyV2!
  }

  type DeleteProjectResourcePolicyPayload {
    name: String!
  }

  ${listOf('ProjectResourcePolicyV2')}
`;

export const v2TypeDefs = /* GraphQL */ `
  type Query {
    adminKeypairResourcePolicyV2(name: String!): KeypairResourcePolicyV2
    adminKeypairResourcePoliciesV2${list('KeypairResourcePolicyV2')}
    myKeypairResourcePolicyV2: KeypairResourcePolicyV2
    adminUserResourcePolicyV2(name: String!): UserResourcePolicyV2
    adminUserResourcePoliciesV2${list('UserResourcePolicyV2')}
    myUserResourcePolicyV2: UserResourcePolicyV2
    adminProjectResourcePolicyV2(name: String!): ProjectResourcePolicyV2
    adminProjectResourcePoliciesV2${list('ProjectResourcePolicyV2')}
  }

  type Mutation {
    adminCreateKeypairResourcePolicyV2(input: CreateKeypairResourcePolicyInput!): CreateKeypairResourcePolicyPayload
    adminUpdateKeypairResourcePolicyV2(name: String!, input: UpdateKeypairResourcePolicyInput!): UpdateKeypairResourcePolicyPayload
    adminDeleteKeypairResourcePolicyV2(name: String!): DeleteKeypairResourcePolicyPayload
    adminCreateUserResourcePolicyV2(input: CreateUserResourcePolicyInputV2!): CreateUserResourcePolicyPayload
    adminUpdateUserResourcePolicyV2(name: String!, input: UpdateUserResourcePolicyInput!): UpdateUserResourcePolicyPayload
    adminDeleteUserResourcePolicyV2(name: String!): DeleteUserResourcePolicyPayload
    adminCreateProjectResourcePolicyV2(input: CreateProjectResourcePolicyInputV2!): CreateProjectResourcePolicyPayload
    adminUpdateProjectResourcePolicyV2(name: String!, input: UpdateProjectResourcePolicyInput!): UpdateProjectResourcePolicyPayload
    adminDeleteProjectResourcePolicyV2(name: String!): DeleteProjectResourcePolicyPayload
  }

  ${keypair}
  ${user}
  ${project}
`;
