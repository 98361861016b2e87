/** The SDL of fair shares and of usage per day, as upstream has it. */

const PAGE =
  'before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null';

export const typeDefs = /* GraphQL */ `
  type Query {
    rgDomainFairShares(scope: ResourceGroupDomainScope!, filter: RGDomainFairShareFilter = null, orderBy: [DomainFairShareOrderBy!] = null, ${PAGE}): DomainFairShareConnection
    rgProjectFairShares(scope: ResourceGroupProjectScope!, filter: RGProjectFairShareFilter = null, orderBy: [ProjectFairShareOrderBy!] = null, ${PAGE}): ProjectFairShareConnection
    rgUserFairShares(scope: ResourceGroupUserScope!, filter: RGUserFairShareFilter = null, orderBy: [UserFairShareOrderBy!] = null, ${PAGE}): UserFairShareConnection
    adminDomainFairShare(resourceGroupName: String!, domainName: String!): DomainFairShare
    adminDomainFairShares(filter: DomainFairShareFilter = null, orderBy: [DomainFairShareOrderBy!] = null, ${PAGE}): DomainFairShareConnection
    adminProjectFairShare(resourceGroupName: String!, projectId: UUID!): ProjectFairShare
    adminProjectFairShares(filter: ProjectFairShareFilter = null, orderBy: [ProjectFairShareOrderBy!] = null, ${PAGE}): ProjectFairShareConnection
    adminUserFairShare(resourceGroupName: String!, projectId: UUID!, userUuid: UUID!): UserFairShare
    adminUserFairShares(filter: UserFairShareFilter = null, orderBy: [UserFairShareOrderBy!] = null, ${PAGE}): UserFairShareConnection
    rgDomainFairShare(scope: ResourceGroupDomainScope!, domainName: String!): DomainFairShare
    rgProjectFairShare(scope: ResourceGroupProjectScope!, projectId: UUID!): ProjectFairShare
    rgUserFairShare(scope: ResourceGroupUserScope!, userUuid: UUID!): UserFairShare
  }

  type Mutation {
    adminUpsertDomainFairShareWeight(input: UpsertDomainFairShareWeightInput!): UpsertDomainFairShareWeightPayload
    adminUpsertProjectFairShareWeight(input: UpsertProjectFairShareWeightInput!): UpsertProjectFairShareWeightPayload
    adminUpsertUserFairShareWeight(input: UpsertUserFairShareWeightInput!): UpsertUserFairShareWeightPayload
    adminBulkUpsertDomainFairShareWeight(input: BulkUpsertDomainFairShareWeightInput!): BulkUpsertDomainFairShareWeightPayload
    adminBulkUpsertProjectFairShareWeight(input: BulkUpsertProjectFairShareWeightInput!): BulkUpsertProjectFairShareWeightPayload
    adminBulkUpsertUserFairShareWeight(input: BulkUpsertUserFairShareWeightInput!): BulkUpsertUserFairShareWeightPayload
    adminUpdateResourceGroupFairShareSpec(input: UpdateResourceGroupFairShareSpecInput!): UpdateResourceGroupFairShareSpecPayload
  }

  type FairShareSpec {
    weight: Decimal!
    usesDefault: Boolean!
    halfLifeDays: Int!
    lookbackDays: Int!
    decayUnitDays: Int!
    resourceWeights: [ResourceWeightEntry!]!
  }

  type ResourceWeightEntry {
    resourceType: String!
    weight: Decimal!
    usesDefault: Boolean!
  }

  type FairShareCalculationSnapshot {
    averageDailyDecayedUsage: ResourceSlot
    fairShareFactor: Decimal!
    totalDecayedUsage: ResourceSlot!
    normalizedUsage: Decimal!
    lookbackStart: Date!
    lookbackEnd: Date!
    lastCalculatedAt: DateTime!
  }

  type DomainFairShare implements Node {
    id: ID!
    resourceGroupName: String!
    domainName: String!
    spec: FairShareSpec!
    calculationSnapshot: FairShareCalculationSnapshot!
    createdAt: DateTime!
    updatedAt: DateTime!
    domain: DomainV2
    resourceGroup: ResourceGroup
  }

  type ProjectFairShare implements Node {
    id: ID!
    resourceGroupName: String!
    projectId: UUID!
    domainName: String!
    spec: FairShareSpec!
    calculationSnapshot: FairShareCalculationSnapshot!
    createdAt: DateTime!
    updatedAt: DateTime!
    project: ProjectV2
    domain: DomainV2
    resourceGroup: ResourceGroup
  }

  type UserFairShare implements Node {
    id: ID!
    resourceGroupName: String!
    userUuid: UUID!
    projectId: UUID!
    domainName: String!
    spec: FairShareSpec!
    calculationSnapshot: FairShareCalculationSnapshot!
    createdAt: DateTime!
    updatedAt: DateTime!
    user: UserV2
    domain: DomainV2
    project: ProjectV2
    resourceGroup: ResourceGroup
  }

  input ResourceGroupDomainScope {
    resourceGroupName: String!
  }

  input ResourceGroupProjectScope {
    resourceGroupName: String!
    domainName: String!
  }

  input ResourceGroupUserScope {
    resourceGroupName: String!
    domainName: String!
    projectId: String!
  }

  input DomainFairShareDomainNestedFilter {
    isActive: Boolean = null
  }

  enum ProjectFairShareTypeEnum {
    GENERAL
    MODEL_STORE
  }

  input ProjectFairShareTypeEnumFilter {
    equals: ProjectFairShareTypeEnum = null
    in: [ProjectFairShareTypeEnum!] = null
    notEquals: ProjectFairShareTypeEnum = null
    notIn: [ProjectFairShareTypeEnum!] = null
  }

  input ProjectFairShareProjectNestedFilter {
    name: StringFilter = null
    isActive: Boolean = null
    type: ProjectFairShareTypeEnumFilter = null
  }

  input UserFairShareUserNestedFilter {
    username: StringFilter = null
    email: StringFilter = null
    isActive: Boolean = null
  }

  input DomainFairShareFilter {
    resourceGroup: StringFilter = null
    domainName: StringFilter = null
    domain: DomainFairShareDomainNestedFilter = null
    AND: [DomainFairShareFilter!] = null
    OR: [DomainFairShareFilter!] = null
    NOT: [DomainFairShareFilter!] = null
  }

  input ProjectFairShareFilter {
    resourceGroup: StringFilter = null
    projectId: UUIDFilter = null
    domainName: StringFilter = null
    project: ProjectFairShareProjectNestedFilter = null
    AND: [ProjectFairShareFilter!] = null
    OR: [ProjectFairShareFilter!] = null
    NOT: [ProjectFairShareFilter!] = null
  }

  input UserFairShareFilter {
    resourceGroup: StringFilter = null
    userUuid: UUIDFilter = null
    projectId: UUIDFilter = null
    domainName: StringFilter = null
    user: UserFairShareUserNestedFilter = null
    AND: [UserFairShareFilter!] = null
    OR: [UserFairShareFilter!] = null
    NOT: [UserFairShareFilter!] = null
  }

  input RGDomainFairShareFilter {
    resourceGroup: StringFilter = null
    domainName: StringFilter = null
    domain: DomainFairShareDomainNestedFilter = null
    AND: [RGDomainFairShareFilter!] = null
    OR: [RGDomainFairShareFilter!] = null
    NOT: [RGDomainFairShareFilter!] = null
  }

  input RGProjectFairShareFilter {
    resourceGroup: StringFilter = null
    projectId: UUIDFilter = null
    domainName: StringFilter = null
    project: ProjectFairShareProjectNestedFilter = null
    AND: [RGProjectFairShareFilter!] = null
    OR: [RGProjectFairShareFilter!] = null
    NOT: [RGProjectFairShareFilter!] = null
  }

  input RGUserFairShareFilter {
    resourceGroup: StringFilter = null
    userUuid: UUIDFilter = null
    projectId: UUIDFilter = null
    domainName: StringFilter = null
    user: UserFairShareUserNestedFilter = null
    AND: [RGUserFairShareFilter!] = null
    OR: [RGUserFairShareFilter!] = null
    NOT: [RGUserFairShareFilter!] = null
  }

  enum DomainFairShareOrderField {
    FAIR_SHARE_FACTOR
    DOMAIN_NAME
    CREATED_AT
    DOMAIN_IS_ACTIVE
  }

  enum ProjectFairShareOrderField {
    FAIR_SHARE_FACTOR
    CREATED_AT
    PROJECT_NAME
    PROJECT_IS_ACTIVE
  }

  enum UserFairShareOrderField {
    FAIR_SHARE_FACTOR
    CREATED_AT
    USER_USERNAME
    USER_EMAIL
  }

  input DomainFairShareOrderBy {
    field: DomainFairShareOrderField!
    direction: OrderDirection! = DESC
  }

  input ProjectFairShareOrderBy {
    field: ProjectFairShareOrderField!
    direction: OrderDirection! = DESC
  }

  input UserFairShareOrderBy {
    field: UserFairShareOrderField!
    direction: OrderDirection! = DESC
  }

  input UpsertDomainFairShareWeightInput {
    resourceGroupName: String!
    domainName: String!
    weight: Decimal = null
  }

  input UpsertProjectFairShareWeightInput {
    resourceGroupName: String!
    projectId: UUID!
    domainName: String!
    weight: Decimal = null
  }

  input UpsertUserFairShareWeightInput {
    resourceGroupName: String!
    projectId: UUID!
    userUuid: UUID!
    domainName: String!
    weight: Decimal = null
  }

  input DomainWeightInputItem {
    domainName: String!
    weight: Decimal = null
  }

  input ProjectWeightInputItem {
    projectId: UUID!
    domainName: String!
    weight: Decimal = null
  }

  input UserWeightInputItem {
    userUuid: UUID!
    projectId: UUID!
    domainName: String!
    weight: Decimal = null
  }

  input BulkUpsertDomainFairShareWeightInput {
    resourceGroupName: String!
    inputs: [DomainWeightInputItem!]!
  }

  input BulkUpsertProjectFairShareWeightInput {
    resourceGroupName: String!
    inputs: [ProjectWeightInputItem!]!
  }

  input BulkUpsertUserFairShareWeightInput {
    resourceGroupName: String!
    inputs: [UserWeightInputItem!]!
  }

  input ResourceWeightEntryInput {
    resourceType: String!
    weight: Decimal = null
  }

  input UpdateResourceGroupFairShareSpecInput {
    resourceGroupName: String!
    halfLifeDays: Int = null
    lookbackDays: Int = null
    decayUnitDays: Int = null
    defaultWeight: Decimal = null
    resourceWeights: [ResourceWeightEntryInput!] = null
  }

  type UpsertDomainFairShareWeightPayload {
    domainFairShare: DomainFairShare!
  }

  type UpsertProjectFairShareWeightPayload {
    projectFairShare: ProjectFairShare!
  }

  type UpsertUserFairShareWeightPayload {
    userFairShare: UserFairShare!
  }

  type BulkUpsertDomainFairShareWeightPayload {
    upsertedCount: Int!
  }

  type BulkUpsertProjectFairShareWeightPayload {
    upsertedCount: Int!
  }

  type BulkUpsertUserFairShareWeightPayload {
    upsertedCount: Int!
  }

  type UpdateResourceGroupFairShareSpecPayload {
    resourceGroup: ResourceGroup!
  }

${['Domain', 'Project', 'User']
  .map(
    (level) => `
  type ${level}FairShareConnection {
    pageInfo: PageInfo!
    edges: [${level}FairShareEdge!]!
    count: Int!
  }

  type ${level}FairShareEdge {
    cursor: String!
    node: ${level}FairShare!
  }`,
  )
  .join('\n')}
`;

