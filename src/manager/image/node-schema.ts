/** The SDL of images as nodes, of the newer type, and of their mutations, as upstream has it. */

export const nodeTypeDefs = /* GraphQL */ `
  scalar ImagePermissionValueField

  type Query {
    image_node(id: GlobalIDField!, scope_id: ScopeField, permission: ImagePermissionValueField = "read_attribute"): ImageNode
    image_nodes(scope_id: ScopeField!, permission: ImagePermissionValueField = "read_attribute", filter_by_statuses: [ImageStatus] = [ALIVE], filter: String, order: String, offset: Int, before: String, after: String, first: Int, last: Int): ImageConnection
    customized_images: [ImageNode]
  }

  type Mutation {
    rescan_images(project: String, registry: String): RescanImages
    modify_image(architecture: String = null, props: ModifyImageInput!, target: String!): ModifyImage
    forget_image(architecture: String = null, reference: String!): ForgetImage @deprecated
    forget_image_by_id(image_id: String!): ForgetImageById
    purge_image_by_id(image_id: String!, options: PurgeImageOptions = {remove_from_registry: false}): PurgeImageById
    untag_image_from_registry(image_id: String!): UntagImageFromRegistry
    alias_image(alias: String!, architecture: String = null, target: String!): AliasImage
    dealias_image(alias: String!): DealiasImage
    clear_images(registry: String): ClearImages
    clear_image_custom_resource_limit(key: ClearImageCustomResourceLimitKey!): ClearImageCustomResourceLimitPayload
  }

  enum ImageType {
    COMPUTE
    SYSTEM
    SERVICE
  }

  type ImageNode implements Node {
    id: ID!
    row_id: UUID
    name: String @deprecated
    namespace: String
    base_image_name: String
    project: String
    humanized_name: String
    tag: String
    tags: [KVPair]
    version: String
    registry: String
    architecture: String
    is_local: Boolean
    digest: String
    labels: [KVPair]
    size_bytes: BigInt
    status: String
    resource_limits: [ResourceLimit]
    supported_accelerators: [String]
    aliases: [String]
    permissions: [ImagePermissionValueField]
    installed: Boolean
    type: ImageType
  }

  type ImageConnection {
    pageInfo: PageInfo!
    edges: [ImageEdge]!
    count: Int
  }

  type ImageEdge {
    node: ImageNode
    cursor: String!
  }

  input KVPairInput {
    key: String
    value: String
  }

  input ResourceLimitInput {
    key: String
    min: String
    max: String @deprecated
  }

  input ModifyImageInput {
    name: String
    registry: String
    image: String
    tag: String
    architecture: String
    is_local: Boolean
    size_bytes: Int
    type: String
    digest: String
    labels: [KVPairInput]
    supported_accelerators: [String]
    resource_limits: [ResourceLimitInput]
  }

  input PurgeImageOptions {
    remove_from_registry: Boolean = false
  }

  input ClearImageCustomResourceLimitKey {
    image_canonical: String!
    architecture: String = null
  }

  type RescanImages {
    ok: Boolean
    msg: String
    task_id: UUID
  }

  type ModifyImage {
    ok: Boolean
    msg: String
  }

  type ForgetImage {
    ok: Boolean
    msg: String
    image: ImageNode
  }

  type ForgetImageById {
    ok: Boolean
    msg: String
    image: ImageNode
  }

  type PurgeImageById {
    image: ImageNode
  }

  type UntagImageFromRegistry {
    ok: Boolean
    msg: String
    image: ImageNode
  }

  type AliasImage {
    ok: Boolean
    msg: String
  }

  type DealiasImage {
    ok: Boolean
    msg: String
  }

  type ClearImages {
    ok: Boolean
    msg: String
  }

  type ClearImageCustomResourceLimitPayload {
    image_node: ImageNode
  }
`;

export const v2TypeDefs = /* GraphQL */ `
  type Query {
    imageV2(id: ID!): ImageV2
    adminImagesV2(filter: ImageV2Filter = null, orderBy: [ImageV2OrderBy!] = null, before: String = null, after: String = null, first: Int = null, last: Int = null, limit: Int = null, offset: Int = null): ImageV2Connection
  }

  enum ImageV2Status {
    ALIVE
    DELETED
  }

  enum ImageV2Permission {
    READ_ATTRIBUTE
    UPDATE_ATTRIBUTE
    CREATE_CONTAINER
    FORGET_IMAGE
  }

  enum ImageV2OrderField {
    NAME
    CREATED_AT
    LAST_USED
  }

  input ImageV2OrderBy {
    field: ImageV2OrderField!
    direction: OrderDirection! = ASC
  }

  input ImageV2StatusFilter {
    equals: ImageV2Status = null
    in: [ImageV2Status!] = null
    notEquals: ImageV2Status = null
    notIn: [ImageV2Status!] = null
  }

  input ImageAliasNestedFilter {
    alias: StringFilter = null
  }

  input ImageV2Filter {
    status: ImageV2StatusFilter = null
    name: StringFilter = null
    architecture: StringFilter = null
    id: UUIDFilter = null
    registryId: UUIDFilter = null
    alias: ImageAliasNestedFilter = null
    lastUsed: DateTimeFilter = null
    AND: [ImageV2Filter!] = null
    OR: [ImageV2Filter!] = null
    NOT: [ImageV2Filter!] = null
  }

  type ImageV2 implements Node {
    id: ID!
    identity: ImageV2IdentityInfo!
    metadata: ImageV2MetadataInfo!
    requirements: ImageV2RequirementsInfo!
    permission: ImageV2PermissionInfo
    registryId: UUID!
    lastUsed: DateTime
  }

  type ImageV2IdentityInfo {
    canonicalName: String!
    namespace: String!
    architecture: String!
  }

  type ImageV2MetadataInfo {
    digest: String
    sizeBytes: Int!
    createdAt: DateTime
    lastUsedAt: DateTime
    tags: [ImageV2TagEntry!]!
    labels: [ImageV2LabelEntry!]!
    status: ImageV2Status!
  }

  type ImageV2TagEntry {
    key: String!
    value: String!
  }

  type ImageV2LabelEntry {
    key: String!
    value: String!
  }

  type ImageV2RequirementsInfo {
    supportedAccelerators: [String!]!
    resourceLimits: [ImageV2ResourceLimit!]!
  }

  type ImageV2ResourceLimit {
    key: String!
    min: String!
    max: String!
  }

  type ImageV2PermissionInfo {
    permissions: [ImageV2Permission!]!
  }

  type ImageV2Connection {
    pageInfo: PageInfo!
    edges: [ImageV2Edge!]!
    count: Int!
  }

  type ImageV2Edge {
    cursor: String!
    node: ImageV2!
  }
`;
