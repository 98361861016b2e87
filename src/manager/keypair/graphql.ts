import type { GraphqlModule } from '../graphql/module.ts';
import { kept, mutate } from '../graphql/mutation.ts';
import { checkOwnScope, pageOf } from '../graphql/scope.ts';
import { countRecentRequests } from '../http/rate-limit.ts';
import { projectsOfUser } from '../user/loaders.ts';
import { createKeypair, deleteKeypair, modifyKeypair } from './manage.ts';
import { findKeypair, getKeypair, listKeypairPage, listKeypairs } from './service.ts';

/** Largest number of rows of the unpaged list. */
const MAX_ROWS = 100;

export const keypairGraphql: GraphqlModule = {
  typeDefs: /* GraphQL */ `
    type Query {
      keypair(domain_name: String, access_key: String): KeyPair
      keypairs(domain_name: String, email: String, is_active: Boolean): [KeyPair]
      keypair_list(
        limit: Int!
        offset: Int!
        filter: String
        order: String
        domain_name: String
        email: String
        is_active: Boolean
      ): KeyPairList
    }

    type Mutation {
      create_keypair(props: KeyPairInput!, user_id: String!): CreateKeyPair
      modify_keypair(access_key: String!, props: ModifyKeyPairInput!): ModifyKeyPair
      delete_keypair(access_key: String!): DeleteKeyPair
    }

    input KeyPairInput {
      is_active: Boolean = true
      is_admin: Boolean = false
      resource_policy: String!
      concurrency_limit: Int
      rate_limit: Int!
    }

    input ModifyKeyPairInput {
      is_active: Boolean
      is_admin: Boolean
      resource_policy: String
      concurrency_limit: Int
      rate_limit: Int
    }

    type CreateKeyPair {
      ok: Boolean
      msg: String
      keypair: KeyPair
    }

    type ModifyKeyPair {
      ok: Boolean
      msg: String
    }

    type DeleteKeyPair {
      ok: Boolean
      msg: String
    }

    type KeyPairList implements PaginatedList {
      items: [KeyPair]!
      total_count: Int!
    }

    type KeyPair implements Item {
      id: ID
      user_id: String
      full_name: String
      access_key: String
      secret_key: String
      is_active: Boolean
      is_admin: Boolean
      resource_policy: String
      created_at: DateTime
      last_used: DateTime
      rate_limit: Int
      concurrency_limit: Int @deprecated
      num_queries: Int
      rolling_count: Int
      user: UUID
      projects: [String]
      ssh_public_key: String
      user_info: UserInfo
    }

    type UserInfo {
      email: String
      full_name: String
    }
  `,
  resolvers: {
    Query: {
      async keypair(_parent, args, { ctx, caller }) {
        checkOwnScope(caller, caller.accessKey, {
          domain_name: args.domain_name,
          key: args.access_key,
        });
        const wanted = args.access_key ?? caller.accessKey;
        const keypair =
          wanted === caller.accessKey
            ? await ctx.own.keypair(caller)
            : await findKeypair(ctx.lookups, caller, wanted);
        const elsewhere = args.domain_name != null && keypair?.domain_name !== args.domain_name;
        return elsewhere ? null : keypair;
      },
      async keypairs(_parent, args, { ctx, caller }) {
        checkOwnScope(caller, caller.email, { domain_name: args.domain_name, key: args.email });
        const rows = await listKeypairs(ctx.sql, caller, {
          domainName: args.domain_name,
          email: args.email,
          isActive: args.is_active,
        });
        return rows.slice(0, MAX_ROWS);
      },
      async keypair_list(_parent, args, { ctx, caller }) {
        checkOwnScope(caller, caller.email, { domain_name: args.domain_name, key: args.email });
        const filter = {
          domainName: args.domain_name,
          email: args.email,
          isActive: args.is_active,
        };
        const { filter: condition, order } = args;
        const page = { ...pageOf(args), filter: condition, order };
        const { rows, total } = await listKeypairPage(ctx.sql, caller, filter, page);
        return { items: rows, total_count: total };
      },
    },
    Mutation: {
      create_keypair: (_root, { user_id, props }, context, info) =>
        mutate(context, info.path.key, 'superadmin', { keypair: null }, async () => {
          const accessKey = await createKeypair(context, user_id, {
            isActive: props.is_active ?? true,
            isAdmin: props.is_admin ?? false,
            resourcePolicy: props.resource_policy,
            rateLimit: props.rate_limit,
          });
          return { keypair: await getKeypair(context.ctx.sql, context.caller, accessKey) };
        }),
      modify_keypair: (_root, { access_key, props }, context, info) =>
        mutate(context, info.path.key, 'superadmin', {}, async () => {
          await modifyKeypair(context, access_key, {
            is_active: kept(props.is_active),
            is_admin: kept(props.is_admin),
            resource_policy: kept(props.resource_policy),
            rate_limit: kept(props.rate_limit),
          });
          return {};
        }),
      delete_keypair: (_root, { access_key }, context, info) =>
        mutate(context, info.path.key, 'superadmin', {}, async () => {
          await deleteKeypair(context, access_key);
          return {};
        }),
    },
    KeyPair: {
      id: ({ access_key }) => access_key,
      // Upstream's answer since the limit moved to the resource policy.
      concurrency_limit: () => 0,
      projects: async ({ user }, _args, context) =>
        (await projectsOfUser(context, user))?.map(({ name }) => name) ?? [],
      user_info: ({ email, full_name }) => ({ email, full_name }),
      rolling_count: ({ access_key }, _args, { ctx }) => countRecentRequests(ctx, access_key),
    },
  },
};
