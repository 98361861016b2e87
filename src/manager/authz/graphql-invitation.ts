/** GraphQL fields about invitations to roles. */
import { globalId } from '../graphql/global-id.ts';
import type { GraphqlModule } from '../graphql/module.ts';
import { v2Mutation } from '../graphql/mutation.ts';
import { v2ListField } from '../graphql/v2-list.ts';
import { loadUserV2 } from '../user/v2-graphql.ts';
import { loadRole } from './graphql.ts';
import { answerInvitation, cancelInvitation, inviteToRole } from './invitations.ts';
import * as lists from './lists.ts';
import { invitationTypeDefs } from './schema-invitation.ts';

const idOf = ({ id }: { readonly id: string }): string => id;

const STATES: Readonly<Record<string, 'PENDING' | 'ACCEPTED' | 'REJECTED' | 'CANCELED'>> = {
  pending: 'PENDING',
  accepted: 'ACCEPTED',
  rejected: 'REJECTED',
  canceled: 'CANCELED',
};

function stateName(stored: string) {
  const name = STATES[stored];
  if (name === undefined) throw new Error(`an invitation has the unknown state '${stored}'`);
  return name;
}

export const roleInvitationsGraphql: GraphqlModule = {
  typeDefs: invitationTypeDefs,
  resolvers: {
    Query: {
      myRoleInvitations: (_root, args, context, info) =>
        v2ListField(args, info, {
          idOf,
          load: (wish) => lists.listOwnInvitations(context, 'inviteeId', args, wish),
        }),
      mySentRoleInvitations: (_root, args, context, info) =>
        v2ListField(args, info, {
          idOf,
          load: (wish) => lists.listOwnInvitations(context, 'inviterId', args, wish),
        }),
      adminRoleInvitations: (_root, args, context, info) =>
        v2ListField(args, info, {
          idOf,
          load: (wish) => lists.listInvitations(context, args, wish),
        }),
      roleScopedRoleInvitations: (_root, args, context, info) =>
        v2ListField(args, info, {
          idOf,
          load: (wish) => lists.listInvitationsOfRole(context, args.roleId, args, wish),
        }),
    },
    Mutation: {
      createRoleInvitation: (_root, { input }, context) =>
        v2Mutation(context, 'anybody', async () => ({
          items: await inviteToRole(context, input.roleId, input.emails),
        })),
      acceptRoleInvitation: (_root, { input }, context) =>
        v2Mutation(context, 'anybody', () =>
          answerInvitation(context, input.invitationId, 'accepted'),
        ),
      rejectRoleInvitation: (_root, { input }, context) =>
        v2Mutation(context, 'anybody', () =>
          answerInvitation(context, input.invitationId, 'rejected'),
        ),
      adminCancelRoleInvitation: (_root, { input }, context) =>
        v2Mutation(context, 'superadmin', () => cancelInvitation(context, input.invitationId)),
    },
    RoleInvitation: {
      id: ({ id }) => globalId('RoleInvitation', id),
      inviterUserId: (row) => row.inviter_user_id,
      inviteeUserId: (row) => row.invitee_user_id,
      roleId: (row) => row.role_id,
      state: ({ state }) => stateName(state),
      createdAt: (row) => row.created_at,
      updatedAt: (row) => row.updated_at,
      inviter: (row, _args, context) =>
        row.inviter_user_id === null ? null : loadUserV2(context, row.inviter_user_id),
      invitee: (row, _args, context) => loadUserV2(context, row.invitee_user_id),
      role: (row, _args, context) => loadRole(context, row.role_id),
    },
  },
};
