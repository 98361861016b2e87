/** GraphQL mutations of users (the newer form). The rules are in `manage.ts`, as for the older one. */
import { BackendError } from '../../common/errors.ts';
import { isAllowedAddress } from '../auth/client-ip.ts';
import { requireGoodPassword } from '../auth/password-rules.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { clientMessage } from '../graphql/errors.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { kept, v2Mutation } from '../graphql/mutation.ts';
import type { CreateUserV2Input, UpdateUserV2Input } from '../graphql/resolvers.generated.ts';
import { getKeypair } from '../keypair/service.ts';
import { createUser, deleteUser, modifyUser, purgeUser, type UserWishes } from './manage.ts';
import { getUser } from './service.ts';

/** Users in one mutation; hashing each password takes a fifth of a second. */
const MAX_BULK = 200;

const wordOf = (member: string | null | undefined): string | undefined =>
  kept(member)?.toLowerCase().replaceAll('_', '-');

const modification = (input: UpdateUserV2Input): UserWishes => ({
  username: kept(input.username),
  password: kept(input.password),
  need_password_change: kept(input.needPasswordChange),
  full_name: input.fullName,
  description: input.description,
  status: wordOf(input.status),
  role: wordOf(input.role),
  domain_name: kept(input.domainName),
  projectIds: kept(input.groupIds),
  allowed_client_ip: input.allowedClientIp && [...input.allowedClientIp],
  resource_policy: kept(input.resourcePolicy),
  sudo_session_enabled: kept(input.sudoSessionEnabled),
  main_access_key: kept(input.mainAccessKey),
  container_uid: input.containerUid,
  container_main_gid: input.containerMainGid,
  container_gids: input.containerGids && [...input.containerGids],
});

async function create(context: GraphqlContext, input: CreateUserV2Input) {
  const { totpActivated, ...rest } = input;
  const { userId, accessKey } = await createUser(context, input.email, {
    ...modification(rest),
    totp_activated: totpActivated,
    username: input.username,
    password: input.password,
    domain_name: input.domainName,
    resource_policy: input.resourcePolicy ?? 'default',
  });
  const { sql } = context.ctx;
  const keypair = await getKeypair(sql, context.caller, accessKey);
  return {
    user: await getUser(sql, context.caller, { userId }),
    keypair: { keypair, secretKey: keypair.secret_key ?? '' },
  };
}

async function update(context: GraphqlContext, userId: string, input: UpdateUserV2Input) {
  await modifyUser(context, { userId }, modification(input));
  return getUser(context.ctx.sql, context.caller, { userId });
}

/** What people may not change about themselves, unless they are superadmins. */
const ADMINISTRATORS_FIELDS = [
  'status',
  'role',
  'domainName',
  'groupIds',
  'needPasswordChange',
  'resourcePolicy',
  'sudoSessionEnabled',
  'containerUid',
  'containerMainGid',
  'containerGids',
] as const satisfies readonly (keyof UpdateUserV2Input)[];

/** @throws BackendError GenericForbidden naming the fields; RejectedByHook for a bad password. */
function checkOwnUpdate({ caller }: GraphqlContext, input: UpdateUserV2Input): void {
  if (input.password != null) requireGoodPassword(input.password);
  if (caller.isSuperadmin) return;
  const foreign = ADMINISTRATORS_FIELDS.filter((name) => input[name] !== undefined);
  if (foreign.length === 0) return;
  throw new BackendError(
    'GenericForbidden',
    `Only an administrator changes your ${foreign.join(', ')}.`,
  );
}

/**
 * From where the caller may come from now on; null is from everywhere.
 * @throws BackendError InvalidAPIParameters when that would lock out the very request, unless `force`.
 */
async function setOwnAddresses(
  context: GraphqlContext,
  blocks: readonly string[] | null,
  force: boolean,
): Promise<void> {
  const { caller, clientAddress } = context;
  if (!force && !isAllowedAddress(clientAddress, blocks)) {
    throw new BackendError(
      'InvalidAPIParameters',
      `Your own address ${clientAddress ?? '(unknown)'} is not among them, so you would be locked ` +
        'out. Add it, or set force to do it all the same.',
    );
  }
  await modifyUser(
    context,
    { userId: caller.userId },
    { allowed_client_ip: blocks && [...blocks] },
  );
}

