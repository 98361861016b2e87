/** The SDL of sessions and kernels in the newer schema, as upstream has it. */
const PAGE = `before: String = null
      after: String = null
      first: Int = null
      last: Int = null
      limit: Int = null
      offset: Int = null`;
const SESSIONS = `filter: SessionV2Filter = null
      orderBy: [SessionV2OrderBy!] = null
      ${PAGE}`;
const KERNELS = `filter: KernelV2Filter = null
      orderBy: [KernelV2OrderBy!] = null
      ${PAGE}`;

const enumFilter = (name: string, members: string) => `
  input ${name} {
    equals: ${members} = null
    in: [${members}!] = null
    notEquals: ${members} = null
    notIn: [${members}!] = null
  }`;

export const sessionTypeDefs = /* GraphQL */ `
  type Query {
    adminSessionsV2(
      ${SESSIONS}
    ): SessionV2Connection
    mySessionsV2(
      ${SESSIONS}
    ): SessionV2Connection
    projectSessionsV2(
      scope: ProjectSessionV2Scope!
      ${SESSIONS}
    ): SessionV2Connection
    sessionV2(id: UUID!): SessionV2
  }

  input ProjectSessionV2Scope {
    projectId: UUID!
  }

  enum SessionV2Status {
    PENDING
    SCHEDULED
    PREPARING
    PREPARED
    CREATING
    RUNNING
    DEPRIORITIZING
    TERMINATING
    TERMINATED
    CANCELLED
  }

  enum SessionV2Type {
    INTERACTIVE
    BATCH
    INFERENCE
    SYSTEM
  }

  enum SessionV2Result {
    UNDEFINED
    SUCCESS
    FAILURE
  }

  enum ClusterMode {
    SINGLE_NODE
    MULTI_NODE
  }

  ${enumFilter('SessionV2StatusFilter', 'SessionV2Status')}

  input SessionV2Filter {
    id: UUIDFilter = null
    status: SessionV2StatusFilter = null
    name: StringFilter = null
    domainName: StringFilter = null
    projectId: UUIDFilter = null
    userUuid: UUIDFilter = null
    AND: [SessionV2Filter!] = null
    OR: [SessionV2Filter!] = null
    NOT: [SessionV2Filter!] = null
  }

  enum SessionV2OrderField {
    CREATED_AT
    TERMINATED_AT
    STATUS
    ID
    NAME
  }

  input SessionV2OrderBy {
    field: SessionV2OrderField!
    direction: OrderDirection! = DESC
  }

  type SessionV2Connection {
    pageInfo: PageInfo!
    edges: [SessionV2Edge!]!
    count: Int!
  }

  type SessionV2Edge {
    cursor: String!
    node: SessionV2!
  }

  type SessionV2 implements Node {
    id: ID!
    imageIds: [ID!]
    domainName: String!
    userId: ID!
    projectId: ID!
    metadata: SessionV2MetadataInfo!
    resource: SessionV2ResourceInfo!
    lifecycle: SessionV2LifecycleInfo!
    runtime: SessionV2RuntimeInfo!
    network: SessionV2NetworkInfo!
    domain: DomainV2
    user: UserV2
    project: ProjectV2
    images: ImageV2Connection
    kernels: KernelV2Connection
  }

  type SessionV2MetadataInfo {
    creationId: String!
    name: String!
    sessionType: SessionV2Type!
    accessKey: String!
    clusterMode: ClusterMode!
    clusterSize: Int!
    priority: Int!
    isPreemptible: Boolean!
    tag: String
  }

  type SessionV2LifecycleInfo {
    status: SessionV2Status!
    result: SessionV2Result!
    createdAt: DateTime
    terminatedAt: DateTime
    startsAt: DateTime
    batchTimeout: Int
  }

  type SessionV2ResourceInfo {
    allocation: ResourceAllocation!
    resourceGroupName: String
  }

  type SessionV2RuntimeInfo {
    environ: EnvironmentVariables
    bootstrapScript: String
    startupCommand: String
    callbackUrl: String
  }

  type SessionV2NetworkInfo {
    useHostNetwork: Boolean!
    networkType: String
    networkId: String
  }

  type EnvironmentVariables {
    entries: [EnvironmentVariableEntry!]!
  }

  type EnvironmentVariableEntry {
    name: String!
    value: String!
  }

  type ResourceAllocation {
    requested: ResourceSlot!
    used: ResourceSlot
  }

  type ResourceSlot {
    entries: [ResourceSlotEntry!]!
  }

  type ResourceSlotEntry {
    resourceType: String!
    quantity: Decimal!
  }

  type SessionSchedulingHistory {
    session: SessionV2
  }
`;

