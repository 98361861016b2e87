/** GraphQL fields about domains (the legacy type). */
import { BackendError } from '../../common/errors.ts';
import { hostPermissionsInput, listInput, slotsInput } from '../graphql/inputs.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { kept, mutate } from '../graphql/mutation.ts';
import type { ModifyDomainInput } from '../graphql/resolvers.generated.ts';
import { requireSuperadmin } from '../graphql/scope.ts';
import {
  createDomain,
  type DomainWishes,
  deleteDomain,
  modifyDomain,
  purgeDomain,
} from './manage.ts';
import { typeDefs } from './schema.ts';
import { type Domain, getDomain, listDomains } from './service.ts';

/** A domain as its resolvers give it. */
export type DomainParent = ReturnType<typeof toParent>;

export const toParent = (domain: Domain) => ({
  name: domain.name,
  description: domain.description,
  is_active: domain.isActive,
  created_at: domain.createdAt,
  modified_at: domain.modifiedAt,
  total_resource_slots: domain.totalResourceSlots,
  allowed_vfolder_hosts: domain.allowedVfolderHosts,
  allowed_docker_registries: domain.allowedDockerRegistries,
  integration_id: domain.integrationId,
  dotfiles: domain.dotfiles,
  scaling_groups: domain.resourceGroups,
});

function wishesOf(props: Omit<ModifyDomainInput, 'name'>): DomainWishes {
  const { total_resource_slots: slots, allowed_vfolder_hosts: hosts } = props;
  return {
    description: props.description,
    is_active: kept(props.is_active),
    integration_id: props.integration_id,
    allowed_docker_registries: kept(listInput(props.allowed_docker_registries)),
    totalResourceSlots: slots == null ? undefined : slotsInput('total_resource_slots', slots),
    allowedVfolderHosts:
      hosts == null ? undefined : hostPermissionsInput('allowed_vfolder_hosts', hosts),
  };
}

export const domainGraphql: GraphqlModule = {
  typeDefs,
  resolvers: {
    Query: {
      domain: async (_root, { name }, { ctx, caller }) => {
        try {
          return toParent(await getDomain(ctx.sql, caller, name ?? null));
        } catch (error) {
          // To superadmins absence is an answer; others get the same for what is not theirs.
          if (!caller.isSuperadmin || !(error instanceof BackendError)) throw error;
          return null;
        }
      },
      domains: async (_root, { is_active }, { ctx, caller }) => {
        requireSuperadmin(caller);
        const domains = await listDomains(ctx.sql, caller);
        return domains
          .filter(({ isActive }) => is_active == null || isActive === is_active)
          .map(toParent);
      },
    },
    Mutation: {
      create_domain: (_root, { name, props }, context, info) =>
        mutate(context, info.path.key, 'superadmin', { domain: null }, async () => {
          await createDomain(context, name, wishesOf(props));
          return { domain: toParent(await getDomain(context.ctx.sql, context.caller, name)) };
        }),
      modify_domain: (_root, { name, props }, context, info) =>
        mutate(context, info.path.key, 'superadmin', { domain: null }, async () => {
          const wishes = { ...wishesOf(props), name: kept(props.name) };
          const now = await modifyDomain(context, name, wishes);
          return { domain: toParent(await getDomain(context.ctx.sql, context.caller, now)) };
        }),
      delete_domain: (_root, { name }, context, info) =>
        mutate(context, info.path.key, 'superadmin', {}, async () => {
          await deleteDomain(context, name);
          return {};
        }),
      purge_domain: (_root, { name }, context, info) =>
        mutate(context, info.path.key, 'superadmin', {}, async () => {
          await purgeDomain(context, name);
          return {};
        }),
    },
  },
};
