/** The SDL of sign-ins and their history, as upstream has it. */

const PAGE =
  'before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null';
const SESSIONS = `filter: LoginSessionFilter = null, orderBy: [LoginSessionOrderBy!] = null, ${PAGE}`;
const HISTORY = `filter: LoginHistoryFilter = null, orderBy: [LoginHistoryOrderBy!] = null, ${PAGE}`;

/** What may become of an attempt to sign in, and of a sign-in. */
export const RESULTS = [
  'SUCCESS',
  'FAILED_INVALID_CREDENTIALS',
  'FAILED_USER_INACTIVE',
  'FAILED_BLOCKED',
  'FAILED_PASSWORD_EXPIRED',
  'FAILED_REJECTED_BY_HOOK',
  'FAILED_SESSION_ALREADY_EXISTS',
  'LOGOUT',
  'REVOKED_BY_ADMIN',
  'REVOKED_BY_USER',
  'EVICTED',
  'EXPIRED',
] as const;

export const typeDefs = /* GraphQL */ `
  type Query {
    adminLoginSessionsV2(${SESSIONS}): LoginSessionV2Connection
    adminLoginHistoryV2(${HISTORY}): LoginHistoryV2Connection
    myLoginSessionsV2(${SESSIONS}): LoginSessionV2Connection
    myLoginHistoryV2(${HISTORY}): LoginHistoryV2Connection
  }

  type Mutation {
    adminRevokeLoginSession(sessionId: UUID!): RevokeLoginSessionPayload
    myRevokeLoginSession(sessionId: UUID!): RevokeLoginSessionPayload
    adminUnblockUser(username: String!): UnblockUserPayload
  }

  type LoginSessionV2 implements Node {
    id: ID!
    userId: UUID!
    accessKey: String!
    status: LoginSessionStatus!
    createdAt: DateTime!
    lastAccessedAt: DateTime
    invalidatedAt: DateTime
    user: UserV2
  }

  enum LoginSessionStatus {
    ACTIVE
    INVALIDATED
    REVOKED
  }

  input LoginSessionFilter {
    userId: UUIDFilter = null
    status: LoginSessionStatusFilter = null
    accessKey: StringFilter = null
    createdAt: DateTimeFilter = null
    lastAccessedAt: DateTimeFilter = null
    AND: [LoginSessionFilter!] = null
    OR: [LoginSessionFilter!] = null
    NOT: [LoginSessionFilter!] = null
  }

  input LoginSessionStatusFilter {
    equals: LoginSessionStatus = null
    in: [LoginSessionStatus!] = null
    notEquals: LoginSessionStatus = null
    notIn: [LoginSessionStatus!] = null
  }

  input LoginSessionOrderBy {
    field: LoginSessionOrderField!
    direction: OrderDirection! = DESC
  }

  enum LoginSessionOrderField {
    CREATED_AT
    STATUS
    LAST_ACCESSED_AT
  }

  type LoginSessionV2Connection {
    pageInfo: PageInfo!
    edges: [LoginSessionV2Edge!]!
    count: Int!
  }

  type LoginSessionV2Edge {
    cursor: String!
    node: LoginSessionV2!
  }

  type LoginHistoryV2 implements Node {
    id: ID!
    userId: UUID!
    domainName: String!
    result: LoginAttemptResult!
    failReason: String
    createdAt: DateTime!
    user: UserV2
    domain: DomainV2
  }

  enum LoginAttemptResult {
    ${RESULTS.join('\n    ')}
  }

  input LoginHistoryFilter {
    domainName: StringFilter = null
    result: LoginHistoryResultFilter = null
    createdAt: DateTimeFilter = null
    AND: [LoginHistoryFilter!] = null
    OR: [LoginHistoryFilter!] = null
    NOT: [LoginHistoryFilter!] = null
  }

  input LoginHistoryResultFilter {
    equals: LoginAttemptResult = null
    in: [LoginAttemptResult!] = null
    notEquals: LoginAttemptResult = null
    notIn: [LoginAttemptResult!] = null
  }

  input LoginHistoryOrderBy {
    field: LoginHistoryOrderField!
    direction: OrderDirection! = DESC
  }

  enum LoginHistoryOrderField {
    CREATED_AT
    RESULT
    DOMAIN_NAME
  }

  type LoginHistoryV2Connection {
    pageInfo: PageInfo!
    edges: [LoginHistoryV2Edge!]!
    count: Int!
  }

  type LoginHistoryV2Edge {
    cursor: String!
    node: LoginHistoryV2!
  }

  type RevokeLoginSessionPayload {
    success: Boolean!
  }

  type UnblockUserPayload {
    success: Boolean!
  }
`;
