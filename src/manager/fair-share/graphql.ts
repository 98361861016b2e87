/** GraphQL fields about fair shares: who is due what of a resource group, and changing it. */
import type { GraphQLResolveInfo } from 'graphql';
import { loadDomain } from '../domain/v2-graphql.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { kept, v2Mutation } from '../graphql/mutation.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import { type V2Arguments, v2ListField } from '../graphql/v2-list.ts';
import { loadProjectV2 } from '../project/v2-graphql.ts';
import { loadResourceGroup, type ResourceGroup } from '../resource-group/service.ts';
import { agentSumsOf } from '../resource-group/statistics.ts';
import { loadResourceGroupV2 } from '../resource-group/v2-graphql.ts';
import { loadUserV2 } from '../user/v2-graphql.ts';
import type { Level } from './levels.ts';
import { type OwnerKey, setSpec, setWeights, type WeightWish } from './manage.ts';
import { typeDefs } from './schema.ts';
import {
  getShare,
  type KeptShare,
  listKeptShares,
  listShares,
  type ShareRow,
  type ShareScope,
} from './service.ts';
import { groupSpec, shareSpec, snapshot } from './shapes.ts';

const TYPES = {
  domain: 'DomainFairShare',
  project: 'ProjectFairShare',
  user: 'UserFairShare',
} as const;

/** The slots that the group's living agents have. */
const slotsOf = async (context: GraphqlContext, group: string): Promise<string[]> =>
  Object.keys((await agentSumsOf(context, group, 'ALIVE')).available);

async function specOf(row: ShareRow, context: GraphqlContext) {
  const group = await groupOf(row, context);
  return shareSpec(row, group, await slotsOf(context, group.name));
}

async function groupOf(row: ShareRow, context: GraphqlContext): Promise<ResourceGroup> {
  const group = await loadResourceGroupV2(context, row.resource_group);
  if (group) return group;
  throw new Error(`a share of the unknown resource group '${row.resource_group}'`);
}

/** The fields that the shares of all levels have. */
const shareFields = (level: Level) => ({
  id: ({ resource_group, owner_key, project_id }: ShareRow) => {
    const place = level === 'user' ? `${project_id}:` : '';
    return globalId(TYPES[level], `${resource_group}:${place}${owner_key}`);
  },
  resourceGroupName: ({ resource_group }: ShareRow) => resource_group,
  domainName: ({ domain_name }: ShareRow) => domain_name,
  spec: (row: ShareRow, _args: unknown, context: GraphqlContext) => specOf(row, context),
  calculationSnapshot: (row: ShareRow, _args: unknown, { ctx }: GraphqlContext) =>
    snapshot(row, ctx.clock.now()),
  createdAt: ({ created_at }: ShareRow) => created_at,
  updatedAt: ({ updated_at }: ShareRow) => updated_at,
  domain: ({ domain_name }: ShareRow, _args: unknown, context: GraphqlContext) =>
    loadDomain(context, domain_name),
  resourceGroup: (row: ShareRow, _args: unknown, context: GraphqlContext) => groupOf(row, context),
});

/** The shares that are kept, of all resource groups. */
const keptShares = (
  level: Level,
  args: V2Arguments & V2Query,
  { ctx, caller }: GraphqlContext,
  info: GraphQLResolveInfo,
) =>
  v2ListField<KeptShare>(args, info, {
    idOf: ({ id }) => id,
    load: (wish) => listKeptShares(ctx.sql, caller, level, args, wish),
  });

const oneShare = (
  level: Level,
  scope: ShareScope,
  ownerKey: string,
  { ctx, caller }: GraphqlContext,
): Promise<ShareRow> => getShare(ctx.sql, caller, level, scope, ownerKey);

const projectOf = ({ project_id }: ShareRow, _args: unknown, context: GraphqlContext) =>
  project_id === null ? null : loadProjectV2(context, project_id);

const idOf = ({ owner_key }: ShareRow): string => owner_key;

type Input = {
  readonly domainName: string;
  readonly projectId?: string;
  readonly userUuid?: string;
  readonly weight?: string | null;
};

const ownerOf = ({ domainName, projectId, userUuid }: Input): OwnerKey => ({
  domainName,
  projectId: projectId ?? null,
  userId: userUuid ?? null,
});
const wishOf = (input: Input): WeightWish => ({
  owner: ownerOf(input),
  weight: input.weight ?? null,
});

/** Sets one weight. @returns the share as it became. */
async function upsert(
  context: GraphqlContext,
  level: Level,
  input: Input & { readonly resourceGroupName: string },
): Promise<ShareRow> {
  const { resourceGroupName: group, domainName, projectId, userUuid } = input;
  await setWeights(context, level, group, [wishOf(input)]);
  const scope: ShareScope = { group, domainName, projectId };
  const key = userUuid ?? projectId ?? domainName;
  return getShare(context.ctx.sql, context.caller, level, scope, key);
}

function upsertAll(
  context: GraphqlContext,
  level: Level,
  {
    resourceGroupName,
    inputs,
  }: { readonly resourceGroupName: string; readonly inputs: readonly Input[] },
) {
  return v2Mutation(context, 'superadmin', async () => {
    await setWeights(context, level, resourceGroupName, inputs.map(wishOf));
    return { upsertedCount: inputs.length };
  });
}