export const kernelTypeDefs = /* GraphQL */ `
  type Query {
    kernelV2(id: UUID!): KernelV2
    sessionKernelsV2(
      scope: SessionScope!
      ${KERNELS}
    ): KernelV2Connection
    adminKernelsV2(
      ${KERNELS}
    ): KernelV2Connection
  }

  enum KernelV2Status {
    PENDING
    SCHEDULED
    PREPARING
    PREPARED
    CREATING
    RUNNING
    TERMINATING
    TERMINATED
    CANCELLED
  }

  enum SessionTypes {
    INTERACTIVE
    BATCH
    INFERENCE
    SYSTEM
  }

  ${enumFilter('KernelV2StatusFilter', 'KernelV2Status')}

  input KernelV2Filter {
    id: UUIDFilter = null
    status: KernelV2StatusFilter = null
    sessionId: UUIDFilter = null
    AND: [KernelV2Filter!] = null
    OR: [KernelV2Filter!] = null
    NOT: [KernelV2Filter!] = null
  }

  enum KernelV2OrderField {
    CREATED_AT
    TERMINATED_AT
    STATUS
    CLUSTER_MODE
    CLUSTER_HOSTNAME
    CLUSTER_IDX
  }

  input KernelV2OrderBy {
    field: KernelV2OrderField!
    direction: OrderDirection! = DESC
  }

  type KernelV2Connection {
    pageInfo: PageInfo!
    edges: [KernelV2Edge!]!
    count: Int!
  }

  type KernelV2Edge {
    cursor: String!
    node: KernelV2!
  }

  type KernelV2 implements Node {
    id: ID!
    imageId: ID
    startupCommand: String
    sessionInfo: KernelV2SessionInfo!
    userInfo: KernelV2UserInfo!
    network: KernelV2NetworkInfo!
    cluster: KernelV2ClusterInfo!
    resource: KernelV2ResourceInfo!
    lifecycle: KernelV2LifecycleInfo!
    image: ImageV2
    user: UserV2
    project: ProjectV2
    domain: DomainV2
    session: SessionV2
  }

  type KernelV2SessionInfo {
    sessionId: UUID!
    creationId: String
    name: String
    sessionType: SessionTypes!
  }

  type KernelV2UserInfo {
    userId: UUID
    accessKey: String
    domainName: String
    groupId: UUID
  }

  type KernelV2NetworkInfo {
    servicePorts: ServicePorts
    preopenPorts: [Int!]
  }

  type ServicePorts {
    entries: [ServicePortEntry!]!
  }

  enum ServicePortProtocol {
    HTTP
    TCP
    PREOPEN
    INTERNAL
    VNC
    RDP
  }

  type ServicePortEntry {
    name: String!
    protocol: ServicePortProtocol!
    containerPorts: [Int!]!
    hostPorts: [Int]!
    isInference: Boolean!
  }

  type KernelV2ClusterInfo {
    clusterRole: String!
    clusterIdx: Int!
    localRank: Int!
    clusterHostname: String!
  }

  type KernelV2ResourceInfo {
    agentId: String
    resourceGroupName: String
    containerId: String
    allocation: ResourceAllocation!
    resourceOpts: ResourceOpts
  }

  type ResourceOpts {
    entries: [ResourceOptsEntry!]!
  }

  type ResourceOptsEntry {
    name: String!
    value: String!
  }

  type KernelV2LifecycleInfo {
    status: KernelV2Status!
    result: SessionV2Result!
    createdAt: DateTime
    terminatedAt: DateTime
    startsAt: DateTime
  }
`;