interface Outcome<Item, Result> {
  readonly done: Result[];
  readonly failed: { readonly index: number; readonly item: Item; readonly message: string }[];
}

/** Does it to each by itself: one that fails keeps no other from being done. */
async function each<Item, Result>(
  items: readonly Item[],
  run: (item: Item) => Promise<Result>,
): Promise<Outcome<Item, Result>> {
  if (items.length > MAX_BULK) {
    throw new BackendError('InvalidAPIParameters', `At most ${MAX_BULK} users at once.`);
  }
  const outcome: Outcome<Item, Result> = { done: [], failed: [] };
  for (const [index, item] of items.entries()) {
    try {
      outcome.done.push(await run(item));
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      outcome.failed.push({ index, item, message: clientMessage(error) });
    }
  }
  return outcome;
}

async function createEach(context: GraphqlContext, users: readonly CreateUserV2Input[]) {
  const { done, failed } = await each(users, (input) => create(context, input));
  return {
    done,
    failed: failed.map(({ index, item, message }) => ({
      index,
      username: item.username,
      email: item.email,
      message,
    })),
  };
}

/** Closes accounts one by one. @throws BackendError when some could not be, naming them. */
async function deleteEach(context: GraphqlContext, userIds: readonly string[]): Promise<number> {
  const { done, failed } = await each(userIds, (userId) => deleteUser(context, { userId }));
  if (failed.length === 0) return done.length;
  const reasons = failed.map(({ item, message }) => `${item}: ${message}`).join('; ');
  throw new BackendError(
    'InvalidAPIParameters',
    `${done.length} account(s) are closed now, these are not: ${reasons}`,
  );
}

const byId = ({ item, message }: { readonly item: string; readonly message: string }) => ({
  userId: item,
  message,
});

export const userMutations: NonNullable<GraphqlModule['resolvers']['Mutation']> = {
  adminCreateUserV2: (_root, { input }, context) =>
    v2Mutation(context, 'superadmin', () => create(context, input)),
  adminBulkCreateUsersV2: (_root, { input }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      const { done, failed } = await createEach(context, input.users);
      return { createdUsers: done.map(({ user }) => user), failed };
    }),
  adminBulkCreateUsersWithKeypairV2: (_root, { input }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      const { done, failed } = await createEach(context, input.users);
      return { created: done, failed };
    }),
  adminUpdateUserV2: (_root, { userId, input }, context) =>
    v2Mutation(context, 'superadmin', async () => ({ user: await update(context, userId, input) })),
  adminBulkUpdateUsersV2: (_root, { input }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      const { done, failed } = await each(input.users, (item) =>
        update(context, item.userId, item.input),
      );
      return {
        updatedUsers: done,
        failed: failed.map(({ item, message }) => ({ userId: item.userId, message })),
      };
    }),
  updateUserV2: (_root, { input }, context) =>
    v2Mutation(context, 'anybody', async () => {
      checkOwnUpdate(context, input);
      return { user: await update(context, context.caller.userId, input) };
    }),
  updateMyAllowedClientIp: (_root, { input }, context) =>
    v2Mutation(context, 'anybody', async () => {
      await setOwnAddresses(context, input.allowedClientIp ?? null, input.force ?? false);
      return { success: true };
    }),
  adminDeleteUserV2: (_root, { userId }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      await deleteUser(context, { userId });
      return { success: true };
    }),
  adminDeleteUsersV2: (_root, { input }, context) =>
    v2Mutation(context, 'superadmin', async () => ({
      deletedCount: await deleteEach(context, input.userIds),
    })),
  adminPurgeUserV2: (_root, { input }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      await purgeUser(context, { userId: input.userId });
      return { success: true };
    }),
  adminBulkPurgeUsersV2: (_root, { input }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      const { done, failed } = await each(input.userIds, (userId) =>
        purgeUser(context, { userId }),
      );
      return { purgedCount: done.length, failed: failed.map(byId) };
    }),
};
