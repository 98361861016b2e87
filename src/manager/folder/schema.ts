/** The SDL about folders and storage: upstream's names and types. */

export const typeDefs = /* GraphQL */ `
  scalar VFolderPermissionValueField

  type Query {
    vfolder(id: String): VirtualFolder
    vfolder_list(limit: Int!, offset: Int!, filter: String, order: String, domain_name: String, group_id: UUID, access_key: String): VirtualFolderList
    vfolder_own_list(limit: Int!, offset: Int!, filter: String, order: String, domain_name: String, access_key: String): VirtualFolderList
    vfolder_invited_list(limit: Int!, offset: Int!, filter: String, order: String, domain_name: String, access_key: String): VirtualFolderList
    vfolder_project_list(limit: Int!, offset: Int!, filter: String, order: String, domain_name: String, access_key: String): VirtualFolderList
    vfolder_node(id: String!): VirtualFolderNode
    vfolder_nodes(scope_id: ScopeField, project_id: UUID, permission: VFolderPermissionValueField, filter: String, order: String, offset: Int, before: String, after: String, first: Int, last: Int): VirtualFolderConnection
    vfolder_host_permissions: PredefinedAtomicPermission
    vfolder_permission_list(limit: Int!, offset: Int!, filter: String, order: String): VirtualFolderPermissionList
  }

  type VirtualFolder implements Item {
    id: ID
    host: String
    quota_scope_id: String
    name: String
    user: UUID
    user_email: String
    group: UUID
    group_name: String
    creator: String
    domain_name: String
    unmanaged_path: String
    usage_mode: String
    permission: String
    ownership_type: String
    max_files: Int
    max_size: BigInt
    created_at: DateTime
    last_used: DateTime
    num_files: Int
    cur_size: BigInt
    cloneable: Boolean
    status: String
  }

  type VirtualFolderList implements PaginatedList {
    items: [VirtualFolder]!
    total_count: Int!
  }

  type VirtualFolderNode implements Node {
    id: ID!
    row_id: UUID
    host: String
    quota_scope_id: String
    name: String
    user: UUID
    user_email: String
    group: UUID
    group_name: String
    creator: String
    unmanaged_path: String
    usage_mode: String
    permission: String
    ownership_type: String
    max_files: Int
    max_size: BigInt
    created_at: DateTime
    last_used: DateTime
    num_files: Int
    cur_size: BigInt
    cloneable: Boolean
    status: String
    permissions: [VFolderPermissionValueField]
  }

  type VirtualFolderConnection {
    pageInfo: PageInfo!
    edges: [VirtualFolderEdge]!
    count: Int
  }

  type VirtualFolderEdge {
    node: VirtualFolderNode
    cursor: String!
  }

  type VirtualFolderPermission implements Item {
    id: ID
    permission: String
    vfolder: UUID
    vfolder_name: String
    user: UUID
    user_email: String
  }

  type VirtualFolderPermissionList implements PaginatedList {
    items: [VirtualFolderPermission]!
    total_count: Int!
  }

  type PredefinedAtomicPermission {
    vfolder_host_permission_list: [String]
  }

  type ComputeSessionNode {
    vfolder_nodes(filter: String, order: String, offset: Int, before: String, after: String, first: Int, last: Int): VirtualFolderConnection
  }
`;

export const storageTypeDefs = /* GraphQL */ `
  type Query {
    storage_volume(id: String): StorageVolume
    storage_volume_list(limit: Int!, offset: Int!, filter: String, order: String): StorageVolumeList
    quota_scope(storage_host_name: String!, quota_scope_id: String!): QuotaScope
  }

  type Mutation {
    set_quota_scope(props: QuotaScopeInput!, quota_scope_id: String!, storage_host_name: String!): SetQuotaScope
    unset_quota_scope(quota_scope_id: String!, storage_host_name: String!): UnsetQuotaScope
  }

  type StorageVolume implements Item {
    id: ID
    backend: String
    fsprefix: String
    path: String
    capabilities: [String]
    hardware_metadata: JSONString
    performance_metric: JSONString
    usage: JSONString
    proxy: String
    name: String
  }

  type StorageVolumeList implements PaginatedList {
    items: [StorageVolume]!
    total_count: Int!
  }

  type QuotaScope implements Item {
    id: ID!
    quota_scope_id: String!
    storage_host_name: String!
    details: QuotaDetails!
  }

  type QuotaDetails {
    usage_bytes: BigInt
    usage_count: BigInt
    hard_limit_bytes: BigInt
  }

  input QuotaScopeInput {
    hard_limit_bytes: BigInt
  }

  type SetQuotaScope {
    quota_scope: QuotaScope
  }

  type UnsetQuotaScope {
    quota_scope: QuotaScope
  }
`;

