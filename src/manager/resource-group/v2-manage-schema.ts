/** The SDL by which resource groups (the newer type) are changed, as upstream has it. */
export const v2ManageTypeDefs = /* GraphQL */ `
  type Query {
    adminResourceGroupV2(name: String!): ResourceGroup
    adminAllowedDomainsForResourceGroupV2(resourceGroupName: String!): AllowedDomainsPayload
    adminAllowedProjectsForResourceGroupV2(resourceGroupName: String!): AllowedProjectsPayload
    adminAllowedResourceGroupsForDomainV2(domainName: String!): AllowedResourceGroupsPayload
    adminAllowedResourceGroupsForProjectV2(projectId: UUID!): AllowedResourceGroupsPayload
  }

  type Mutation {
    adminCreateResourceGroupV2(input: CreateResourceGroupInput!): CreateResourceGroupPayload
    adminUpdateResourceGroup(input: UpdateResourceGroupInput!): UpdateResourceGroupPayload
    adminDeleteResourceGroupV2(name: String!): DeleteResourceGroupPayload
    adminUpdateAllowedDomainsForResourceGroupV2(input: UpdateAllowedDomainsForResourceGroupInput!): AllowedDomainsPayload
    adminUpdateAllowedProjectsForResourceGroupV2(input: UpdateAllowedProjectsForResourceGroupInput!): AllowedProjectsPayload
    adminUpdateAllowedResourceGroupsForDomainV2(input: UpdateAllowedResourceGroupsForDomainInput!): AllowedResourceGroupsPayload
    adminUpdateAllowedResourceGroupsForProjectV2(input: UpdateAllowedResourceGroupsForProjectInput!): AllowedResourceGroupsPayload
  }

  input CreateResourceGroupInput {
    name: String!
    domainName: String!
    description: String = null
  }

  type CreateResourceGroupPayload {
    resourceGroup: ResourceGroup!
  }

  input UpdateResourceGroupInput {
    resourceGroupName: String!
    isActive: Boolean = null
    isPublic: Boolean = null
    description: String = null
    appProxyAddr: String = null
    appproxyApiToken: String = null
    useHostNetwork: Boolean = null
    schedulerType: SchedulerType = null
    preemption: PreemptionConfigInput = null
  }

  input PreemptionConfigInput {
    preemptiblePriority: Int! = 5
    order: PreemptionOrder! = OLDEST
    mode: PreemptionMode! = TERMINATE
  }

  type UpdateResourceGroupPayload {
    resourceGroup: ResourceGroup!
  }

  type DeleteResourceGroupPayload {
    id: String!
  }

  input UpdateAllowedDomainsForResourceGroupInput {
    resourceGroupName: String!
    add: [String!] = null
    remove: [String!] = null
  }

  input UpdateAllowedProjectsForResourceGroupInput {
    resourceGroupName: String!
    add: [UUID!] = null
    remove: [UUID!] = null
  }

  input UpdateAllowedResourceGroupsForDomainInput {
    domainName: String!
    add: [String!] = null
    remove: [String!] = null
  }

  input UpdateAllowedResourceGroupsForProjectInput {
    projectId: UUID!
    add: [String!] = null
    remove: [String!] = null
  }

  type AllowedDomainsPayload {
    items: [String!]!
  }

  type AllowedProjectsPayload {
    items: [UUID!]!
  }

  type AllowedResourceGroupsPayload {
    items: [String!]!
  }
`;
