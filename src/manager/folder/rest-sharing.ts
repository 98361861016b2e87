/** Operations that share folders: invitations, permissions of single users, leaving. */
import * as v from 'valibot';
import { storableText } from '../auth/text.ts';
import type { ManagerContext } from '../context.ts';
import { route } from '../http/declare.ts';
import { aliased, uuidText } from '../http/parameters.ts';
import type { Route } from '../http/route.ts';
import {
  byOf,
  changing,
  folderIdField,
  hexId,
  MAX_TEXT,
  MSG_DONE,
  ofFolder,
  permissionField,
  reading,
  timeText,
} from './rest-shape.ts';
import { parseFolderId } from './service.ts';
import * as sharing from './sharing.ts';

/** Most people in one request. */
const MAX_PEOPLE = 1000;

const emails = v.pipe(v.array(storableText(MAX_TEXT)), v.minLength(1), v.maxLength(MAX_PEOPLE));
const permission = v.nullish(permissionField, 'rw');

const inviteBody = aliased(
  { permission: ['perm'], emails: ['user_ids', 'userIDs'] },
  v.object({ permission, emails }),
);
const shareBody = aliased({ permission: ['perm'] }, v.object({ permission, emails }));
const unshareBody = v.object({ emails });
const leaveBody = aliased(
  { shared_user_uuid: ['sharedUserUuid'] },
  v.object({ shared_user_uuid: v.nullish(uuidText, null) }),
);
const invitationBody = v.object({ inv_id: storableText(MAX_TEXT) });
const invitedBody = aliased({ permission: ['perm'] }, v.object({ permission: permissionField }));
const sharedQuery = aliased(
  { vfolder_id: ['vfolderId'] },
  v.object({ vfolder_id: v.optional(folderIdField) }),
);
const grantBody = aliased(
  { permission: ['perm'] },
  v.object({
    vfolder: folderIdField,
    user: uuidText,
    permission: v.nullish(permissionField, null),
  }),
);
const grantsBody = aliased(
  { vfolder_id: ['vfolder'], user_perm_list: ['user_perm', 'userPermList'] },
  v.object({
    vfolder_id: folderIdField,
    user_perm_list: v.pipe(
      v.array(v.object({ user_id: uuidText, perm: v.nullish(permissionField, null) })),
      v.maxLength(MAX_PEOPLE),
    ),
  }),
);

type Invitation = Awaited<ReturnType<typeof sharing.listInvitations>>[number];

const invitationItem = (invitation: Invitation) => ({
  id: invitation.id,
  inviter: invitation.inviter ?? '',
  invitee: invitation.invitee,
  perm: invitation.permission ?? 'rw',
  state: invitation.state,
  created_at: timeText(invitation.created_at),
  modified_at: invitation.modified_at === null ? null : timeText(invitation.modified_at),
  vfolder_id: hexId(invitation.vfolder),
  vfolder_name: invitation.vfolder_name,
});

function invitationRoutes(ctx: ManagerContext): Route[] {
  const list = (path: string, summary: string, role: 'invitee' | 'inviter') =>
    route({ ...reading('GET', path, summary), takes: {} }, async ({ caller }) => {
      const found = await sharing.listInvitations(ctx.sql, caller, role);
      return { json: { invitations: found.map(invitationItem) } };
    });
  const drop = (method: 'POST' | 'DELETE') =>
    route(
      {
        ...changing(method, '/invitations/delete', 'Reject or withdraw an invitation.'),
        takes: { body: invitationBody },
      },
      async (request, { body: { inv_id: id } }) => {
        await sharing.dropInvitation(byOf(ctx, request), id);
        return MSG_DONE;
      },
    );
  return [
    list('/invitations/list', 'List invitations one has got.', 'invitee'),
    list('/invitations/list-sent', 'List invitations one has sent.', 'inviter'),
    list('/invitations/list_sent', 'List invitations one has sent.', 'inviter'),
    drop('POST'),
    drop('DELETE'),
    route(
      {
        ...changing('POST', '/invitations/accept', 'Accept an invitation.'),
        takes: { body: invitationBody },
      },
      async (request, { body: { inv_id: id } }) => {
        await sharing.acceptInvitation(byOf(ctx, request), id);
        return MSG_DONE;
      },
    ),
    route(
      {
        ...changing('POST', '/invitations/update/:inv_id', 'Change what an invitation offers.'),
        takes: { params: v.object({ inv_id: v.string() }), body: invitedBody },
      },
      async (request, { params, body }) => {
        const by = byOf(ctx, request);
        await sharing.changeInvitedPermission(by, params.inv_id, body.permission);
        return MSG_DONE;
      },
    ),
  ];
}

