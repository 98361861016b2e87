/** GraphQL fields about sign-ins and their history. */
import { isUuid } from '../../common/ids.ts';
import { loadDomain } from '../domain/v2-graphql.ts';
import type { GraphqlContext } from '../graphql/context.ts';
import { globalId } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { v2Mutation } from '../graphql/mutation.ts';
import type { LoginAttemptResult, LoginSessionStatus } from '../graphql/resolvers.generated.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import { v2ListField } from '../graphql/v2-list.ts';
import { loadUserV2 } from '../user/v2-graphql.ts';
import { endLoginSession, unblockAccount } from './login-list.ts';
import {
  selectLoginAttempt,
  selectLoginHistory,
  selectLoginSession,
  selectLoginSessions,
} from './login-list-store.ts';
import { RESULTS, typeDefs } from './login-schema.ts';

const STATUSES = ['ACTIVE', 'INVALIDATED', 'REVOKED'] as const satisfies LoginSessionStatus[];

/** The member of an enum for what is stored. @throws Error for a word that the schema lacks. */
function memberOf<Member extends string>(members: readonly Member[], stored: string): Member {
  const member = members.find((known) => known.toLowerCase() === stored);
  if (member === undefined) throw new Error(`a sign-in has '${stored}', which the schema lacks`);
  return member;
}

/** Superadmins find everybody's, others their own. */
const ownerOf = ({ caller }: GraphqlContext): string | null =>
  caller.isSuperadmin ? null : caller.userId;

const idOf = ({ id }: { readonly id: string }): string => id;

const mutations: NonNullable<GraphqlModule['resolvers']['Mutation']> = {
  adminRevokeLoginSession: (_root, { sessionId }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      await endLoginSession(context, sessionId, null);
      return { success: true };
    }),
  myRevokeLoginSession: (_root, { sessionId }, context) =>
    v2Mutation(context, 'anybody', async () => {
      await endLoginSession(context, sessionId, context.caller.userId);
      return { success: true };
    }),
  adminUnblockUser: (_root, { username }, context) =>
    v2Mutation(context, 'superadmin', async () => {
      await unblockAccount(context, username);
      return { success: true };
    }),
};

export const loginGraphql: GraphqlModule = {
  typeDefs,
  nodes: {
    LoginSessionV2: async (context, id) =>
      isUuid(id) ? selectLoginSession(context.ctx.sql, ownerOf(context), id) : null,
    LoginHistoryV2: async (context, id) =>
      isUuid(id) ? selectLoginAttempt(context.ctx.sql, ownerOf(context), id) : null,
  },
  resolvers: {
    Query: {
      adminLoginSessionsV2: (_root, args, { ctx, caller }, info) => {
        requireAdministrator(caller);
        return v2ListField(args, info, {
          idOf,
          load: (wish) => selectLoginSessions(ctx.sql, null, args, wish),
        });
      },
      myLoginSessionsV2: (_root, args, { ctx, caller }, info) =>
        v2ListField(args, info, {
          idOf,
          load: (wish) => selectLoginSessions(ctx.sql, caller.userId, args, wish),
        }),
      adminLoginHistoryV2: (_root, args, { ctx, caller }, info) => {
        requireAdministrator(caller);
        return v2ListField(args, info, {
          idOf,
          load: (wish) => selectLoginHistory(ctx.sql, null, args, wish),
        });
      },
      myLoginHistoryV2: (_root, args, { ctx, caller }, info) =>
        v2ListField(args, info, {
          idOf,
          load: (wish) => selectLoginHistory(ctx.sql, caller.userId, args, wish),
        }),
    },
    Mutation: mutations,
    LoginSessionV2: {
      id: ({ id }) => globalId('LoginSessionV2', id),
      userId: (row) => row.user_id,
      accessKey: (row) => row.access_key,
      status: ({ status }) => memberOf(STATUSES, status),
      createdAt: (row) => row.created_at,
      lastAccessedAt: (row) => row.last_accessed_at,
      invalidatedAt: (row) => row.invalidated_at,
      user: (row, _args, context) => loadUserV2(context, row.user_id),
    },
    LoginHistoryV2: {
      id: ({ id }) => globalId('LoginHistoryV2', id),
      userId: (row) => row.user_id,
      domainName: (row) => row.domain_name,
      result: ({ result }): LoginAttemptResult => memberOf(RESULTS, result),
      failReason: (row) => row.fail_reason,
      createdAt: (row) => row.created_at,
      user: (row, _args, context) => loadUserV2(context, row.user_id),
      domain: (row, _args, context) => loadDomain(context, row.domain_name),
    },
  },
};
