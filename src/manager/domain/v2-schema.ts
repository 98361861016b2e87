/** The SDL of domains (the newer type), as upstream has it. */

export const v2TypeDefs = /* GraphQL */ `
  type Query {
    domainV2(domainName: String!): DomainV2
    adminDomainsV2(filter: DomainV2Filter = null, orderBy: [DomainV2OrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): DomainV2Connection
    rgDomainsV2(scope: ResourceGroupDomainScope!, filter: DomainV2Filter = null, orderBy: [DomainV2OrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): DomainV2Connection
  }

  type Mutation {
    adminCreateDomainV2(input: CreateDomainInput!): DomainPayload
    adminUpdateDomainV2(domainName: String!, input: UpdateDomainInput!): DomainPayload
    adminDeleteDomainV2(domainName: String!): DeleteDomainPayload
    adminPurgeDomainV2(domainName: String!): PurgeDomainPayload
  }

  input CreateDomainInput {
    name: String!
    description: String = null
    isActive: Boolean! = true
    allowedDockerRegistries: [String!] = null
    integrationName: String = null
  }

  input UpdateDomainInput {
    name: String = null
    description: String = null
    isActive: Boolean = null
    allowedDockerRegistries: [String!] = null
    integrationName: String = null
  }

  type DomainPayload {
    domain: DomainV2!
  }

  type DeleteDomainPayload {
    deleted: Boolean!
  }

  type PurgeDomainPayload {
    purged: Boolean!
  }

  input ResourceGroupDomainScope {
    resourceGroupName: String!
  }

  type DomainV2 implements Node {
    id: ID!
    basicInfo: DomainBasicInfo!
    registry: DomainRegistryInfo!
    lifecycle: DomainLifecycleInfo!
    activeResourceOverview: ActiveResourceOverview
  }

  type ActiveResourceOverview {
    slots: ResourceSlot!
    sessionCount: Int!
  }

  type DomainBasicInfo {
    name: String!
    description: String
    integrationName: String
  }

  type DomainRegistryInfo {
    allowedDockerRegistries: [String!]!
  }

  type DomainLifecycleInfo {
    isActive: Boolean!
    createdAt: DateTime!
    modifiedAt: DateTime!
  }

  input DomainV2Filter {
    name: StringFilter = null
    description: StringFilter = null
    isActive: Boolean = null
    createdAt: DateTimeFilter = null
    modifiedAt: DateTimeFilter = null
    project: DomainProjectNestedFilter = null
    user: DomainUserNestedFilter = null
    AND: [DomainV2Filter!] = null
    OR: [DomainV2Filter!] = null
    NOT: [DomainV2Filter!] = null
  }

  input DomainProjectNestedFilter {
    name: StringFilter = null
    isActive: Boolean = null
  }

  input DomainUserNestedFilter {
    username: StringFilter = null
    email: StringFilter = null
    isActive: Boolean = null
  }

  input DomainV2OrderBy {
    field: DomainV2OrderField! = CREATED_AT
    direction: OrderDirection! = DESC
  }

  enum DomainV2OrderField {
    CREATED_AT
    MODIFIED_AT
    NAME
    IS_ACTIVE
    PROJECT_NAME
    USER_USERNAME
    USER_EMAIL
  }

  type DomainV2Connection {
    pageInfo: PageInfo!
    edges: [DomainV2Edge!]!
    count: Int!
  }

  type DomainV2Edge {
    cursor: String!
    node: DomainV2!
  }
`;
