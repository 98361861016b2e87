/** GraphQL fields about domains (the newer type): `domainV2`, `adminDomainsV2`. */

import type { GraphqlContext } from '../graphql/context.ts';
import { globalId, rawIdOf } from '../graphql/global-id.ts';
import { batched } from '../graphql/loaders.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { kept, v2Mutation } from '../graphql/mutation.ts';
import type { UpdateDomainInput } from '../graphql/resolvers.generated.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import { v2ListField } from '../graphql/v2-list.ts';
import { slotEntries } from '../graphql/v2-shapes.ts';
import { type ActiveUse, activeUseOf } from '../session/usage.ts';
import {
  createDomain,
  type DomainWishes,
  deleteDomain,
  modifyDomain,
  purgeDomain,
} from './manage.ts';
import { type Domain, getDomain, listDomains, listDomainsV2 } from './service.ts';
import { v2TypeDefs } from './v2-schema.ts';

const TYPE = 'DomainV2';

/** The domain; null when there is none that the caller may see. */
export const loadDomain = batched<string, Domain>(async (names, { ctx, caller }) => {
  const domains = await listDomains(ctx.sql, caller, names);
  return new Map(domains.map((domain) => [domain.name, domain]));
});

/** The domain as it became. */
const shown = async ({ ctx, caller }: GraphqlContext, name: string) => ({
  domain: await getDomain(ctx.sql, caller, name),
});

const wishesOf = (input: UpdateDomainInput): DomainWishes => ({
  description: kept(input.description),
  is_active: kept(input.isActive),
  integration_id: kept(input.integrationName),
  allowed_docker_registries: input.allowedDockerRegistries
    ? [...input.allowedDockerRegistries]
    : undefined,
});

const mutations: NonNullable<GraphqlModule['resolvers']['Mutation']> = {
  adminCreateDomainV2: (_root, { input }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      await createDomain(context, input.name, wishesOf(input));
      return shown(context, input.name);
    }),
  adminUpdateDomainV2: (_root, { domainName, input }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      const wishes = { ...wishesOf(input), name: kept(input.name) };
      return shown(context, await modifyDomain(context, domainName, wishes));
    }),
  adminDeleteDomainV2: (_root, { domainName }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      await deleteDomain(context, domainName);
      return { deleted: true };
    }),
  adminPurgeDomainV2: (_root, { domainName }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      await purgeDomain(context, domainName);
      return { purged: true };
    }),
};

/** What its sessions hold; administrators of it and its members may know. */
const activeUse = batched<string, ActiveUse>((ids, { ctx }) =>
  activeUseOf(ctx.sql, { kind: 'domain', ids }),
);

async function resourceOverview(context: GraphqlContext, id: string) {
  const use = await activeUse(context, id);
  return {
    slots: { entries: slotEntries(use?.slots ?? {}) },
    sessionCount: use?.sessionCount ?? 0,
  };
}

export const domainV2Graphql: GraphqlModule = {
  typeDefs: v2TypeDefs,
  nodes: { DomainV2: loadDomain },
  resolvers: {
    Query: {
      domainV2: (_root, { domainName }, context) => loadDomain(context, rawIdOf(domainName)),
      adminDomainsV2: (_root, args, { ctx, caller }, info) => {
        requireAdministrator(caller);
        return v2ListField<Domain>(args, info, {
          idOf: ({ name }) => name,
          load: (wish) => listDomainsV2(ctx.sql, caller, args, wish),
        });
      },
      rgDomainsV2: (_root, args, { ctx, caller }, info) => {
        requireAdministrator(caller);
        const query = { ...args, resourceGroup: args.scope.resourceGroupName };
        return v2ListField<Domain>(args, info, {
          idOf: ({ name }) => name,
          load: (wish) => listDomainsV2(ctx.sql, caller, query, wish),
        });
      },
    },
    Mutation: mutations,
    DomainV2: {
      activeResourceOverview: ({ name }, _args, context) => resourceOverview(context, name),
      id: ({ name }) => globalId(TYPE, name),
      basicInfo: ({ name, description, integrationId }) => ({
        name,
        description,
        integrationName: integrationId,
      }),
      registry: ({ allowedDockerRegistries }) => ({ allowedDockerRegistries }),
      lifecycle: ({ isActive, createdAt, modifiedAt }) => ({ isActive, createdAt, modifiedAt }),
    },
  },
};