function grantRoutes(ctx: ManagerContext): Route[] {
  return [
    route(
      {
        ...reading('GET', '/_/shared', 'List with whom folders are shared.'),
        takes: { query: sharedQuery },
      },
      async ({ caller }, { query: { vfolder_id: given } }) => {
        const id = given === undefined ? null : parseFolderId(given);
        const grants = await sharing.listGrants(ctx.sql, caller, id);
        const shared = grants.map((grant) => ({
          vfolder_id: grant.vfolder_id,
          vfolder_name: grant.vfolder_name,
          status: grant.status,
          owner: grant.owner,
          type: grant.type,
          shared_to: { uuid: grant.user, email: grant.email },
          perm: grant.permission,
        }));
        return { json: { shared } };
      },
    ),
    route(
      {
        ...changing('POST', '/_/shared', 'Change or take away what a user may do with a folder.'),
        takes: { body: grantBody },
      },
      async (request, { body: { vfolder, user: userId, permission: perm } }) => {
        const wanted = [{ userId, permission: perm }];
        await sharing.changeGrants(byOf(ctx, request), vfolder, wanted);
        return MSG_DONE;
      },
    ),
    route(
      {
        ...changing('POST', '/_/sharing', 'Change what several users may do with a folder.'),
        takes: { body: grantsBody },
      },
      async (request, { body: { vfolder_id: id, user_perm_list: list } }) => {
        const wanted = list.map(({ user_id: userId, perm }) => ({ userId, permission: perm }));
        await sharing.changeGrants(byOf(ctx, request), id, wanted);
        return { status: 201, json: {} };
      },
    ),
  ];
}

function shareRoutes(ctx: ManagerContext): Route[] {
  const unshare = (method: 'POST' | 'DELETE') =>
    route(
      {
        ...changing(method, '/:name/unshare', "Take away members' own permissions."),
        auth: 'admin',
        takes: { ...ofFolder, body: unshareBody },
      },
      async (request, { params, body }) => ({
        json: {
          unshared_emails: await sharing.unshareFolder(
            byOf(ctx, request),
            params.name,
            body.emails,
          ),
        },
      }),
    );
  return [
    route(
      {
        ...changing('POST', '/:name/share', "Give members permissions on a project's folder."),
        auth: 'admin',
        takes: { ...ofFolder, body: shareBody },
      },
      async (request, { params, body }) => {
        const shared = await sharing.shareFolder(byOf(ctx, request), params.name, body);
        return { status: 201, json: { shared_emails: shared } };
      },
    ),
    unshare('POST'),
    unshare('DELETE'),
  ];
}

export const folderSharingRoutes = (ctx: ManagerContext): Route[] => [
  ...invitationRoutes(ctx),
  ...grantRoutes(ctx),
  ...shareRoutes(ctx),
  route(
    {
      ...changing('POST', '/:name/invite', 'Invite users to a folder.'),
      takes: { ...ofFolder, body: inviteBody },
    },
    async (request, { params, body }) => {
      const invited = await sharing.invite(byOf(ctx, request), params.name, body);
      return { status: 201, json: { invited_ids: invited } };
    },
  ),
  route(
    {
      ...changing('POST', '/:name/leave', 'Give up a folder that is shared with one.'),
      takes: { ...ofFolder, body: leaveBody },
    },
    async (request, { params, body: { shared_user_uuid: userId } }) => {
      await sharing.leaveFolder(byOf(ctx, request), params.name, userId);
      return MSG_DONE;
    },
  ),
];