export const v2TypeDefs = /* GraphQL */ `
  type Query {
    vfolderV2(vfolderId: UUID!): VFolder
    myVfolders(filter: VFolderFilter = null, orderBy: [VFolderOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): VFolderConnection
    projectVfolders(projectId: UUID!, filter: VFolderFilter = null, orderBy: [VFolderOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): VFolderConnection
    adminVfoldersV2(filter: VFolderFilter = null, orderBy: [VFolderOrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): VFolderConnection
  }

  type Mutation {
    createVfolderV2(input: CreateVFolderV2Input!): CreateVFolderV2Payload
    createVFolderInProject(projectId: UUID!, input: CreateVFolderInScopeInput!): CreateVFolderV2Payload
    deleteVfolderV2(vfolderId: UUID!): DeleteVFolderV2Payload
    restoreVFolder(vfolderId: UUID!): RestoreVFolderPayload
    bulkDeleteVfoldersV2(input: BulkDeleteVFoldersV2Input!): BulkDeleteVFoldersV2Payload
    bulkPurgeVfoldersV2(input: BulkPurgeVFoldersV2Input!): BulkPurgeVFoldersV2Payload
    purgeVfolderV2(vfolderId: UUID!, options: PurgeVFolderOptionsInput = null): PurgeVFolderV2Payload
    cloneVfolderV2(vfolderId: UUID!, input: CloneVFolderV2Input!): CloneVFolderV2Payload
  }

  type VFolder implements Node {
    id: ID!
    status: VFolderOperationStatus!
    host: String!
    metadata: VFolderMetadataInfo!
    accessControl: VFolderAccessControlInfo!
    ownership: VFolderOwnershipInfo!
    unmanagedPath: String
  }

  type VFolderMetadataInfo {
    name: String!
    usageMode: VFolderUsageMode!
    quotaScopeId: String
    createdAt: DateTime!
    lastUsed: DateTime
    cloneable: Boolean!
  }

  type VFolderAccessControlInfo {
    permission: VFolderMountPermission!
    ownershipType: VFolderOwnershipType!
  }

  type VFolderOwnershipInfo {
    user: UserV2
    project: ProjectV2
    creator: UserV2
    userId: UUID
    projectId: UUID
    creatorId: UUID
    creatorEmail: String
  }

  type VFolderConnection {
    pageInfo: PageInfo!
    edges: [VFolderEdge!]!
    count: Int!
  }

  type VFolderEdge {
    cursor: String!
    node: VFolder!
  }

  input VFolderFilter {
    name: StringFilter = null
    host: StringFilter = null
    status: VFolderOperationStatusFilter = null
    usageMode: VFolderUsageModeFilter = null
    cloneable: Boolean = null
    createdAt: DateTimeFilter = null
    AND: [VFolderFilter!] = null
    OR: [VFolderFilter!] = null
    NOT: [VFolderFilter!] = null
  }

  input VFolderOperationStatusFilter {
    equals: VFolderOperationStatus = null
    in: [VFolderOperationStatus!] = null
    notEquals: VFolderOperationStatus = null
    notIn: [VFolderOperationStatus!] = null
  }

  input VFolderUsageModeFilter {
    equals: VFolderUsageMode = null
    in: [VFolderUsageMode!] = null
    notEquals: VFolderUsageMode = null
    notIn: [VFolderUsageMode!] = null
  }

  input VFolderOrderBy {
    field: VFolderOrderField! = CREATED_AT
    direction: OrderDirection! = DESC
  }

  enum VFolderOrderField { NAME CREATED_AT STATUS USAGE_MODE HOST }
  enum VFolderUsageMode { GENERAL MODEL DATA }
  enum VFolderMountPermission { READ_ONLY READ_WRITE RW_DELETE }
  enum VFolderOwnershipType { USER GROUP }
  enum VFolderOperationStatus {
    READY CLONING DELETE_PENDING DELETE_ONGOING DELETE_COMPLETE DELETE_ERROR
  }

  input CreateVFolderV2Input {
    name: String!
    projectId: UUID = null
    host: String = null
    usageMode: String! = "general"
    permission: String! = "rw"
    cloneable: Boolean! = false
  }

  input CreateVFolderInScopeInput {
    name: String!
    host: String = null
    usageMode: VFolderUsageMode! = GENERAL
    permission: VFolderMountPermission! = READ_WRITE
    cloneable: Boolean! = false
  }

  type CreateVFolderV2Payload {
    vfolder: VFolder!
  }

  type DeleteVFolderV2Payload {
    id: UUID!
  }

  type RestoreVFolderPayload {
    id: UUID!
  }

  input BulkDeleteVFoldersV2Input {
    ids: [UUID!]!
  }

  type BulkDeleteVFoldersV2Payload {
    deletedCount: Int!
  }

  input BulkPurgeVFoldersV2Input {
    ids: [UUID!]!
    options: PurgeVFolderOptionsInput
  }

  input PurgeVFolderOptionsInput {
    cascadeModelCard: Boolean! = false
  }

  type PurgeVFolderV2Payload {
    id: UUID!
  }

  input CloneVFolderV2Input {
    name: String!
    projectId: UUID = null
    host: String = null
  }

  type CloneVFolderV2Payload {
    vfolder: VFolder!
    bgtaskId: String!
  }

  type BulkPurgeVFoldersV2Payload {
    purgedCount: Int!
    failed: [BulkPurgeVFolderV2Error!]!
  }

  type BulkPurgeVFolderV2Error {
    vfolderId: UUID!
    message: String!
  }
`;

