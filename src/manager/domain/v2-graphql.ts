/** GraphQL fields about domains (the newer type): `domainV2`, `adminDomainsV2`. */
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId, rawIdOf } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import { v2ListField } from '../graphql/v2-list.ts';
import { type Domain, findDomain, listDomainsV2 } from './service.ts';
import { v2TypeDefs } from './v2-schema.ts';

const TYPE = 'DomainV2';

/** The domain; null when there is none that the caller may see. */
const loadDomain = ({ ctx, caller }: GraphqlContext, name: string): Promise<Domain | null> =>
  findDomain(ctx.sql, caller, name);

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
    },
    DomainV2: {
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
