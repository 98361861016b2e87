/** The SDL of keypairs (the newer type), as upstream has it. */

const PAGE =
  'before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null';
const LIST = `filter: KeypairFilter = null, orderBy: [KeypairOrderBy!] = null, ${PAGE}`;

const objects = /* GraphQL */ `
  type KeyPairV2 implements Node {
    id: ID!
    accessKey: String!
    isActive: Boolean
    isAdmin: Boolean
    createdAt: DateTime
    modifiedAt: DateTime
    lastUsed: DateTime
    rateLimit: Int!
    numQueries: Int!
    resourcePolicy: String!
    sshPublicKey: String
    userId: UUID!
    user: UserV2
  }

  type KeyPairConnection {
    pageInfo: PageInfo!
    edges: [KeyPairV2Edge!]!
    count: Int!
  }

  type KeyPairV2Edge {
    cursor: String!
    node: KeyPairV2!
  }

  input KeypairFilter {
    isActive: Boolean = null
    isAdmin: Boolean = null
    accessKey: StringFilter = null
    resourcePolicy: StringFilter = null
    userId: UUIDFilter = null
    createdAt: DateTimeFilter = null
    lastUsed: DateTimeFilter = null
    AND: [KeypairFilter!] = null
    OR: [KeypairFilter!] = null
    NOT: [KeypairFilter!] = null
  }

  input KeypairOrderBy {
    field: KeypairOrderField! = CREATED_AT
    direction: OrderDirection! = DESC
  }

  enum KeypairOrderField {
    CREATED_AT
    LAST_USED
    ACCESS_KEY
    IS_ACTIVE
    RESOURCE_POLICY
  }

  type SSHKeypairNode {
    accessKey: String!
    sshPublicKey: String
  }

  type AdminGetSSHKeypairPayload {
    keypair: SSHKeypairNode!
  }
`;

const mutations = /* GraphQL */ `
  type Mutation {
    issueMyKeypair: IssueMyKeypairPayload
    revokeMyKeypair(input: RevokeMyKeypairInput!): RevokeMyKeypairPayload
    updateMyKeypair(input: UpdateMyKeypairInput!): UpdateMyKeypairPayload
    switchMyMainAccessKey(input: SwitchMyMainAccessKeyInput!): SwitchMyMainAccessKeyPayload
    adminCreateKeypairV2(input: AdminCreateKeypairInput!): AdminCreateKeypairPayload
    adminUpdateKeypairV2(input: AdminUpdateKeypairInput!): AdminUpdateKeypairPayload
    adminDeleteKeypairV2(accessKey: String!): AdminDeleteKeypairPayload
    adminRegisterSshKeypairV2(input: AdminRegisterSSHKeypairInput!): AdminRegisterSSHKeypairPayload
    adminDeleteSshKeypairV2(accessKey: String!): AdminDeleteSSHKeypairPayload
  }

  type CreateKeypairPayload {
    keypair: KeyPairV2!
    secretKey: String!
  }

  type IssueMyKeypairPayload {
    keypair: KeyPairV2!
    secretKey: String!
  }

  input RevokeMyKeypairInput {
    accessKey: String!
  }

  type RevokeMyKeypairPayload {
    success: Boolean!
  }

  input UpdateMyKeypairInput {
    accessKey: String!
    isActive: Boolean!
  }

  type UpdateMyKeypairPayload {
    keypair: KeyPairV2!
  }

  input SwitchMyMainAccessKeyInput {
    accessKey: String!
  }

  type SwitchMyMainAccessKeyPayload {
    success: Boolean!
  }

  input AdminCreateKeypairInput {
    userId: UUID!
    resourcePolicy: String!
    isActive: Boolean! = true
    isAdmin: Boolean! = false
    rateLimit: Int! = 30000
  }

  type AdminCreateKeypairPayload {
    keypair: KeyPairV2!
    secretKey: String!
  }

  input AdminUpdateKeypairInput {
    accessKey: String!
    isActive: Boolean = null
    isAdmin: Boolean = null
    resourcePolicy: String = null
    rateLimit: Int = null
  }

  type AdminUpdateKeypairPayload {
    keypair: KeyPairV2!
  }

  type AdminDeleteKeypairPayload {
    accessKey: String!
  }

  input AdminRegisterSSHKeypairInput {
    accessKey: String!
    sshPublicKey: String!
    sshPrivateKey: String!
  }

  type AdminRegisterSSHKeypairPayload {
    accessKey: String!
  }

  type AdminDeleteSSHKeypairPayload {
    accessKey: String!
  }
`;

export const v2TypeDefs = /* GraphQL */ `
  type Query {
    myKeypairs(${LIST}): KeyPairConnection
    adminKeypairV2(accessKey: String!): KeyPairV2
    adminKeypairsV2(${LIST}): KeyPairConnection
    adminSshKeypairV2(accessKey: String!): AdminGetSSHKeypairPayload
  }

  type KeypairResourcePolicyV2 {
    keypairs(${LIST}): KeyPairConnection
  }

  ${objects}
  ${mutations}
`;
