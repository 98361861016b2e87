/** The SDL of users (the legacy type), as upstream has it. */

export const typeDefs = /* GraphQL */ `
  type Query {
    user(domain_name: String, email: String): User
    user_from_uuid(domain_name: String, user_id: ID): User
    users(domain_name: String, group_id: UUID, is_active: Boolean, status: String): [User]
    user_list(limit: Int!, offset: Int!, filter: String, order: String, domain_name: String, group_id: UUID, is_active: Boolean, status: String): UserList
  }

  type Mutation {
    create_user(email: String!, props: UserInput!): CreateUser
    modify_user(email: String!, props: ModifyUserInput!): ModifyUser
    delete_user(email: String!): DeleteUser
    purge_user(email: String!, props: PurgeUserInput!): PurgeUser
  }

  type User implements Item {
    id: ID
    uuid: UUID
    username: String
    email: String
    need_password_change: Boolean
    full_name: String
    description: String
    is_active: Boolean
    status: String
    status_info: String
    created_at: DateTime
    modified_at: DateTime
    domain_name: String
    role: String
    resource_policy: String
    allowed_client_ip: [String]
    totp_activated: Boolean
    totp_activated_at: DateTime
    sudo_session_enabled: Boolean
    main_access_key: String
    container_uid: Int
    container_main_gid: Int
    container_gids: [Int]
    groups: [UserGroup]
  }

  type UserGroup {
    id: UUID
    name: String
  }

  type UserList implements PaginatedList {
    items: [User]!
    total_count: Int!
  }

  input UserInput {
    username: String!
    password: String!
    need_password_change: Boolean!
    full_name: String = ""
    description: String = ""
    is_active: Boolean = true
    status: String = "active"
    domain_name: String! = "default"
    role: String = "user"
    group_ids: [String]
    allowed_client_ip: [String] = null
    totp_activated: Boolean = false
    resource_policy: String = "default"
    sudo_session_enabled: Boolean = false
    container_uid: Int
    container_main_gid: Int
    container_gids: [Int]
  }

  input ModifyUserInput {
    username: String
    password: String
    need_password_change: Boolean
    full_name: String
    description: String
    is_active: Boolean
    status: String
    domain_name: String
    role: String
    group_ids: [String]
    allowed_client_ip: [String]
    totp_activated: Boolean
    resource_policy: String
    sudo_session_enabled: Boolean
    main_access_key: String
    container_uid: Int
    container_main_gid: Int
    container_gids: [Int]
  }

  input PurgeUserInput {
    purge_shared_vfolders: Boolean
    delegate_endpoint_ownership: Boolean
  }

  type CreateUser {
    ok: Boolean
    msg: String
    user: User
    keypair: KeyPair
  }

  type ModifyUser {
    ok: Boolean
    msg: String
    user: User
  }

  type DeleteUser {
    ok: Boolean
    msg: String
  }

  type PurgeUser {
    ok: Boolean
    msg: String
  }
`;
