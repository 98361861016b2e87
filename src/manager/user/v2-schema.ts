/** The SDL of users (the newer type), as upstream has it. */

const PAGE =
  'before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null';
const LIST = `filter: UserV2Filter = null, orderBy: [UserV2OrderBy!] = null, ${PAGE}`;

const objects = /* GraphQL */ `
  type UserV2 implements Node {
    id: ID!
    basicInfo: UserV2BasicInfo!
    status: UserV2StatusInfo!
    organization: UserV2OrganizationInfo!
    security: UserV2SecurityInfo!
    container: UserV2ContainerSettings!
    timestamps: EntityTimestamps!
    domain: DomainV2
  }

  type UserV2BasicInfo {
    username: String
    email: String!
    fullName: String
    description: String
    integrationName: String
  }

  type UserV2StatusInfo {
    status: UserStatusV2!
    statusInfo: String
    needPasswordChange: Boolean
  }

  type UserV2OrganizationInfo {
    domainName: String
    role: UserRoleV2
    resourcePolicy: String!
    mainAccessKey: String
  }

  type UserV2SecurityInfo {
    allowedClientIp: [String!]
    totpActivated: Boolean
    totpActivatedAt: DateTime
    sudoSessionEnabled: Boolean!
  }

  type UserV2ContainerSettings {
    containerUid: Int
    containerMainGid: Int
    containerGids: [Int!]
  }

  enum UserStatusV2 {
    ACTIVE
    INACTIVE
    DELETED
    BEFORE_VERIFICATION
  }

  enum UserRoleV2 {
    USER
    ADMIN
    SUPERADMIN
    MONITOR
  }

  type UserV2Connection {
    pageInfo: PageInfo!
    edges: [UserV2Edge!]!
    count: Int!
  }

  type UserV2Edge {
    cursor: String!
    node: UserV2!
  }
`;

const filters = /* GraphQL */ `
  input DomainUserV2Scope {
    domainName: String!
  }

  input ProjectUserV2Scope {
    projectId: UUID!
  }

  input UserV2Filter {
    uuid: UUIDFilter = null
    username: StringFilter = null
    email: StringFilter = null
    fullName: StringFilter = null
    description: StringFilter = null
    status: UserStatusV2EnumFilter = null
    statusInfo: StringFilter = null
    domainName: StringFilter = null
    integrationName: StringFilter = null
    resourcePolicy: StringFilter = null
    role: UserRoleV2EnumFilter = null
    needPasswordChange: Boolean = null
    totpActivated: Boolean = null
    sudoSessionEnabled: Boolean = null
    containerUid: IntFilter = null
    containerMainGid: IntFilter = null
    containerGids: IntArrayFilter = null
    createdAt: DateTimeFilter = null
    domain: UserDomainNestedFilter = null
    project: UserProjectNestedFilter = null
    AND: [UserV2Filter!] = null
    OR: [UserV2Filter!] = null
    NOT: [UserV2Filter!] = null
  }

  input UserStatusV2EnumFilter {
    equals: UserStatusV2 = null
    in: [UserStatusV2!] = null
    notEquals: UserStatusV2 = null
    notIn: [UserStatusV2!] = null
  }

  input UserRoleV2EnumFilter {
    equals: UserRoleV2 = null
    in: [UserRoleV2!] = null
    notEquals: UserRoleV2 = null
    notIn: [UserRoleV2!] = null
  }

  input UserDomainNestedFilter {
    name: StringFilter = null
    isActive: Boolean = null
  }

  input UserProjectNestedFilter {
    name: StringFilter = null
    isActive: Boolean = null
  }

  input UserV2OrderBy {
    field: UserV2OrderField! = CREATED_AT
    direction: OrderDirection! = DESC
  }

  enum UserV2OrderField {
    CREATED_AT
    MODIFIED_AT
    USERNAME
    EMAIL
    STATUS
    DOMAIN_NAME
    PROJECT_NAME
  }
`;

