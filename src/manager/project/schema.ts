/** The SDL of projects (upstream: groups; the legacy type), as upstream has it. */

export const typeDefs = /* GraphQL */ `
  type Query {
    group(id: UUID!, domain_name: String, type: [String] = ["GENERAL"]): Group
    groups_by_name(name: String!, domain_name: String): [Group]
    groups(domain_name: String, is_active: Boolean, type: [String] = ["GENERAL"]): [Group]
  }

  type Mutation {
    create_group(name: String!, props: GroupInput!): CreateGroup
    modify_group(gid: UUID!, props: ModifyGroupInput!): ModifyGroup
    delete_group(gid: UUID!): DeleteGroup
    purge_group(gid: UUID!): PurgeGroup
  }

  type Group {
    id: UUID
    name: String
    description: String
    is_active: Boolean
    created_at: DateTime
    modified_at: DateTime
    domain_name: String
    total_resource_slots: JSONString
    allowed_vfolder_hosts: JSONString
    integration_id: String
    resource_policy: String
    type: String
    container_registry: JSONString
    scaling_groups: [String]
  }

  input GroupInput {
    type: String = "GENERAL"
    description: String = ""
    is_active: Boolean = true
    domain_name: String!
    total_resource_slots: JSONString = "{}"
    allowed_vfolder_hosts: JSONString = "{}"
    integration_id: String = ""
    resource_policy: String = "default"
    container_registry: JSONString = "{}"
  }

  input ModifyGroupInput {
    name: String
    description: String
    is_active: Boolean
    domain_name: String
    total_resource_slots: JSONString
    user_update_mode: String
    user_uuids: [String]
    allowed_vfolder_hosts: JSONString
    integration_id: String
    resource_policy: String
    container_registry: JSONString = "{}"
  }

  type CreateGroup {
    ok: Boolean
    msg: String
    group: Group
  }

  type ModifyGroup {
    ok: Boolean
    msg: String
    group: Group
  }

  type DeleteGroup {
    ok: Boolean
    msg: String
  }

  type PurgeGroup {
    ok: Boolean
    msg: String
  }
`;
