/** The SDL of projects (the newer type), as upstream has it. */

const PAGE =
  'before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null';
const LIST = `filter: ProjectV2Filter = null, orderBy: [ProjectV2OrderBy!] = null, ${PAGE}`;

const objects = /* GraphQL */ `
  type ProjectV2 implements Node {
    id: ID!
    basicInfo: ProjectBasicInfo!
    organization: ProjectOrganizationInfo!
    storage: ProjectStorageInfo!
    lifecycle: ProjectLifecycleInfo!
    activeResourceOverview: ActiveResourceOverview
    domain: DomainV2
  }

  type ProjectBasicInfo {
    name: String!
    description: String
    type: ProjectTypeV2!
    integrationName: String
  }

  type ProjectOrganizationInfo {
    domainName: String!
    resourcePolicy: String!
  }

  type ProjectStorageInfo {
    allowedVfolderHosts: [VFolderHostPermissionEntry!]!
  }

  type ProjectLifecycleInfo {
    isActive: Boolean
    createdAt: DateTime
    modifiedAt: DateTime
  }

  enum ProjectTypeV2 {
    GENERAL
    MODEL_STORE
  }

  type ProjectV2Connection {
    pageInfo: PageInfo!
    edges: [ProjectV2Edge!]!
    count: Int!
  }

  type ProjectV2Edge {
    cursor: String!
    node: ProjectV2!
  }

  input DomainProjectV2Scope {
    domainName: String!
  }

  input ProjectV2Filter {
    id: UUIDFilter = null
    name: StringFilter = null
    domainName: StringFilter = null
    type: ProjectTypeV2EnumFilter = null
    isActive: Boolean = null
    createdAt: DateTimeFilter = null
    modifiedAt: DateTimeFilter = null
    domain: ProjectDomainNestedFilter = null
    user: ProjectUserNestedFilter = null
    AND: [ProjectV2Filter!] = null
    OR: [ProjectV2Filter!] = null
    NOT: [ProjectV2Filter!] = null
  }

  input ProjectTypeV2EnumFilter {
    equals: ProjectTypeV2 = null
    in_: [ProjectTypeV2!] = null
    notEquals: ProjectTypeV2 = null
    notIn: [ProjectTypeV2!] = null
  }

  input ProjectDomainNestedFilter {
    name: StringFilter = null
    isActive: Boolean = null
  }

  input ProjectUserNestedFilter {
    id: UUIDFilter = null
    username: StringFilter = null
    email: StringFilter = null
    isActive: Boolean = null
  }

  input ProjectV2OrderBy {
    field: ProjectV2OrderField! = CREATED_AT
    direction: OrderDirection! = DESC
  }

  enum ProjectV2OrderField {
    CREATED_AT
    MODIFIED_AT
    NAME
    IS_ACTIVE
    TYPE
    DOMAIN_NAME
    USER_USERNAME
    USER_EMAIL
  }
`;

const mutations = /* GraphQL */ `
  type Mutation {
    adminCreateProjectV2(input: CreateProjectInput!): ProjectPayload
    adminUpdateProjectV2(projectId: UUID!, input: UpdateProjectInput!): ProjectPayload
    adminDeleteProjectV2(projectId: UUID!): DeleteProjectPayload
    adminPurgeProjectV2(projectId: UUID!): PurgeProjectPayload
    unassignUsersFromProjectV2(projectId: UUID!, input: UnassignUsersFromProjectInput!): UnassignUsersFromProjectPayload
  }

  input CreateProjectInput {
    name: String!
    domainName: String!
    description: String = null
    integrationName: String = null
    resourcePolicy: String = null
  }

  input UpdateProjectInput {
    name: String = null
    description: String = null
    isActive: Boolean = null
    integrationName: String = null
    resourcePolicy: String = null
  }

  type ProjectPayload {
    project: ProjectV2!
  }

  type DeleteProjectPayload {
    deleted: Boolean!
  }

  type PurgeProjectPayload {
    purged: Boolean!
  }

  input UnassignUsersFromProjectInput {
    userIds: [UUID!]!
  }

  type UnassignUsersFromProjectPayload {
    unassignedUsers: [UserV2!]!
    failed: [UnassignUserError!]!
  }

  type UnassignUserError {
    userId: UUID!
    message: String!
  }
`;

export const v2TypeDefs = /* GraphQL */ `
  type Query {
    projectV2(projectId: UUID!): ProjectV2
    projectDomainV2(projectId: UUID!): DomainV2
    adminProjectsV2(${LIST}): ProjectV2Connection
    domainProjectsV2(scope: DomainProjectV2Scope!, ${LIST}): ProjectV2Connection
  }

  type DomainV2 {
    projects(${LIST}): ProjectV2Connection
  }

  type UserV2 {
    projects(${LIST}): ProjectV2Connection
  }

  ${objects}
  ${mutations}
`;