const mutations = /* GraphQL */ `
  type Mutation {
    adminCreateUserV2(input: CreateUserV2Input!): CreateUserV2Payload
    adminBulkCreateUsersV2(input: BulkCreateUserV2Input!): BulkCreateUsersV2Payload @deprecated
    adminBulkCreateUsersWithKeypairV2(input: BulkCreateUserV2Input!): BulkCreateUsersWithKeypairV2Payload
    adminUpdateUserV2(userId: UUID!, input: UpdateUserV2Input!): UpdateUserV2Payload
    adminBulkUpdateUsersV2(input: BulkUpdateUserV2Input!): BulkUpdateUsersV2Payload
    updateUserV2(input: UpdateUserV2Input!): UpdateUserV2Payload
    updateMyAllowedClientIp(input: UpdateMyAllowedClientIPInput!): UpdateMyAllowedClientIPPayload
    adminDeleteUserV2(userId: UUID!): DeleteUserV2Payload
    adminDeleteUsersV2(input: DeleteUsersV2Input!): DeleteUsersV2Payload
    adminPurgeUserV2(input: PurgeUserV2Input!): PurgeUserV2Payload
    adminBulkPurgeUsersV2(input: BulkPurgeUsersV2Input!): BulkPurgeUsersV2Payload
  }

  input CreateUserV2Input {
    email: String!
    username: String!
    password: String!
    domainName: String!
    needPasswordChange: Boolean!
    status: UserStatusV2!
    role: UserRoleV2!
    fullName: String = null
    description: String = null
    groupIds: [UUID!] = null
    allowedClientIp: [String!] = null
    totpActivated: Boolean! = false
    resourcePolicy: String! = "default"
    sudoSessionEnabled: Boolean! = false
    containerUid: Int = null
    containerMainGid: Int = null
    containerGids: [Int!] = null
  }

  type CreateUserV2Payload {
    user: UserV2!
    keypair: CreateKeypairPayload!
  }

  input BulkCreateUserV2Input {
    users: [CreateUserV2Input!]!
  }

  type BulkCreateUsersV2Payload {
    createdUsers: [UserV2!]!
    failed: [BulkCreateUserV2Error!]!
  }

  type BulkCreateUsersWithKeypairV2Payload {
    created: [CreateUserV2Payload!]!
    failed: [BulkCreateUserV2Error!]!
  }

  type BulkCreateUserV2Error {
    index: Int!
    username: String!
    email: String!
    message: String!
  }

  input UpdateUserV2Input {
    username: String
    password: String
    fullName: String
    description: String
    status: UserStatusV2
    role: UserRoleV2
    domainName: String
    groupIds: [UUID!]
    allowedClientIp: [String!]
    needPasswordChange: Boolean
    resourcePolicy: String
    sudoSessionEnabled: Boolean
    mainAccessKey: String
    containerUid: Int
    containerMainGid: Int
    containerGids: [Int!]
  }

  input UpdateMyAllowedClientIPInput {
    allowedClientIp: [String!]
    force: Boolean! = false
  }

  type UpdateMyAllowedClientIPPayload {
    success: Boolean!
  }

  type UpdateUserV2Payload {
    user: UserV2!
  }

  input BulkUpdateUserV2Input {
    users: [BulkUpdateUserV2ItemInput!]!
  }

  input BulkUpdateUserV2ItemInput {
    userId: UUID!
    input: UpdateUserV2Input!
  }

  type BulkUpdateUsersV2Payload {
    updatedUsers: [UserV2!]!
    failed: [BulkUpdateUserV2Error!]!
  }

  type BulkUpdateUserV2Error {
    userId: UUID!
    message: String!
  }

  type DeleteUserV2Payload {
    success: Boolean!
  }

  input DeleteUsersV2Input {
    userIds: [UUID!]!
  }

  type DeleteUsersV2Payload {
    deletedCount: Int!
  }

  input PurgeUserV2Options {
    purgeSharedVfolders: Boolean! = false
    delegateEndpointOwnership: Boolean! = false
  }

  input PurgeUserV2Input {
    userId: UUID!
    options: PurgeUserV2Options = null
  }

  type PurgeUserV2Payload {
    success: Boolean!
  }

  input BulkPurgeUsersV2Options {
    purgeSharedVfolders: Boolean! = false
    delegateEndpointOwnership: Boolean! = false
  }

  input BulkPurgeUsersV2Input {
    userIds: [UUID!]!
    options: BulkPurgeUsersV2Options = null
  }

  type BulkPurgeUsersV2Payload {
    purgedCount: Int!
    failed: [BulkPurgeUserV2Error!]!
  }

  type BulkPurgeUserV2Error {
    userId: UUID!
    message: String!
  }
`;

export const v2TypeDefs = /* GraphQL */ `
  type Query {
    adminUsersV2(${LIST}): UserV2Connection
    adminUserV2(userId: UUID!): UserV2
    domainUsersV2(scope: DomainUserV2Scope!, ${LIST}): UserV2Connection
    projectUsersV2(scope: ProjectUserV2Scope!, ${LIST}): UserV2Connection
    myUserV2: UserV2
  }

  type DomainV2 {
    users(${LIST}): UserV2Connection
  }

  type ProjectV2 {
    users(${LIST}): UserV2Connection
  }

  ${objects}
  ${filters}
  ${mutations}
`;
