/** GraphQL fields about storage volumes and quota scopes. */
import { BackendError } from '../../common/errors.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { refuseWhenFrozen } from '../graphql/mutation.ts';
import { pageOf, requireSuperadmin } from '../graphql/scope.ts';
import { hardwareInfo, performanceMetric, volumeUsage } from '../storage/client.ts';
import { readVolumeSettings } from '../storage/settings.ts';
import { allVolumes, type HostVolume } from './hosts.ts';
import { getQuotaScope, type QuotaScope, setScopeQuota, unsetScopeQuota } from './quota.ts';
import { storageTypeDefs } from './schema.ts';

/** @throws BackendError GenericForbidden: storage is what superadmins look after. */
async function volumes({ ctx, caller }: GraphqlContext): Promise<HostVolume[]> {
  requireSuperadmin(caller);
  return allVolumes(ctx, await readVolumeSettings(ctx.config));
}

const toScope = ({ id, host, usageBytes, limitBytes }: QuotaScope) => ({
  id: `QuotaScope:${host}/${id}`,
  quota_scope_id: id,
  storage_host_name: host,
  details: { usage_bytes: usageBytes, usage_count: null, hard_limit_bytes: limitBytes },
});

export const storageGraphql: GraphqlModule = {
  typeDefs: storageTypeDefs,
  resolvers: {
    Query: {
      async storage_volume(_root, { id }, context) {
        return (await volumes(context)).find(({ host }) => host === id) ?? null;
      },
      async storage_volume_list(_root, args, context) {
        const { limit, offset } = pageOf(args);
        const all = await volumes(context);
        return { items: all.slice(offset, offset + limit), total_count: all.length };
      },
      async quota_scope(_root, args, { ctx, caller }) {
        const { storage_host_name: host, quota_scope_id: id } = args;
        return toScope(await getQuotaScope(ctx, caller, host, id));
      },
    },
    Mutation: {
      async set_quota_scope(_root, args, context) {
        await refuseWhenFrozen(context.ctx);
        const { storage_host_name: host, quota_scope_id: id, props } = args;
        const limit = props.hard_limit_bytes;
        requireSuperadmin(context.caller);
        if (limit == null || limit <= 0) {
          throw new BackendError(
            'InvalidAPIParameters',
            'hard_limit_bytes must be greater than 0; unset_quota_scope takes a limit away.',
          );
        }
        await setScopeQuota(context, host, id, limit);
        return { quota_scope: toScope(await getQuotaScope(context.ctx, context.caller, host, id)) };
      },
      async unset_quota_scope(_root, args, context) {
        await refuseWhenFrozen(context.ctx);
        const { storage_host_name: host, quota_scope_id: id } = args;
        await unsetScopeQuota(context, host, id);
        return { quota_scope: toScope(await getQuotaScope(context.ctx, context.caller, host, id)) };
      },
    },
    StorageVolume: {
      id: ({ host }) => host,
      name: ({ volume }) => volume.name,
      backend: ({ volume }) => volume.backend,
      fsprefix: ({ volume }) => volume.fsprefix,
      path: ({ volume }) => volume.path,
      capabilities: ({ volume }) => volume.capabilities,
      usage: ({ host }, _args, { ctx }) => volumeUsage(ctx, host),
      hardware_metadata: ({ host }, _args, { ctx }) => hardwareInfo(ctx, host),
      performance_metric: ({ host, volume }, _args, { ctx }) =>
        volume.capabilities.includes('metric') ? performanceMetric(ctx, host) : {},
    },
  },
};
