/** The SDL of resource groups (the newer type), as upstream has it. */

const LIST =
  'filter: ResourceGroupFilter = null, orderBy: [ResourceGroupOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null';

export const v2TypeDefs = /* GraphQL */ `
  type Query {
    resourceGroups(${LIST}): ResourceGroupConnection @deprecated
    adminResourceGroups(${LIST}): ResourceGroupConnection
  }

  type ResourceGroup implements Node {
    id: ID!
    name: String!
    status: ResourceGroupStatus!
    metadata: ResourceGroupMetadata!
    network: ResourceGroupNetworkConfig!
    scheduler: ResourceGroupSchedulerConfig!
    defaultDeploymentOptions: DeploymentOptionsInfo!
    defaultSessionOptions: DefaultSessionOptionsInfo!
    resourceInfo: ResourceInfo
  }

  type DeploymentOptionsInfo {
    handlerOptions: DeploymentHandlerOptionsInfo!
  }

  type DeploymentHandlerOptionsInfo {
    default: HandlerOptionsInfo!
    byHandler: [HandlerOptionsEntryInfo!]!
  }

  type HandlerOptionsInfo {
    timeoutSec: Int
    maxRetryCount: Int
  }

  type HandlerOptionsEntryInfo {
    timeoutSec: Int
    maxRetryCount: Int
    handlerName: String!
  }

  type DefaultSessionOptionsInfo {
    priority: Int!
    isPreemptible: Boolean!
    clusterMode: String!
    defaultFailurePolicy: SessionFailurePolicy!
    handlerOptions: DefaultSessionHandlerOptionsPolicyInfo!
    agentSelectionPolicy: SessionAgentSelectionPolicy!
  }

  type DefaultSessionHandlerOptionsPolicyInfo {
    default: DefaultSessionHandlerOptionsInfo!
    byHandler: [DefaultSessionHandlerOptionsEntryInfo!]!
  }

  type DefaultSessionHandlerOptionsInfo {
    timeoutSec: Int
    maxRetryCount: Int
  }

  type DefaultSessionHandlerOptionsEntryInfo {
    timeoutSec: Int
    maxRetryCount: Int
    handlerName: String!
  }

  enum SessionFailurePolicy {
    STRICT
    BOOT_ALL
    TOLERANT
  }

  enum SessionAgentSelectionPolicy {
    STRICT
    PREFERRED
  }

  type ResourceGroupStatus {
    isActive: Boolean!
    isPublic: Boolean!
  }

  type ResourceGroupMetadata {
    description: String
    createdAt: DateTime!
  }

  type ResourceGroupNetworkConfig {
    wsproxyAddr: String
    useHostNetwork: Boolean!
  }

  type ResourceGroupSchedulerConfig {
    type: SchedulerType!
    preemption: PreemptionConfig!
  }

  type PreemptionConfig {
    enabled: Boolean!
    preemptiblePriority: Int!
    order: PreemptionOrder!
    mode: PreemptionMode!
    """Seconds that a session has run before it may be preempted."""
    preemptionMinRuntime: Float!
    victimScope: PreemptionVictimScope!
  }

  enum PreemptionOrder {
    OLDEST
    NEWEST
    FEWEST_SESSIONS
    SMALLEST_RESOURCES
  }

  enum PreemptionVictimScope {
    USER
    PROJECT
    DOMAIN
    RESOURCE_GROUP
  }

  enum PreemptionMode {
    TERMINATE
    RESCHEDULE
  }

  enum SchedulerType {
    FIFO
    LIFO
    DRF
    FAIR_SHARE
  }

  type ResourceInfo {
    capacity: ResourceSlot!
    used: ResourceSlot!
    free: ResourceSlot!
  }

  input ResourceGroupFilter {
    name: StringFilter = null
    description: StringFilter = null
    isActive: Boolean = null
    isPublic: Boolean = null
    AND: [ResourceGroupFilter!] = null
    OR: [ResourceGroupFilter!] = null
    NOT: [ResourceGroupFilter!] = null
  }

  input ResourceGroupOrderBy {
    field: ResourceGroupOrderField!
    direction: OrderDirection! = ASC
  }

  enum ResourceGroupOrderField {
    NAME
    CREATED_AT
    IS_ACTIVE
  }

  type ResourceGroupConnection {
    pageInfo: PageInfo!
    edges: [ResourceGroupEdge!]!
    count: Int!
  }

  type ResourceGroupEdge {
    cursor: String!
    node: ResourceGroup!
  }
`;
