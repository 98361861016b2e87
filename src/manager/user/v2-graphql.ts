/** GraphQL fields that show users (the newer type). */
import { isUuid } from '../../common/ids.ts';
import { loadDomain } from '../domain/v2-graphql.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId } from '../graphql/global-id.ts';
import { batched } from '../graphql/loaders.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import type {
  DomainV2usersArgs,
  ProjectV2usersArgs,
  UserRoleV2,
  UserStatusV2,
} from '../graphql/resolvers.generated.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import { nestedV2List, v2ListField } from '../graphql/v2-list.ts';
import { findUser, listUsers, type UserRecord } from './service.ts';
import { userMutations } from './v2-mutations.ts';
import { v2TypeDefs } from './v2-schema.ts';
import {
  listUsersOfDomain,
  listUsersOfDomains,
  listUsersOfProject,
  listUsersOfProjects,
  listUsersV2,
} from './v2-service.ts';

const idOf = ({ uuid }: UserRecord): string => uuid;

const STATUSES = {
  active: 'ACTIVE',
  inactive: 'INACTIVE',
  deleted: 'DELETED',
  'before-verification': 'BEFORE_VERIFICATION',
} as const satisfies Record<UserRecord['status'], UserStatusV2>;

const ROLES = {
  user: 'USER',
  admin: 'ADMIN',
  superadmin: 'SUPERADMIN',
  monitor: 'MONITOR',
} as const satisfies Record<NonNullable<UserRecord['role']>, UserRoleV2>;

/** The user; null when there is none that the caller may see. */
async function findUserV2({ ctx, caller }: GraphqlContext, userId: string) {
  return isUuid(userId) ? findUser(ctx.lookups, caller, { userId }) : null;
}

/** The same where many are asked for one by one. */
export const loadUserV2 = batched<string, UserRecord>(async (userIds, { ctx, caller }) => {
  const users = await listUsers(ctx.sql, caller, { userIds });
  return new Map(users.map((user) => [user.uuid, user]));
});

const usersOfDomain = nestedV2List<UserRecord, DomainV2usersArgs>({
  idOf,
  load: ({ ctx, caller }, names, args, wish) =>
    listUsersOfDomains(ctx.sql, caller, names, args, wish),
});

const usersOfProject = nestedV2List<UserRecord, ProjectV2usersArgs>({
  idOf,
  load: ({ ctx, caller }, ids, args, wish) => listUsersOfProjects(ctx.sql, caller, ids, args, wish),
});

export const userV2Graphql: GraphqlModule = {
  typeDefs: v2TypeDefs,
  nodes: { UserV2: findUserV2 },
  resolvers: {
    Query: {
      adminUsersV2: (_root, args, { ctx, caller }, info) => {
        requireAdministrator(caller);
        return v2ListField(args, info, {
          idOf,
          load: (wish) => listUsersV2(ctx.sql, caller, args, wish),
        });
      },
      adminUserV2: (_root, { userId }, context) => {
        requireAdministrator(context.caller);
        return findUserV2(context, userId);
      },
      domainUsersV2: (_root, args, { ctx, caller }, info) =>
        v2ListField(args, info, {
          idOf,
          load: (wish) => listUsersOfDomain(ctx.sql, caller, args.scope.domainName, args, wish),
        }),
      projectUsersV2: (_root, args, context, info) =>
        v2ListField(args, info, {
          idOf,
          load: (wish) => listUsersOfProject(context, args.scope.projectId, args, wish),
        }),
      myUserV2: (_root, _args, context) => findUserV2(context, context.caller.userId),
    },
    Mutation: userMutations,
    UserV2: {
      id: ({ uuid }) => globalId('UserV2', uuid),
      basicInfo: (user) => ({
        username: user.username,
        email: user.email,
        fullName: user.full_name,
        description: user.description,
        integrationName: user.integration_id,
      }),
      status: (user) => ({
        status: STATUSES[user.status],
        statusInfo: user.status_info,
        needPasswordChange: user.need_password_change,
      }),
      organization: (user) => ({
        domainName: user.domain_name,
        role: user.role && ROLES[user.role],
        resourcePolicy: user.resource_policy,
        mainAccessKey: user.main_access_key,
      }),
      security: (user) => ({
        allowedClientIp: user.allowed_client_ip,
        totpActivated: user.totp_activated,
        totpActivatedAt: user.totp_activated_at,
        sudoSessionEnabled: user.sudo_session_enabled,
      }),
      container: (user) => ({
        containerUid: user.container_uid,
        containerMainGid: user.container_main_gid,
        containerGids: user.container_gids,
      }),
      timestamps: (user) => ({ createdAt: user.created_at, modifiedAt: user.modified_at }),
      domain: ({ domain_name: name }, _args, context) =>
        name === null ? null : loadDomain(context, name),
    },
    DomainV2: {
      users: ({ name }, args, context, info) => usersOfDomain(context, name, args, info),
    },
    ProjectV2: {
      users: ({ id }, args, context, info) => usersOfProject(context, id, args, info),
    },
  },
};
