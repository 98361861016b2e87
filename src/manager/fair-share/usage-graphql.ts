/** GraphQL fields about what domains, projects and users have used per day. */
import type { GraphQLResolveInfo } from 'graphql';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import type {
  DomainV2usageBucketsArgs,
  ProjectV2usageBucketsArgs,
  UserV2usageBucketsArgs,
} from '../graphql/resolvers.generated.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import { nestedV2List, type V2Arguments, v2ListField } from '../graphql/v2-list.ts';
import type { Level } from './levels.ts';
import { usageTypeDefs } from './schema.ts';
import { type BucketRow, listAllBuckets, listBuckets } from './service.ts';
import { bucketShape } from './shapes.ts';

const idOf = ({ id }: BucketRow): string => id;

const ofDomains = nestedV2List<BucketRow, DomainV2usageBucketsArgs>({
  idOf,
  load: ({ ctx, caller }, names, { scope, ...args }, wish) =>
    listBuckets(ctx.sql, caller, 'domain', names, { group: scope.resourceGroupName }, args, wish),
});

const ofProjects = nestedV2List<BucketRow, ProjectV2usageBucketsArgs>({
  idOf,
  load: ({ ctx, caller }, ids, { scope, ...args }, wish) =>
    listBuckets(ctx.sql, caller, 'project', ids, { group: scope.resourceGroupName }, args, wish),
});

const ofUsers = nestedV2List<BucketRow, UserV2usageBucketsArgs>({
  idOf,
  load: ({ ctx, caller }, ids, { scope, ...args }, wish) => {
    const { resourceGroupName: group, projectId } = scope;
    return listBuckets(ctx.sql, caller, 'user', ids, { group, projectId }, args, wish);
  },
});

/** The fields that the usage of all levels has. */
const bucketFields = (typeName: string) => ({
  id: ({ id }: BucketRow) => globalId(typeName, id),
  domainName: ({ domain_name }: BucketRow) => domain_name,
  resourceGroupName: ({ resource_group }: BucketRow) => resource_group,
  metadata: (row: BucketRow) => bucketShape(row).metadata,
  resourceUsage: (row: BucketRow) => bucketShape(row).resourceUsage,
  capacitySnapshot: (row: BucketRow) => bucketShape(row).capacitySnapshot,
  averageDailyUsage: (row: BucketRow) => bucketShape(row).averageDailyUsage,
  usageCapacityRatio: (row: BucketRow) => bucketShape(row).usageCapacityRatio,
});

const all = (
  level: Level,
  args: V2Arguments & V2Query,
  { ctx, caller }: GraphqlContext,
  info: GraphQLResolveInfo,
) =>
  v2ListField<BucketRow>(args, info, {
    idOf,
    load: (wish) => listAllBuckets(ctx.sql, caller, level, args, wish),
  });

export const usageBucketGraphql: GraphqlModule = {
  typeDefs: usageTypeDefs,
  resolvers: {
    Query: {
      adminDomainUsageBuckets: (_root, args, context, info) => all('domain', args, context, info),
      adminProjectUsageBuckets: (_root, args, context, info) => all('project', args, context, info),
      adminUserUsageBuckets: (_root, args, context, info) => all('user', args, context, info),
    },
    DomainV2: {
      usageBuckets: ({ name }, args, context, info) => ofDomains(context, name, args, info),
    },
    ProjectV2: {
      usageBuckets: ({ id }, args, context, info) => ofProjects(context, id, args, info),
    },
    UserV2: {
      usageBuckets: ({ uuid }, args, context, info) => ofUsers(context, uuid, args, info),
    },
    DomainUsageBucket: bucketFields('DomainUsageBucket'),
    ProjectUsageBucket: {
      ...bucketFields('ProjectUsageBucket'),
      projectId: ({ project_id }) => project_id ?? '',
    },
    UserUsageBucket: {
      ...bucketFields('UserUsageBucket'),
      projectId: ({ project_id }) => project_id ?? '',
      userUuid: ({ user_uuid }) => user_uuid ?? '',
    },
  },
};