export const usageTypeDefs = /* GraphQL */ `
  type Query {
    adminDomainUsageBuckets(filter: DomainUsageBucketFilter = null, orderBy: [DomainUsageBucketOrderBy!] = null, ${PAGE}): DomainUsageBucketConnection
    adminProjectUsageBuckets(filter: ProjectUsageBucketFilter = null, orderBy: [ProjectUsageBucketOrderBy!] = null, ${PAGE}): ProjectUsageBucketConnection
    adminUserUsageBuckets(filter: UserUsageBucketFilter = null, orderBy: [UserUsageBucketOrderBy!] = null, ${PAGE}): UserUsageBucketConnection
  }

  type DomainV2 {
    usageBuckets(scope: DomainUsageScope!, filter: DomainUsageBucketFilter = null, orderBy: [DomainUsageBucketOrderBy!] = null, ${PAGE}): DomainUsageBucketConnection
  }

  type ProjectV2 {
    usageBuckets(scope: ProjectUsageScope!, filter: ProjectUsageBucketFilter = null, orderBy: [ProjectUsageBucketOrderBy!] = null, ${PAGE}): ProjectUsageBucketConnection
  }

  type UserV2 {
    usageBuckets(scope: UserUsageScope!, filter: UserUsageBucketFilter = null, orderBy: [UserUsageBucketOrderBy!] = null, ${PAGE}): UserUsageBucketConnection
  }

  type UsageBucketMetadata {
    periodStart: Date!
    periodEnd: Date!
    decayUnitDays: Int!
    createdAt: DateTime!
    updatedAt: DateTime!
  }

  input DomainUsageScope {
    resourceGroupName: String!
  }

  input ProjectUsageScope {
    resourceGroupName: String!
  }

  input UserUsageScope {
    resourceGroupName: String!
    projectId: UUID!
  }

  enum UsageBucketOrderField {
    PERIOD_START
  }

${[
  ['Domain', ''],
  ['Project', 'projectId: UUID!'],
  ['User', 'userUuid: UUID!\n    projectId: UUID!'],
]
  .map(
    ([level, keys]) => `
  type ${level}UsageBucket implements Node {
    id: ID!
    ${keys}
    domainName: String!
    resourceGroupName: String!
    metadata: UsageBucketMetadata!
    resourceUsage: ResourceSlot!
    capacitySnapshot: ResourceSlot!
    averageDailyUsage: ResourceSlot
    usageCapacityRatio: ResourceSlot
  }

  type ${level}UsageBucketConnection {
    pageInfo: PageInfo!
    edges: [${level}UsageBucketEdge!]!
    count: Int!
  }

  type ${level}UsageBucketEdge {
    cursor: String!
    node: ${level}UsageBucket!
  }

  input ${level}UsageBucketOrderBy {
    field: UsageBucketOrderField!
    direction: OrderDirection! = DESC
  }

  input ${level}UsageBucketFilter {
    resourceGroup: StringFilter = null
    ${level === 'User' ? 'userUuid: UUIDFilter = null' : ''}
    ${level === 'Domain' ? '' : 'projectId: UUIDFilter = null'}
    domainName: StringFilter = null
    periodStart: DateFilter = null
    periodEnd: DateFilter = null
    AND: [${level}UsageBucketFilter!] = null
    OR: [${level}UsageBucketFilter!] = null
    NOT: [${level}UsageBucketFilter!] = null
  }`,
  )
  .join('\n')}
`;
