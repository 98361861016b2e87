/** The SDL of sessions and kernels as nodes. */
const PAGE =
  'filter: String, order: String, offset: Int, before: String, after: String, first: Int, last: Int';

export const typeDefs = /* GraphQL */ `
  scalar SessionPermissionValueField

  type Query {
    compute_session_node(
      id: GlobalIDField!
      scope_id: ScopeField
      project_id: UUID @deprecated
      permission: SessionPermissionValueField = "read_attribute"
    ): ComputeSessionNode
    compute_session_nodes(
      scope_id: ScopeField
      project_id: UUID @deprecated
      permission: SessionPermissionValueField = "read_attribute"
      ${PAGE}
    ): ComputeSessionConnection
    total_resource_slot(
      statuses: [String] = null
      filter: String
      domain_name: String
      resource_group_name: String
    ): TotalResourceSlot
    session_pending_queue(
      resource_group_id: String!
      offset: Int
      before: String
      after: String
      first: Int
      last: Int
    ): SessionPendingQueueConnection
  }

  type Mutation {
    modify_compute_session(input: ModifyComputeSessionInput!): ModifyComputeSessionPayload
  }

  input ModifyComputeSessionInput {
    id: GlobalIDField!
    name: String
    priority: Int
    clientMutationId: String
  }

  type ModifyComputeSessionPayload {
    item: ComputeSessionNode
    clientMutationId: String
  }

  type TotalResourceSlot implements Item {
    id: ID
    occupied_slots: JSONString
    requested_slots: JSONString
  }

  type ComputeSessionNode implements Node {
    id: ID!
    row_id: UUID
    tag: String
    name: String
    type: String
    priority: Int
    cluster_mode: String
    cluster_size: Int
    domain_name: String
    project_id: UUID
    user_id: UUID
    owner: UserNode
    access_key: String
    permissions: [SessionPermissionValueField]
    status: String
    status_info: String
    status_data: JSONString
    status_history: JSONString
    created_at: DateTime
    terminated_at: DateTime
    starts_at: DateTime
    scheduled_at: DateTime
    queue_position: Int
    startup_command: String
    result: String
    commit_status: String
    idle_checks: JSONString
    agent_ids: [String]
    resource_opts: JSONString
    scaling_group: String
    service_ports: JSONString
    vfolder_mounts: [String]
    occupied_slots: JSONString
    requested_slots: JSONString
    image_references: [String]
    num_queries: BigInt
    kernel_nodes(${PAGE}): KernelConnection
    dependents(${PAGE}): ComputeSessionConnection
    dependees(${PAGE}): ComputeSessionConnection
    graph(${PAGE}): ComputeSessionConnection
  }

  type ComputeSessionConnection {
    pageInfo: PageInfo!
    edges: [ComputeSessionEdge]!
    count: Int
  }

  type ComputeSessionEdge {
    node: ComputeSessionNode
    cursor: String!
  }

  type SessionPendingQueueConnection {
    pageInfo: PageInfo!
    edges: [SessionPendingQueueEdge]!
    count: Int
  }

  type SessionPendingQueueEdge {
    node: ComputeSessionNode
    cursor: String!
  }
`;
