/**
 * Writes src/manager/graphql/resolvers.generated.ts: the types of every resolver, read from the
 * schema that all features make together. `--check` writes nothing and exits 1 when it is stale.
 */
import { join } from 'node:path';
import { codegen } from '@graphql-codegen/core';
import * as typescript from '@graphql-codegen/typescript';
import * as resolvers from '@graphql-codegen/typescript-resolvers';
import { type GraphQLSchema, isObjectType, parse, printSchema } from 'graphql';
import { mergeModules } from '../src/manager/graphql/engine.ts';
import { graphqlModules } from '../src/manager/main.ts';

const TARGET = join(import.meta.dir, '../src/manager/graphql/resolvers.generated.ts');

/** What resolvers return for a type, where that is not the type as the SDL has it. */
const PARENTS: Readonly<Record<string, string>> = {
  Agent: '../agent/graphql.ts#AgentParent',
  AgentNode: '../agent/graphql.ts#AgentParent',
  AgentV2: '../agent/v2-graphql.ts#AgentListRow',
  ComputeSession: '../session/graphql.ts#ComputeSessionParent',
  ComputeSessionNode: '../session/node.ts#SessionNodeRow',
  Image: '../image/service.ts#Image as ImageParent',
  ImageNode: '../image/service.ts#Image as ImageNodeParent',
  ImageV2: '../image/service.ts#Image as ImageV2Parent',
  ImageV2Alias: '../image/service.ts#ImageAlias',
  ContainerRegistryNode: '../registry/service.ts#RegistryConfiguration',
  Domain: '../domain/graphql.ts#DomainParent',
  ResourceSlotType: '../resource-slot/service.ts#SlotTypeRecord',
  DomainFairShare: '../fair-share/service.ts#ShareRow',
  ProjectFairShare: '../fair-share/service.ts#ShareRow as ProjectShareRow',
  UserFairShare: '../fair-share/service.ts#ShareRow as UserShareRow',
  DomainUsageBucket: '../fair-share/service.ts#BucketRow',
  ProjectUsageBucket: '../fair-share/service.ts#BucketRow as ProjectBucketRow',
  UserUsageBucket: '../fair-share/service.ts#BucketRow as UserBucketRow',
  DomainNode: '../domain/graphql.ts#DomainParent',
  AuditLogNode: '../audit/list.ts#AuditEntry',
  AuditLogV2: '../audit/list.ts#AuditEntry',
  DomainV2: '../domain/service.ts#Domain as DomainRecord',
  Group: '../project/service.ts#ProjectRecord',
  GroupNode: '../project/service.ts#ProjectRecord',
  KernelNode: '../session/node.ts#ContainerRow',
  KernelV2: '../session/node.ts#KernelV2Row',
  KeyPair: '../keypair/service.ts#KeypairRecord',
  KeyPairV2: '../keypair/service.ts#KeypairRecord',
  KeypairResourcePolicyV2: '../db/rows.generated.ts#KeypairResourcePolicyRow',
  ProjectResourcePolicyV2: '../db/rows.generated.ts#ProjectResourcePolicyRow',
  ProjectV2: '../project/service.ts#ProjectRecord',
  UserResourcePolicyV2: '../db/rows.generated.ts#UserResourcePolicyRow',
  LoginHistoryV2: '../auth/login-list.ts#LoginAttempt',
  LoginSessionV2: '../auth/login-list.ts#LoginSession',
  ScalingGroup: '../resource-group/graphql.ts#ScalingGroupParent',
  ScalingGroupNode: '../db/rows.generated.ts#ScalingGroupRow',
  ContainerRegistryV2: '../registry/service.ts#RegistryConfiguration',
  EntityRef: '../db/rows.generated.ts#AssociationScopeEntityRow',
  Permission: '../db/rows.generated.ts#PermissionRow',
  ResourcePresetV2: '../db/rows.generated.ts#ResourcePresetRow',
  ResourceGroup: '../resource-group/service.ts#ResourceGroup as ResourceGroupRecord',
  Role: '../db/rows.generated.ts#RoleRow',
  RoleAssignment: '../db/rows.generated.ts#UserRoleRow',
  RoleInvitation: '../db/rows.generated.ts#RoleInvitationRow',
  RolePermissionPreset: '../db/rows.generated.ts#RolePermissionPresetRow',
  RolePreset: '../db/rows.generated.ts#RolePresetRow',
  SessionV2: '../session/node.ts#SessionV2Row',
  SessionSchedulingHistory: '../session/node.ts#SessionHistoryRow',
  StorageVolume: '../folder/hosts.ts#HostVolume',
  VFolder: '../folder/service.ts#FolderRecord',
  VFolderOwnershipInfo: '../folder/v2-graphql.ts#FolderOwnership',
  VirtualFolder: '../folder/service.ts#FolderRecord',
  VirtualFolderNode: '../folder/service.ts#FolderRecord',
  User: '../user/service.ts#UserRecord',
  UserNode: '../user/service.ts#UserRecord',
  UserV2: '../user/service.ts#UserRecord',
};

