/** The SDL of resource groups (upstream: scaling groups; the legacy type), as upstream has it. */

export const typeDefs = /* GraphQL */ `
  type Query {
    scaling_group(name: String): ScalingGroup
    scaling_groups(name: String, is_active: Boolean): [ScalingGroup]
    accessible_scaling_groups(project_id: UUID!): [ScalingGroup]
    scaling_groups_for_domain(domain: String!, is_active: Boolean): [ScalingGroup]
    scaling_groups_for_user_group(user_group: String!, is_active: Boolean): [ScalingGroup]
    scaling_groups_for_keypair(access_key: String!, is_active: Boolean): [ScalingGroup]
  }

  type Mutation {
    create_scaling_group(name: String!, props: CreateScalingGroupInput!): CreateScalingGroup
    modify_scaling_group(name: String!, props: ModifyScalingGroupInput!): ModifyScalingGroup
    delete_scaling_group(name: String!): DeleteScalingGroup
    associate_scaling_group_with_domain(domain: String!, scaling_group: String!): AssociateScalingGroupWithDomain
    associate_scaling_groups_with_domain(domain: String!, scaling_groups: [String]!): AssociateScalingGroupsWithDomain
    associate_scaling_group_with_user_group(scaling_group: String!, user_group: UUID!): AssociateScalingGroupWithUserGroup
    associate_scaling_groups_with_user_group(scaling_groups: [String]!, user_group: UUID!): AssociateScalingGroupsWithUserGroup
    associate_scaling_group_with_keypair(access_key: String!, scaling_group: String!): AssociateScalingGroupWithKeyPair
    associate_scaling_groups_with_keypair(access_key: String!, scaling_groups: [String]!): AssociateScalingGroupsWithKeyPair
    disassociate_scaling_group_with_domain(domain: String!, scaling_group: String!): DisassociateScalingGroupWithDomain
    disassociate_scaling_groups_with_domain(domain: String!, scaling_groups: [String]!): DisassociateScalingGroupsWithDomain
    disassociate_scaling_group_with_user_group(scaling_group: String!, user_group: UUID!): DisassociateScalingGroupWithUserGroup
    disassociate_scaling_groups_with_user_group(scaling_groups: [String]!, user_group: UUID!): DisassociateScalingGroupsWithUserGroup
    disassociate_scaling_group_with_keypair(access_key: String!, scaling_group: String!): DisassociateScalingGroupWithKeyPair
    disassociate_scaling_groups_with_keypair(access_key: String!, scaling_groups: [String]!): DisassociateScalingGroupsWithKeyPair
    disassociate_all_scaling_groups_with_domain(domain: String!): DisassociateAllScalingGroupsWithDomain
    disassociate_all_scaling_groups_with_group(user_group: UUID!): DisassociateAllScalingGroupsWithGroup
  }

  type ScalingGroup {
    name: String
    description: String
    is_active: Boolean
    is_public: Boolean
    created_at: DateTime
    wsproxy_addr: String
    wsproxy_api_token: String
    driver: String
    driver_opts: JSONString
    scheduler: String
    scheduler_opts: JSONString
    use_host_network: Boolean
    accelerator_quantum_size: Float
    agent_count_by_status(status: String = "ALIVE"): Int
    agent_total_resource_slots_by_status(status: String = "ALIVE"): JSONString
    resource_allocation_limit_for_sessions: JSONString
    own_session_occupied_resource_slots: JSONString
  }

  input CreateScalingGroupInput {
    description: String = ""
    is_active: Boolean = true
    is_public: Boolean = true
    wsproxy_addr: String = null
    wsproxy_api_token: String = null
    driver: String!
    driver_opts: JSONString = "{}"
    scheduler: String!
    scheduler_opts: JSONString = "{}"
    use_host_network: Boolean = false
  }

  input ModifyScalingGroupInput {
    description: String
    is_active: Boolean
    is_public: Boolean
    wsproxy_addr: String
    wsproxy_api_token: String
    driver: String
    driver_opts: JSONString
    scheduler: String
    scheduler_opts: JSONString
    use_host_network: Boolean
  }

  type CreateScalingGroup {
    ok: Boolean
    msg: String
    scaling_group: ScalingGroup
  }

  type ModifyScalingGroup {
    ok: Boolean
    msg: String
  }

  type DeleteScalingGroup {
    ok: Boolean
    msg: String
  }

  type AssociateScalingGroupWithDomain {
    ok: Boolean
    msg: String
  }

  type AssociateScalingGroupsWithDomain {
    ok: Boolean
    msg: String
  }

  type AssociateScalingGroupWithUserGroup {
    ok: Boolean
    msg: String
  }

  type AssociateScalingGroupsWithUserGroup {
    ok: Boolean
    msg: String
  }

  type AssociateScalingGroupWithKeyPair {
    ok: Boolean
    msg: String
  }

  type AssociateScalingGroupsWithKeyPair {
    ok: Boolean
    msg: String
  }

  type DisassociateScalingGroupWithDomain {
    ok: Boolean
    msg: String
  }

  type DisassociateScalingGroupsWithDomain {
    ok: Boolean
    msg: String
  }

  type DisassociateScalingGroupWithUserGroup {
    ok: Boolean
    msg: String
  }

  type DisassociateScalingGroupsWithUserGroup {
    ok: Boolean
    msg: String
  }

  type DisassociateScalingGroupWithKeyPair {
    ok: Boolean
    msg: String
  }

  type DisassociateScalingGroupsWithKeyPair {
    ok: Boolean
    msg: String
  }

  type DisassociateAllScalingGroupsWithDomain {
    ok: Boolean
    msg: String
  }

  type DisassociateAllScalingGroupsWithGroup {
    ok: Boolean
    msg: String
  }
`;
