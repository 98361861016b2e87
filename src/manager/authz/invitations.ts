/** Invitations to roles: who runs a scope offers its roles, the invited decide. */
import { BackendError } from '../../common/errors.ts';
import { type ChangeContext, change } from '../audit/service.ts';
import type { RoleInvitationRow } from '../db/rows.generated.ts';
import * as store from './invitation-store.ts';
import { insertAssignments } from './role-store.ts';
import { checkCount, lockedRole, scopesOfRole } from './roles.ts';
import { refusedAlways } from './service.ts';

const ENTITY = 'role-invitation';

/**
 * Invites active users to a role. Addresses of nobody, of people who have the role and of those whom
 * an invitation awaits are passed over: the answer does not tell who exists. Roles of a domain and
 * its projects are offered to people of that domain; superadmins may offer them to others.
 *
 * Whoever invites must be allowed to assign roles in every scope that the role reaches, so that
 * nobody hands out more than the own scope.
 * @throws BackendError RoleNotFound also for a role that is not active, NotEnoughPermission.
 */
export async function inviteToRole(
  by: ChangeContext,
  roleId: string,
  emails: readonly string[],
): Promise<RoleInvitationRow[]> {
  checkCount(emails);
  // Without a role of that id there is no scope either, in which anything would be allowed.
  const scopes = await scopesOfRole(by.ctx.sql, roleId);
  const targets = scopes.length > 0 ? scopes : [{ type: 'role' as const, id: roleId }];
  for (const { type, id } of targets) {
    const refused = await refusedAlways(by, 'create', 'role:assignment', { type, ids: [id] });
    if (refused.size === 0) continue;
    // Its reason would tell where the role reaches.
    throw new BackendError(
      'NotEnoughPermission',
      `None of your roles lets you invite people to the role '${roleId}'.`,
    );
  }
  return change(by, async (tx, note) => {
    const role = await lockedRole(tx, roleId);
    if (role.status !== 'active') {
      throw new BackendError('RoleNotFound', `Role '${role.name}' is ${role.status}.`);
    }
    const { userId: inviterId, isSuperadmin } = by.caller;
    const anywhere = isSuperadmin;
    const inviteeIds = await store.selectInvitees(tx, role.id, emails, { anywhere });
    const rows = await store.insertInvitations(tx, { roleId: role.id, inviterId, inviteeIds });
    for (const after of rows) {
      note({ entityType: ENTITY, entityId: after.id, operation: 'create', after });
    }
    return rows;
  });
}

type Answer = 'accepted' | 'rejected' | 'canceled';
const VERBS: Readonly<Record<Answer, string>> = {
  accepted: 'accept',
  rejected: 'reject',
  canceled: 'cancel',
};

function settle(
  by: ChangeContext,
  id: string,
  state: Answer,
  inviteeId: string | null,
): Promise<RoleInvitationRow> {
  return change(by, async (tx, note) => {
    const before = await store.lockInvitation(tx, id, inviteeId);
    if (before === null) {
      throw new BackendError('RoleInvitationNotFound', `There is no invitation ${id} of yours.`);
    }
    if (before.state !== 'pending') {
      if (before.state === state && state !== 'accepted') return before;
      throw new BackendError(
        'RoleInvitationInvalidState',
        `Cannot ${VERBS[state]} it: the invitation is ${before.state} already.`,
      );
    }
    if (state === 'accepted' && !(await store.mayHaveRole(tx, before))) {
      throw new BackendError(
        'RoleInvitationInvalidState',
        'Cannot accept it: the role is of a domain that is not yours any more.',
      );
    }
    const [after] = await store.updateInvitation(tx, id, state);
    if (!after) throw new Error('a locked row is gone');
    if (state === 'accepted') {
      const { role_id: roleId, invitee_user_id: userId, inviter_user_id: grantedBy } = before;
      await insertAssignments(tx, { roleId, userIds: [userId], grantedBy });
      note({
        entityType: 'role',
        entityId: roleId,
        operation: 'associate',
        after: { user_id: userId, granted_by: grantedBy },
      });
    }
    note({ entityType: ENTITY, entityId: before.id, operation: 'update', before, after });
    return after;
  });
}

/**
 * Takes or declines an invitation of the caller's; taking it gives the role.
 * @throws BackendError RoleInvitationNotFound also for one of somebody else,
 *   RoleInvitationInvalidState when it waits no longer.
 */
export const answerInvitation = (
  by: ChangeContext,
  id: string,
  state: 'accepted' | 'rejected',
): Promise<RoleInvitationRow> => settle(by, id, state, by.caller.userId);

/** Withdraws anybody's invitation; for superadmins. @throws BackendError as `answerInvitation`. */
export const cancelInvitation = (by: ChangeContext, id: string): Promise<RoleInvitationRow> =>
  settle(by, id, 'canceled', null);
