/** The SDL of domains (the legacy type), as upstream has it. */

export const typeDefs = /* GraphQL */ `
  type Query {
    domain(name: String): Domain
    domains(is_active: Boolean): [Domain]
  }

  type Mutation {
    create_domain(name: String!, props: DomainInput!): CreateDomain
    modify_domain(name: String!, props: ModifyDomainInput!): ModifyDomain
    delete_domain(name: String!): DeleteDomain
    purge_domain(name: String!): PurgeDomain
  }

  type Domain {
    name: String
    description: String
    is_active: Boolean
    created_at: DateTime
    modified_at: DateTime
    total_resource_slots: JSONString
    allowed_vfolder_hosts: JSONString
    allowed_docker_registries: [String]
    integration_id: String
    scaling_groups: [String]
  }

  input DomainInput {
    description: String = ""
    is_active: Boolean = true
    total_resource_slots: JSONString = "{}"
    allowed_vfolder_hosts: JSONString = "{}"
    allowed_docker_registries: [String] = []
    integration_id: String = null
  }

  input ModifyDomainInput {
    name: String
    description: String
    is_active: Boolean
    total_resource_slots: JSONString
    allowed_vfolder_hosts: JSONString
    allowed_docker_registries: [String]
    integration_id: String
  }

  type CreateDomain {
    ok: Boolean
    msg: String
    domain: Domain
  }

  type ModifyDomain {
    ok: Boolean
    msg: String
    domain: Domain
  }

  type DeleteDomain {
    ok: Boolean
    msg: String
  }

  type PurgeDomain {
    ok: Boolean
    msg: String
  }
`;