export const v2FileTypeDefs = /* GraphQL */ `
  type Query {
    myStorageHostPermissions: MyStorageHostPermissionsPayload
  }

  type Mutation {
    vfolderListFilesV2(vfolderId: UUID!, input: ListFilesV2Input!): ListFilesV2Payload
    vfolderMkdirV2(vfolderId: UUID!, input: MkdirV2Input!): MkdirV2Payload
    vfolderMoveFileV2(vfolderId: UUID!, input: MoveFileV2Input!): MoveFileV2Payload
    vfolderDeleteFilesV2(vfolderId: UUID!, input: DeleteFilesV2Input!): DeleteFilesV2Payload
    vfolderCreateUploadSessionV2(vfolderId: UUID!, input: CreateUploadSessionV2Input!): CreateUploadSessionV2Payload
    vfolderCreateDownloadSessionV2(vfolderId: UUID!, input: CreateDownloadSessionV2Input!): CreateDownloadSessionV2Payload
  }

  type StorageHostPermission {
    host: String!
    permissions: [VFolderHostPermissionV2!]!
  }

  type MyStorageHostPermissionsPayload {
    items: [StorageHostPermission!]!
  }

  input ListFilesV2Input {
    path: String!
  }

  type VFolderFileEntryV2 {
    name: String!
    type: String!
    size: Int!
    mode: Int!
    createdAt: String!
    updatedAt: String!
  }

  type ListFilesV2Payload {
    items: [VFolderFileEntryV2!]!
  }

  input MkdirV2Input {
    path: [String!]!
    parents: Boolean! = true
    existOk: Boolean! = false
  }

  type MkdirV2Payload {
    results: [String!]!
  }

  input MoveFileV2Input {
    src: String!
    dst: String!
  }

  type MoveFileV2Payload {
    src: String!
    dst: String!
  }

  input DeleteFilesV2Input {
    files: [String!]!
    recursive: Boolean! = false
  }

  type DeleteFilesV2Payload {
    bgtaskId: String!
  }

  input CreateUploadSessionV2Input {
    path: String!
    size: Int!
  }

  type CreateUploadSessionV2Payload {
    token: String!
    url: String!
  }

  input CreateDownloadSessionV2Input {
    path: String!
    archive: Boolean! = false
  }

  type CreateDownloadSessionV2Payload {
    token: String!
    url: String!
  }
`;
