/** The SDL of resource presets (the legacy type), as upstream has it. */

export const typeDefs = /* GraphQL */ `
  type Query {
    resource_preset(name: String): ResourcePreset
    resource_preset_by_id(id: UUID): ResourcePreset
    resource_presets(filter: String, order: String): [ResourcePreset]
  }

  type Mutation {
    create_resource_preset(name: String!, props: CreateResourcePresetInput!): CreateResourcePreset
    modify_resource_preset(id: UUID = null, name: String = null @deprecated, props: ModifyResourcePresetInput!): ModifyResourcePreset
    delete_resource_preset(id: UUID = null, name: String = null @deprecated): DeleteResourcePreset
  }

  type ResourcePreset {
    id: UUID
    name: String
    resource_slots: JSONString
    shared_memory: BigInt
    scaling_group_name: String
  }

  input CreateResourcePresetInput {
    resource_slots: JSONString!
    shared_memory: String
    scaling_group_name: String
  }

  input ModifyResourcePresetInput {
    name: String
    resource_slots: JSONString
    shared_memory: String
    scaling_group_name: String
  }

  type CreateResourcePreset {
    ok: Boolean
    msg: String
    resource_preset: ResourcePreset
  }

  type ModifyResourcePreset {
    ok: Boolean
    msg: String
  }

  type DeleteResourcePreset {
    ok: Boolean
    msg: String
  }
`;
