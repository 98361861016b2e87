/** GraphQL fields about users (the legacy type). */
import { BackendError } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { listInput } from '../graphql/inputs.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { kept, mutate } from '../graphql/mutation.ts';
import type { ModifyUserInput, QueryusersArgs, UserInput } from '../graphql/resolvers.generated.ts';
import { checkOwnScope, pageOf, requireDomainAdmin } from '../graphql/scope.ts';
import { getKeypair } from '../keypair/service.ts';
import { projectsOfUser } from './loaders.ts';
import { createUser, deleteUser, modifyUser, purgeUser, type UserWishes } from './manage.ts';
import { typeDefs } from './schema.ts';
import {
  findUser,
  getUser,
  listUserPage,
  listUsers,
  type UserKey,
  type UserRecord,
} from './service.ts';

/** Largest number of rows of the unpaged list. */
const MAX_ROWS = 100;

const STATUSES = ['active', 'inactive', 'deleted', 'before-verification'] as const;

function statusOf(text: string | null | undefined): UserRecord['status'] | null {
  if (text === null || text === undefined) return null;
  const wanted = text.toLowerCase();
  const status = STATUSES.find((known) => known === wanted);
  if (status) return status;
  throw new BackendError('InvalidAPIParameters', `'${text}' is not one of ${STATUSES.join(', ')}.`);
}

const filterOf = (
  args: Pick<QueryusersArgs, 'domain_name' | 'group_id' | 'is_active' | 'status'>,
) => ({
  domainName: args.domain_name,
  projectId: args.group_id,
  // The newer argument wins, as both are about the same column.
  isActive: args.status == null ? args.is_active : null,
  status: statusOf(args.status),
});

/** The user, or null when there is none that the caller may see, or in another domain. */
async function inDomain(
  { ctx, caller }: GraphqlContext,
  wanted: UserKey,
  domainName: string | null | undefined,
): Promise<UserRecord | null> {
  const isOwn = 'userId' in wanted && wanted.userId === caller.userId;
  const user = isOwn ? await ctx.own.user(caller) : await findUser(ctx.lookups, caller, wanted);
  return domainName != null && user?.domain_name !== domainName ? null : user;
}

/** The status that either of the two arguments for it asks for. */
const statusWish = (props: Pick<ModifyUserInput, 'status' | 'is_active'>): string | undefined =>
  kept(props.status) ??
  (props.is_active == null ? undefined : props.is_active ? 'active' : 'inactive');

function modification(props: ModifyUserInput): UserWishes {
  return {
    username: kept(props.username),
    password: kept(props.password),
    need_password_change: kept(props.need_password_change),
    full_name: props.full_name,
    description: props.description,
    status: statusWish(props),
    domain_name: kept(props.domain_name),
    role: kept(props.role),
    projectIds: kept(listInput(props.group_ids)),
    allowed_client_ip: listInput(props.allowed_client_ip),
    totp_activated: kept(props.totp_activated),
    resource_policy: kept(props.resource_policy),
    sudo_session_enabled: kept(props.sudo_session_enabled),
    main_access_key: props.main_access_key,
    container_uid: props.container_uid,
    container_main_gid: props.container_main_gid,
    container_gids: listInput(props.container_gids),
  };
}

const creation = (address: string, props: UserInput) => ({
  ...modification(props),
  // The schema fills in both; the one that a client chose is the one that differs.
  status: props.is_active === false && props.status === 'active' ? 'inactive' : kept(props.status),
  // The command line of upstream sends an empty name when none is given.
  username: props.username || address,
  password: props.password,
  domain_name: props.domain_name ?? 'default',
  resource_policy: props.resource_policy ?? 'default',
});

export const userGraphql: GraphqlModule = {
  typeDefs,
  resolvers: {
    Query: {
      user: (_root, { domain_name, email }, context) => {
        checkOwnScope(context.caller, context.caller.email, { domain_name, key: email });
        return inDomain(context, email ? { email } : context.caller, domain_name);
      },
      user_from_uuid: (_root, { domain_name, user_id }, context) => {
        checkOwnScope(context.caller, context.caller.userId, {
          domain_name,
          key: user_id?.toLowerCase(),
        });
        if (user_id != null && !isUuid(user_id)) return null;
        return inDomain(context, user_id ? { userId: user_id } : context.caller, domain_name);
      },
      users: async (_root, args, { ctx, caller }) => {
        requireDomainAdmin(caller, args.domain_name);
        return (await listUsers(ctx.sql, caller, filterOf(args))).slice(0, MAX_ROWS);
      },
      user_list: async (_root, args, { ctx, caller }) => {
        requireDomainAdmin(caller, args.domain_name);
        const { filter, order } = args;
        const page = { ...pageOf(args), filter, order };
        const { rows, total } = await listUserPage(ctx.sql, caller, filterOf(args), page);
        return { items: rows, total_count: total };
      },
    },
    Mutation: {
      create_user: (_root, { email, props }, context, info) =>
        mutate(context, info.path.key, 'superadmin', { user: null, keypair: null }, async () => {
          const { sql } = context.ctx;
          const { userId, accessKey } = await createUser(context, email, creation(email, props));
          return {
            user: await getUser(sql, context.caller, { userId }),
            keypair: await getKeypair(sql, context.caller, accessKey),
          };
        }),
      modify_user: (_root, { email, props }, context, info) =>
        mutate(context, info.path.key, 'superadmin', { user: null }, async () => {
          const userId = await modifyUser(context, email, modification(props));
          return { user: await getUser(context.ctx.sql, context.caller, { userId }) };
        }),
      delete_user: (_root, { email }, context, info) =>
        mutate(context, info.path.key, 'superadmin', {}, async () => {
          await deleteUser(context, email);
          return {};
        }),
      purge_user: (_root, { email }, context, info) =>
        mutate(context, info.path.key, 'superadmin', {}, async () => {
          await purgeUser(context, email);
          return {};
        }),
    },
    User: {
      id: ({ uuid }) => uuid,
      is_active: ({ status }) => status === 'active',
      groups: async ({ uuid }, _args, context) => (await projectsOfUser(context, uuid)) ?? [],
    },
  },
};
