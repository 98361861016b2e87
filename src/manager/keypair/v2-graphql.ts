/** GraphQL fields about keypairs (the newer type). */
import { checkSshKeypair } from '../auth/ssh-keypair.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { kept, v2Mutation } from '../graphql/mutation.ts';
import type { KeypairResourcePolicyV2keypairsArgs } from '../graphql/resolvers.generated.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import { nestedV2List, v2ListField } from '../graphql/v2-list.ts';
import { loadUserV2 } from '../user/v2-graphql.ts';
import { createKeypair, deleteKeypair, modifyKeypair } from './manage.ts';
import { chooseMainKeypair, issueOwnKeypair, revokeOwnKeypair, switchOwnKeypair } from './own.ts';
import {
  findKeypair,
  getKeypair,
  type KeypairRecord,
  listKeypairsOfPolicies,
  listKeypairsV2,
  listOwnKeypairs,
} from './service.ts';
import { v2TypeDefs } from './v2-schema.ts';

const idOf = ({ access_key }: KeypairRecord): string => access_key;

/** Shown for a keypair without a limit, as the type demands a number. */
const NO_RATE_LIMIT = 2 ** 31 - 1;

/** The keypair; null when there is none that the caller may see. */
const findKeypairV2 = ({ ctx, caller }: GraphqlContext, accessKey: string) =>
  findKeypair(ctx.sql, caller, accessKey);

const shown = ({ ctx, caller }: GraphqlContext, accessKey: string): Promise<KeypairRecord> =>
  getKeypair(ctx.sql, caller, accessKey);

/** A new keypair with its secret, which later lists do not show. */
async function withSecret(context: GraphqlContext, accessKey: string) {
  const keypair = await shown(context, accessKey);
  return { keypair, secretKey: keypair.secret_key ?? '' };
}

const keypairsOfPolicy = nestedV2List<KeypairRecord, KeypairResourcePolicyV2keypairsArgs>({
  idOf,
  load: ({ ctx, caller }, names, args, wish) =>
    listKeypairsOfPolicies(ctx.sql, caller, names, args, wish),
});

const ownMutations: NonNullable<GraphqlModule['resolvers']['Mutation']> = {
  issueMyKeypair: (_root, _args, context) =>
    v2Mutation(context, 'anybody', async () => withSecret(context, await issueOwnKeypair(context))),
  revokeMyKeypair: (_root, { input }, context) =>
    v2Mutation(context, 'anybody', async () => {
      await revokeOwnKeypair(context, input.accessKey);
      return { success: true };
    }),
  updateMyKeypair: (_root, { input }, context) =>
    v2Mutation(context, 'anybody', async () => {
      await switchOwnKeypair(context, input.accessKey, input.isActive);
      return { keypair: await shown(context, input.accessKey) };
    }),
  switchMyMainAccessKey: (_root, { input }, context) =>
    v2Mutation(context, 'anybody', async () => {
      await chooseMainKeypair(context, input.accessKey);
      return { success: true };
    }),
};

const adminMutations: NonNullable<GraphqlModule['resolvers']['Mutation']> = {
  adminCreateKeypairV2: (_root, { input }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      const accessKey = await createKeypair(context, input.userId, {
        isActive: input.isActive ?? true,
        isAdmin: input.isAdmin ?? false,
        resourcePolicy: input.resourcePolicy,
        rateLimit: input.rateLimit ?? 30_000,
      });
      return withSecret(context, accessKey);
    }),
  adminUpdateKeypairV2: (_root, { input }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      await modifyKeypair(context, input.accessKey, {
        is_active: kept(input.isActive),
        is_admin: kept(input.isAdmin),
        resource_policy: kept(input.resourcePolicy),
        rate_limit: kept(input.rateLimit),
      });
      return { keypair: await shown(context, input.accessKey) };
    }),
  adminDeleteKeypairV2: (_root, { accessKey }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      await deleteKeypair(context, accessKey);
      return { accessKey };
    }),
  adminRegisterSshKeypairV2: (_root, { input }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      const { accessKey, sshPublicKey, sshPrivateKey } = input;
      const pair = checkSshKeypair({ publicKey: sshPublicKey, privateKey: sshPrivateKey });
      await modifyKeypair(context, accessKey, {
        ssh_public_key: pair.publicKey,
        ssh_private_key: pair.privateKey,
      });
      return { accessKey };
    }),
  adminDeleteSshKeypairV2: (_root, { accessKey }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      await modifyKeypair(context, accessKey, { ssh_public_key: null, ssh_private_key: null });
      return { accessKey };
    }),
};

export const keypairV2Graphql: GraphqlModule = {
  typeDefs: v2TypeDefs,
  nodes: { KeyPairV2: findKeypairV2 },
  resolvers: {
    Query: {
      myKeypairs: (_root, args, { ctx, caller }, info) =>
        v2ListField(args, info, {
          idOf,
          load: (wish) => listOwnKeypairs(ctx.sql, caller, args, wish),
        }),
      adminKeypairV2: (_root, { accessKey }, context) => {
        requireAdministrator(context.caller);
        return findKeypairV2(context, accessKey);
      },
      adminKeypairsV2: (_root, args, { ctx, caller }, info) => {
        requireAdministrator(caller);
        return v2ListField(args, info, {
          idOf,
          load: (wish) => listKeypairsV2(ctx.sql, caller, args, wish),
        });
      },
      adminSshKeypairV2: async (_root, { accessKey }, context) => {
        requireAdministrator(context.caller);
        const keypair = await shown(context, accessKey);
        return { keypair: { accessKey, sshPublicKey: keypair.ssh_public_key } };
      },
    },
    Mutation: { ...ownMutations, ...adminMutations },
    KeyPairV2: {
      id: ({ access_key }) => globalId('KeyPairV2', access_key),
      accessKey: ({ access_key }) => access_key,
      isActive: ({ is_active }) => is_active,
      isAdmin: ({ is_admin }) => is_admin,
      createdAt: ({ created_at }) => created_at,
      modifiedAt: ({ modified_at }) => modified_at,
      lastUsed: ({ last_used }) => last_used,
      rateLimit: ({ rate_limit }) => rate_limit ?? NO_RATE_LIMIT,
      numQueries: ({ num_queries }) => num_queries ?? 0,
      resourcePolicy: ({ resource_policy }) => resource_policy,
      sshPublicKey: ({ ssh_public_key }) => ssh_public_key,
      userId: ({ user }) => user,
      user: ({ user }, _args, context) => loadUserV2(context, user),
    },
    KeypairResourcePolicyV2: {
      keypairs: ({ name }, args, context, info) => keypairsOfPolicy(context, name, args, info),
    },
  },
};