/** What scalars.ts reads from clients and what it can write. */
const SCALARS = {
  ID: 'string',
  UUID: 'string',
  DateTime: 'Date',
  Date: 'string',
  Bytes: 'Uint8Array',
  Decimal: 'string',
  GlobalIDField: 'string',
  ScopeField: './scalars.ts#Scope',
  ImagePermissionValueField: '../image/permissions.ts#ImagePermission',
  ContainerRegistryTypeField: { input: '../registry/manage.ts#RegistryType', output: 'string' },
  GroupPermissionField: '../project/service.ts#ProjectPermission',
  AgentPermissionField: '../agent/node-graphql.ts#AgentPermissionWord',
  UUIDFloatMap: '../agent/graphql-devices.ts#DeviceShares',
  SessionPermissionValueField: '../session/node.ts#SessionPermission',
  DomainPermissionValueField: '../domain/service.ts#DomainPermission',
  VFolderPermissionValueField: '../folder/rules.ts#FolderPower',
  JSONString: 'unknown',
  BigInt: 'number',
  JSON: 'unknown',
};

/**
 * Fields without a resolver are read from the parent, so the parent's type must have them. The
 * compiler checks that on these types.
 */
function carriedFields(schema: GraphQLSchema): string {
  let out = '/** Compiles only when `Parent` has `Fields` as the schema declares them. */\n';
  out += 'type Carrying<Fields, Parent extends Fields> = Parent;\n';
  out += '/** The parents whose fields are read as they are. */\nexport type CarryingParents = {\n';
  for (const name of Object.keys(PARENTS)) {
    const type = schema.getType(name);
    if (!isObjectType(type)) throw new Error(`PARENTS names '${name}', no type of the schema.`);
    const plain = Object.values(type.getFields()).filter((field) => field.resolve === undefined);
    const fields = plain.map((field) => `'${field.name}'`).join(' | ') || 'never';
    out += `  ${name}: Carrying<Pick<${name}, ${fields}>, ResolversParentTypes['${name}']>;\n`;
  }
  return `${out}};\n`;
}

const schema = mergeModules(graphqlModules);
const code = await codegen({
  filename: TARGET,
  schema: parse(printSchema(schema)),
  documents: [],
  plugins: [{ typescript: {} }, { resolvers: {} }, { carried: {} }],
  pluginMap: {
    typescript,
    resolvers,
    carried: { plugin: () => carriedFields(schema) },
  },
  config: {
    // The schema's own names: legacy and newer fields differ in nothing but underscores.
    namingConvention: 'keep',
    contextType: './context.ts#GraphqlContext',
    mappers: PARENTS,
    scalars: SCALARS,
    strictScalars: true,
    enumsAsTypes: true,
    immutableTypes: true,
    useTypeImports: true,
    makeResolverTypeCallable: true,
    // A result with a field left out does not compile; arguments may be left out.
    avoidOptionals: { field: true },
  },
});

const text = `/** Generated by scripts/generate-graphql.ts from the schema; do not edit. */\n${code}`;

if (process.argv.includes('--check')) {
  const present = await Bun.file(TARGET)
    .text()
    .catch(() => '');
  if (present !== text) {
    console.error(
      'src/manager/graphql/resolvers.generated.ts is stale: run `bun scripts/generate-graphql.ts`.',
    );
    process.exit(1);
  }
} else {
  await Bun.write(TARGET, text);
}
process.exit(0);
