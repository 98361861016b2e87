/**
 * Sharing: owners of personal folders invite others, administrators give members of a project
 * permissions of their own on its folders, and everybody may leave what was shared with them.
 */
import type { Sql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import { change } from '../audit/service.ts';
import type { Db } from '../db/connect.ts';
import type { Caller } from '../http/route.ts';
import { requireHostPermission } from './hosts.ts';
import { FOLDER_ENTITY, type FolderChange } from './manage.ts';
import { isNameTaken, lockFolder } from './manage-store.ts';
import { type FolderPermission, isAutomounted } from './rules.ts';
import { type FolderRecord, findFolder, parseFolderId } from './service.ts';
import * as store from './sharing-store.ts';

/** Largest number of invitations or grants in one answer. */
const MAX_LISTED = 10_000;

/** Tenants do not see each other's users; superadmins see all. */
const peopleWithin = (caller: Caller): string | null =>
  caller.isSuperadmin ? null : caller.domainName;

async function findSharable(by: FolderChange, nameOrId: string): Promise<FolderRecord> {
  const { ctx, caller } = by;
  return findFolder(ctx.sql, caller, nameOrId, 'assign_permission_to_others', 'updatable');
}

/**
 * Invites users to a personal folder. @returns the e-mail addresses of those who were invited now.
 * @throws BackendError GenericForbidden for automounted and project folders, UserNotFound when nobody
 *   is known, VFolderGrantAlreadyExists when all have the folder already.
 */
export async function invite(
  by: FolderChange,
  nameOrId: string,
  wanted: { readonly emails: readonly string[]; readonly permission: FolderPermission },
): Promise<string[]> {
  const { ctx, caller } = by;
  const folder = await findSharable(by, nameOrId);
  if (isAutomounted(folder.name)) {
    throw new BackendError(
      'GenericForbidden',
      'Folders whose name begins with a dot are mounted automatically and cannot be shared.',
    );
  }
  if (folder.ownership_type === 'group') {
    throw new BackendError(
      'GenericForbidden',
      'A folder of a project is shared with its members; use share instead of invite.',
    );
  }
  await requireHostPermission(ctx.sql, caller, folder.host, 'invite-others');
  return change(by, async (tx, note) => {
    await lockFolder(tx, folder.id);
    const known = await store.selectPeople(tx, wanted.emails, peopleWithin(caller));
    const others = known.filter(({ uuid }) => uuid !== folder.user);
    if (others.length === 0) {
      throw new BackendError(
        'UserNotFound',
        `None of these is an active user you can invite: ${wanted.emails.join(', ')}.`,
      );
    }
    const ids = others.map(({ uuid }) => uuid);
    const grantees = await store.selectGrantees(tx, folder.id, ids);
    const invitees = others.filter(({ uuid }) => !grantees.has(uuid)).map(({ email }) => email);
    if (invitees.length === 0) {
      throw new BackendError(
        'VFolderGrantAlreadyExists',
        'Already invited: the folder is shared with all of them.',
      );
    }
    const made = await store.insertInvitations(tx, {
      folderId: folder.id,
      inviter: caller.email,
      invitees,
      permission: wanted.permission,
    });
    for (const { id, invitee } of made) {
      const after = { vfolder: folder.id, invitee, permission: wanted.permission };
      note({ entityType: 'vfolder_invitation', entityId: id, operation: 'create', after });
    }
    return made.map(({ invitee }) => invitee);
  });
}

export const listInvitations = (sql: Db, caller: Caller, role: 'invitee' | 'inviter') =>
  store.selectPendingInvitations(sql, role, caller.email, MAX_LISTED);

/** Runs a change of a pending invitation of which the caller is a side. */
function changeInvitation(
  by: FolderChange,
  id: string,
  run: (
    tx: Db,
    invitation: store.InvitationRecord,
  ) => Promise<{ readonly state?: string; readonly permission?: string }>,
): Promise<void> {
  return change(by, async (tx, note) => {
    const uuid = parseFolderId(id);
    const invitation = uuid === null ? null : await store.lockInvitation(tx, uuid, by.caller.email);
    if (invitation === null) {
      throw new BackendError(
        'VFolderInvitationNotFound',
        `There is no pending invitation '${id}' to or from you.`,
      );
    }
    const after = await run(tx, invitation);
    const { state, permission } = invitation;
    note({
      entityType: 'vfolder_invitation',
      entityId: invitation.id,
      operation: 'update',
      before: { state, permission },
      after,
    });
  });
}

/**
 * Accepts an invitation to the caller.
 * @throws BackendError VFolderInvitationNotFound; VFolderAlreadyExists when the caller uses a folder
 *   of that name; VFolderGone when the folder is in the trash or beyond.
 */
export function acceptInvitation(by: FolderChange, id: string): Promise<void> {
  const { caller } = by;
  return changeInvitation(by, id, async (tx, invitation) => {
    if (invitation.invitee !== caller.email) {
      throw new BackendError('VFolderInvitationNotFound', 'This invitation is to somebody else.');
    }
    await lockFolder(tx, invitation.vfolder);
    if (invitation.vfolder_status.startsWith('delete-')) {
      throw new BackendError('VFolderGone', `Folder '${invitation.vfolder_name}' was deleted.`);
    }
    const owner = { kind: 'user', userId: caller.userId } as const;
    if (await isNameTaken(tx, invitation.vfolder_name, caller.userId, owner, invitation.vfolder)) {
      throw new BackendError(
        'VFolderAlreadyExists',
        `You use a folder named '${invitation.vfolder_name}' already. Rename it, then accept again.`,
      );
    }
    const permission = invitation.permission ?? 'rw';
    await store.insertGrant(tx, invitation.vfolder, caller.userId, permission);
    await store.updateInvitation(tx, invitation.id, { state: 'accepted' });
    return { state: 'accepted' };
  });
}

/** Withdraws an invitation of the caller, or rejects one to them. */
export function dropInvitation(by: FolderChange, id: string): Promise<void> {
  return changeInvitation(by, id, async (tx, invitation) => {
    const state = invitation.inviter === by.caller.email ? 'canceled' : 'rejected';
    await store.updateInvitation(tx, invitation.id, { state });
    return { state };
  });
}

/** Changes what a pending invitation of the caller offers. */
export function changeInvitedPermission(
  by: FolderChange,
  id: string,
  permission: FolderPermission,
): Promise<void> {
  return changeInvitation(by, id, async (tx, invitation) => {
    if (invitation.inviter !== by.caller.email) {
      throw new BackendError('GenericForbidden', 'Only who invited may change the permission.');
    }
    await store.updateInvitation(tx, invitation.id, { permission });
    return { permission };
  });
}

/**
 * Gives up a folder that was shared with the caller, or, for superadmins, with the named user.
 * @throws BackendError VFolderNotFound when it is not shared with them; InvalidAPIParameters for
 *   folders of projects.
 */
export async function leaveFolder(
  by: FolderChange,
  nameOrId: string,
  sharedUserId: string | null,
): Promise<void> {
  const { ctx, caller } = by;
  const folder = await findFolder(ctx.sql, caller, nameOrId, 'read_attribute');
  if (folder.ownership_type === 'group') {
    throw new BackendError(
      'InvalidAPIParameters',
      'A folder of a project cannot be left; who leaves the project leaves its folders.',
    );
  }
  const leaving = sharedUserId ?? caller.userId;
  if (leaving !== caller.userId && !caller.isSuperadmin && !folder.is_mine) {
    throw new BackendError('InsufficientPrivilege', 'You may only leave folders for yourself.');
  }
  await change(by, async (tx, note) => {
    await lockFolder(tx, folder.id);
    if (!(await store.deleteGrant(tx, folder.id, leaving))) {
      throw new BackendError(
        'VFolderNotFound',
        folder.is_mine && leaving === caller.userId
          ? `Folder '${folder.name}' is your own; delete it instead of leaving it.`
          : `Folder '${folder.name}' is not shared with that user.`,
        { data: nameOrId },
      );
    }
    const before = { user: leaving };
    note({ entityType: FOLDER_ENTITY, entityId: folder.id, operation: 'disassociate', before });
  });
}

async function findProjectFolder(by: FolderChange, nameOrId: string) {
  const folder = await findSharable(by, nameOrId);
  const { group: projectId } = folder;
  if (projectId === null) {
    throw new BackendError(
      'VFolderNotFound',
      'Only folders of projects are shared directly; use invite for a personal one.',
      { data: nameOrId },
    );
  }
  const { ctx, caller } = by;
  const permission = 'set-user-specific-permission';
  await requireHostPermission(ctx.sql, caller, folder.host, permission, projectId);
  return { folder, projectId };
}

async function requireMembers(
  tx: Db,
  emails: readonly string[],
  projectId: string,
): Promise<store.Person[]> {
  const members = await store.selectMembers(tx, emails, projectId);
  const stranger = emails.find((email) => !members.some((member) => member.email === email));
  if (stranger === undefined && members.length > 0) return members;
  throw new BackendError(
    'UserNotFound',
    `'${stranger ?? ''}' does not belong to the folder's project. Name members of it.`,
  );
}

/** Gives members of a project a permission of their own on a folder of it. @returns their e-mail. */
export async function shareFolder(
  by: FolderChange,
  nameOrId: string,
  wanted: { readonly emails: readonly string[]; readonly permission: FolderPermission },
): Promise<string[]> {
  const { folder, projectId } = await findProjectFolder(by, nameOrId);
  return change(by, async (tx, note) => {
    await lockFolder(tx, folder.id);
    const members = await requireMembers(tx, wanted.emails, projectId);
    for (const { uuid } of members) {
      await store.insertGrant(tx, folder.id, uuid, wanted.permission);
    }
    const after = { users: members.map(({ uuid }) => uuid), permission: wanted.permission };
    note({ entityType: FOLDER_ENTITY, entityId: folder.id, operation: 'associate', after });
    return members.map(({ email }) => email);
  });
}

/** Takes such permissions away: the folder's own counts again. @returns whose. */
export async function unshareFolder(
  by: FolderChange,
  nameOrId: string,
  emails: readonly string[],
): Promise<string[]> {
  const { folder, projectId } = await findProjectFolder(by, nameOrId);
  return change(by, async (tx, note) => {
    await lockFolder(tx, folder.id);
    const members = await requireMembers(tx, emails, projectId);
    for (const { uuid } of members) await store.deleteGrant(tx, folder.id, uuid);
    const before = { users: members.map(({ uuid }) => uuid) };
    note({ entityType: FOLDER_ENTITY, entityId: folder.id, operation: 'disassociate', before });
    return members.map(({ email }) => email);
  });
}

/** The permissions of users on one folder or on all, as far as the caller may know. */
export const listGrants = (sql: Db, caller: Caller, folderId: string | null) =>
  store.selectGrants(sql, caller, folderId, MAX_LISTED);

/** One page of them. @throws BackendError InvalidAPIParameters for a wrong filter or order. */
export const listGrantPage = (
  sql: Sql,
  caller: Caller,
  page: Parameters<typeof store.selectGrantPage>[2],
) => store.selectGrantPage(sql, caller, page);

/**
 * Changes or, with null, takes away what users were granted on a folder.
 * @throws BackendError as `findFolder`; ObjectNotFound naming a user without a grant.
 */
export async function changeGrants(
  by: FolderChange,
  folderId: string,
  wanted: readonly { readonly userId: string; readonly permission: FolderPermission | null }[],
): Promise<void> {
  const folder = await findSharable(by, folderId);
  await change(by, async (tx, note) => {
    await lockFolder(tx, folder.id);
    for (const { userId, permission } of wanted) {
      const found =
        permission === null
          ? await store.deleteGrant(tx, folder.id, userId)
          : await store.updateGrant(tx, folder.id, userId, permission);
      if (!found) {
        throw new BackendError(
          'ObjectNotFound',
          `Folder '${folder.name}' is not shared with user ${userId}.`,
        );
      }
    }
    note({
      entityType: FOLDER_ENTITY,
      entityId: folder.id,
      operation: 'update',
      after: { grants: wanted },
    });
  });
}