const mutations: NonNullable<GraphqlModule['resolvers']['Mutation']> = {
  adminUpsertDomainFairShareWeight: (_root, { input }, context) =>
    v2Mutation(context, 'superadmin', async () => ({
      domainFairShare: await upsert(context, 'domain', input),
    })),
  adminUpsertProjectFairShareWeight: (_root, { input }, context) =>
    v2Mutation(context, 'superadmin', async () => ({
      projectFairShare: await upsert(context, 'project', input),
    })),
  adminUpsertUserFairShareWeight: (_root, { input }, context) =>
    v2Mutation(context, 'superadmin', async () => ({
      userFairShare: await upsert(context, 'user', input),
    })),
  adminBulkUpsertDomainFairShareWeight: (_root, { input }, context) =>
    upsertAll(context, 'domain', input),
  adminBulkUpsertProjectFairShareWeight: (_root, { input }, context) =>
    upsertAll(context, 'project', input),
  adminBulkUpsertUserFairShareWeight: (_root, { input }, context) =>
    upsertAll(context, 'user', input),
  adminUpdateResourceGroupFairShareSpec: (_root, { input }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      await setSpec(context, input.resourceGroupName, {
        halfLifeDays: kept(input.halfLifeDays),
        lookbackDays: kept(input.lookbackDays),
        decayUnitDays: kept(input.decayUnitDays),
        defaultWeight: kept(input.defaultWeight),
        resourceWeights: input.resourceWeights?.map(({ resourceType, weight }) => ({
          resourceType,
          weight: weight ?? null,
        })),
      });
      const group = await loadResourceGroup(context.ctx.sql, input.resourceGroupName);
      if (!group) throw new Error('the resource group vanished while it was changed');
      return { resourceGroup: group };
    }),
};

export const fairShareGraphql: GraphqlModule = {
  typeDefs: `${typeDefs}
    type ResourceGroup {
      fairShareSpec: FairShareScalingGroupSpec
    }

    type FairShareScalingGroupSpec {
      halfLifeDays: Int!
      lookbackDays: Int!
      decayUnitDays: Int!
      defaultWeight: Decimal!
      resourceWeights: [ResourceWeightEntry!]!
    }`,
  resolvers: {
    Query: {
      adminDomainFairShare: (_root, { resourceGroupName: group, domainName }, context) =>
        oneShare('domain', { group }, domainName, context),
      adminProjectFairShare: (_root, { resourceGroupName: group, projectId }, context) =>
        oneShare('project', { group }, projectId, context),
      adminUserFairShare: (_root, { resourceGroupName: group, projectId, userUuid }, context) =>
        oneShare('user', { group, projectId }, userUuid, context),
      adminDomainFairShares: (_root, args, context, info) =>
        keptShares('domain', args, context, info),
      adminProjectFairShares: (_root, args, context, info) =>
        keptShares('project', args, context, info),
      adminUserFairShares: (_root, args, context, info) => keptShares('user', args, context, info),
      rgDomainFairShare: (_root, { scope, domainName }, context) =>
        oneShare('domain', { group: scope.resourceGroupName }, domainName, context),
      rgProjectFairShare: (_root, { scope, projectId }, context) => {
        const { resourceGroupName: group, domainName } = scope;
        return oneShare('project', { group, domainName }, projectId, context);
      },
      rgUserFairShare: (_root, { scope, userUuid }, context) => {
        const { resourceGroupName: group, domainName, projectId } = scope;
        return oneShare('user', { group, domainName, projectId }, userUuid, context);
      },
      rgDomainFairShares: (_root, { scope, ...args }, { ctx, caller }, info) =>
        v2ListField<ShareRow>(args, info, {
          idOf,
          load: (wish) =>
            listShares(ctx.sql, caller, 'domain', { group: scope.resourceGroupName }, args, wish),
        }),
      rgProjectFairShares: (_root, { scope, ...args }, { ctx, caller }, info) => {
        const { resourceGroupName: group, domainName } = scope;
        return v2ListField<ShareRow>(args, info, {
          idOf,
          load: (wish) => listShares(ctx.sql, caller, 'project', { group, domainName }, args, wish),
        });
      },
      rgUserFairShares: (_root, { scope, ...args }, { ctx, caller }, info) => {
        const { resourceGroupName: group, domainName, projectId } = scope;
        return v2ListField<ShareRow>(args, info, {
          idOf,
          load: (wish) =>
            listShares(ctx.sql, caller, 'user', { group, domainName, projectId }, args, wish),
        });
      },
    },
    Mutation: mutations,
    DomainFairShare: shareFields('domain'),
    ProjectFairShare: {
      ...shareFields('project'),
      projectId: ({ project_id }) => project_id ?? '',
      project: projectOf,
    },
    UserFairShare: {
      ...shareFields('user'),
      projectId: ({ project_id }) => project_id ?? '',
      userUuid: ({ user_uuid }) => user_uuid ?? '',
      project: projectOf,
      user: ({ user_uuid }, _args, context) =>
        user_uuid === null ? null : loadUserV2(context, user_uuid),
    },
    ResourceGroup: {
      fairShareSpec: async (group, _args, context) =>
        groupSpec(group, await slotsOf(context, group.name)),
    },
  },
};
