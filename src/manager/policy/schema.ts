/** The SDL of the three resource policies (the legacy types), as upstream has it. */

export const typeDefs = /* GraphQL */ `
  type Query {
    keypair_resource_policy(name: String): KeyPairResourcePolicy
    user_resource_policy(name: String): UserResourcePolicy
    project_resource_policy(name: String!): ProjectResourcePolicy
    keypair_resource_policies: [KeyPairResourcePolicy]
    user_resource_policies: [UserResourcePolicy]
    project_resource_policies: [ProjectResourcePolicy]
  }

  type Mutation {
    create_keypair_resource_policy(name: String!, props: CreateKeyPairResourcePolicyInput!): CreateKeyPairResourcePolicy
    modify_keypair_resource_policy(name: String!, props: ModifyKeyPairResourcePolicyInput!): ModifyKeyPairResourcePolicy
    delete_keypair_resource_policy(name: String!): DeleteKeyPairResourcePolicy
    create_user_resource_policy(name: String!, props: CreateUserResourcePolicyInput!): CreateUserResourcePolicy
    modify_user_resource_policy(name: String!, props: ModifyUserResourcePolicyInput!): ModifyUserResourcePolicy
    delete_user_resource_policy(name: String!): DeleteUserResourcePolicy
    create_project_resource_policy(name: String!, props: CreateProjectResourcePolicyInput!): CreateProjectResourcePolicy
    modify_project_resource_policy(name: String!, props: ModifyProjectResourcePolicyInput!): ModifyProjectResourcePolicy
    delete_project_resource_policy(name: String!): DeleteProjectResourcePolicy
  }

  type KeyPairResourcePolicy {
    name: String
    created_at: DateTime
    default_for_unspecified: String
    total_resource_slots: JSONString
    max_session_lifetime: Int
    max_concurrent_sessions: Int
    max_containers_per_session: Int
    idle_timeout: BigInt
    allowed_vfolder_hosts: JSONString
    max_vfolder_count: Int @deprecated
    max_vfolder_size: BigInt @deprecated
    max_quota_scope_size: BigInt @deprecated
    max_concurrent_sftp_sessions: Int
    max_pending_session_count: Int
    max_pending_session_resource_slots: JSONString
  }

  input CreateKeyPairResourcePolicyInput {
    default_for_unspecified: String!
    total_resource_slots: JSONString = "{}"
    max_session_lifetime: Int = 0
    max_concurrent_sessions: Int!
    max_concurrent_sftp_sessions: Int = 1
    max_containers_per_session: Int!
    idle_timeout: BigInt!
    allowed_vfolder_hosts: JSONString
    max_vfolder_count: Int @deprecated
    max_vfolder_size: BigInt @deprecated
    max_quota_scope_size: BigInt @deprecated
    max_pending_session_count: Int
    max_pending_session_resource_slots: JSONString
  }

  input ModifyKeyPairResourcePolicyInput {
    default_for_unspecified: String
    total_resource_slots: JSONString
    max_session_lifetime: Int
    max_concurrent_sessions: Int
    max_concurrent_sftp_sessions: Int
    max_containers_per_session: Int
    idle_timeout: BigInt
    allowed_vfolder_hosts: JSONString
    max_vfolder_count: Int @deprecated
    max_vfolder_size: BigInt @deprecated
    max_quota_scope_size: BigInt @deprecated
    max_pending_session_count: Int
    max_pending_session_resource_slots: JSONString
  }

  type CreateKeyPairResourcePolicy {
    ok: Boolean
    msg: String
    resource_policy: KeyPairResourcePolicy
  }

  type ModifyKeyPairResourcePolicy {
    ok: Boolean
    msg: String
  }

  type DeleteKeyPairResourcePolicy {
    ok: Boolean
    msg: String
  }

  type UserResourcePolicy {
    id: ID!
    name: String!
    created_at: DateTime!
    max_vfolder_count: Int
    max_quota_scope_size: BigInt
    max_vfolder_size: BigInt @deprecated
    max_session_count_per_model_session: Int
    max_customized_image_count: Int
  }

  input CreateUserResourcePolicyInput {
    max_vfolder_count: Int
    max_quota_scope_size: BigInt
    max_session_count_per_model_session: Int
    max_vfolder_size: BigInt @deprecated
    max_customized_image_count: Int
  }

  input ModifyUserResourcePolicyInput {
    max_vfolder_count: Int
    max_quota_scope_size: BigInt
    max_session_count_per_model_session: Int
    max_customized_image_count: Int
  }

  type CreateUserResourcePolicy {
    ok: Boolean
    msg: String
    resource_policy: UserResourcePolicy
  }

  type ModifyUserResourcePolicy {
    ok: Boolean
    msg: String
  }

  type DeleteUserResourcePolicy {
    ok: Boolean
    msg: String
  }

  type ProjectResourcePolicy {
    id: ID!
    name: String!
    created_at: DateTime!
    max_vfolder_count: Int
    max_quota_scope_size: BigInt
    max_vfolder_size: BigInt @deprecated
    max_network_count: Int
  }

  input CreateProjectResourcePolicyInput {
    max_vfolder_count: Int
    max_quota_scope_size: BigInt
    max_vfolder_size: BigInt @deprecated
    max_network_count: Int
  }

  input ModifyProjectResourcePolicyInput {
    max_vfolder_count: Int
    max_quota_scope_size: BigInt
    max_vfolder_size: BigInt @deprecated
    max_network_count: Int
  }

  type CreateProjectResourcePolicy {
    ok: Boolean
    msg: String
    resource_policy: ProjectResourcePolicy
  }

  type ModifyProjectResourcePolicy {
    ok: Boolean
    msg: String
  }

  type DeleteProjectResourcePolicy {
    ok: Boolean
    msg: String
  }
`;
