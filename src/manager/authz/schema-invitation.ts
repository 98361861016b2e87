/** The SDL of invitations to roles, as upstream has it. */

export const invitationTypeDefs = /* GraphQL */ `
  type Query {
    myRoleInvitations(filter: RoleInvitationFilter = null, orderBy: [RoleInvitationOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): RoleInvitationConnection
    mySentRoleInvitations(filter: RoleInvitationFilter = null, orderBy: [RoleInvitationOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): RoleInvitationConnection
    adminRoleInvitations(filter: RoleInvitationFilter = null, orderBy: [RoleInvitationOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): RoleInvitationConnection
    roleScopedRoleInvitations(roleId: UUID!, filter: RoleInvitationFilter = null, orderBy: [RoleInvitationOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): RoleInvitationConnection
  }

  type Mutation {
    createRoleInvitation(input: CreateRoleInvitationInput!): CreateRoleInvitationPayload
    acceptRoleInvitation(input: AcceptRoleInvitationInput!): RoleInvitation
    rejectRoleInvitation(input: RejectRoleInvitationInput!): RoleInvitation
    adminCancelRoleInvitation(input: CancelRoleInvitationInput!): RoleInvitation
  }

  type RoleInvitation implements Node {
    id: ID!
    inviterUserId: UUID
    inviteeUserId: UUID!
    roleId: UUID!
    state: RoleInvitationState!
    createdAt: DateTime!
    updatedAt: DateTime
    inviter: UserV2
    invitee: UserV2
    role: Role
  }

  type RoleInvitationConnection {
    pageInfo: PageInfo!
    edges: [RoleInvitationEdge!]!
    count: Int!
  }

  type RoleInvitationEdge {
    cursor: String!
    node: RoleInvitation!
  }

  enum RoleInvitationState {
    PENDING
    ACCEPTED
    REJECTED
    CANCELED
  }

  input RoleInvitationFilter {
    state: RoleInvitationStateFilter = null
    roleId: UUIDFilter = null
    role: RoleInvitationRoleNestedFilter = null
    inviter: RoleInvitationUserNestedFilter = null
    invitee: RoleInvitationUserNestedFilter = null
    AND: [RoleInvitationFilter!] = null
    OR: [RoleInvitationFilter!] = null
    NOT: [RoleInvitationFilter!] = null
  }

  input RoleInvitationStateFilter {
    equals: RoleInvitationState = null
    in: [RoleInvitationState!] = null
    notEquals: RoleInvitationState = null
    notIn: [RoleInvitationState!] = null
  }

  input RoleInvitationRoleNestedFilter {
    name: StringFilter = null
  }

  input RoleInvitationUserNestedFilter {
    email: StringFilter = null
  }

  input RoleInvitationOrderBy {
    field: RoleInvitationOrderField!
    direction: OrderDirection! = DESC
  }

  enum RoleInvitationOrderField {
    CREATED_AT
    UPDATED_AT
    STATE
  }

  input CreateRoleInvitationInput {
    roleId: UUID!
    emails: [String!]!
  }

  type CreateRoleInvitationPayload {
    items: [RoleInvitation!]!
  }

  input AcceptRoleInvitationInput {
    invitationId: UUID!
  }

  input RejectRoleInvitationInput {
    invitationId: UUID!
  }

  input CancelRoleInvitationInput {
    invitationId: UUID!
  }
`;
