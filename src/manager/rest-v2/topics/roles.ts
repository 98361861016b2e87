/** Roles, what they allow, who has them, whom they are offered to, and presets of them. */
import * as v from 'valibot';
import { uuidText } from '../../http/parameters.ts';
import { admin, type Change, name, optional, type Topic, user } from '../declare.ts';

const byId = v.object({ id: uuidText });
const permission = v.looseObject({
  role_id: uuidText,
  scope_type: name,
  scope_id: name,
  entity_type: name,
  operation: name,
});
const permissions = v.pipe(v.array(permission), v.maxLength(1000));
const userIds = v.pipe(v.array(uuidText), v.maxLength(1000));

const ROLES: readonly Change[] = [
  {
    ...{ ...admin, method: 'POST', path: 'rbac/roles', mutation: 'adminCreateRole' },
    what: 'Make a role.',
    body: v.looseObject({ name, description: optional }),
    under: 'role',
  },
  {
    ...{ ...admin, method: 'PATCH', path: 'rbac/roles/:role_id', mutation: 'adminUpdateRole' },
    what: 'Change a role.',
    body: v.looseObject({ name: optional, description: optional }),
    given: ({ role_id: id }, input) => ({ input: { ...input, id } }),
    under: 'role',
  },
  {
    ...{ ...admin, method: 'POST', path: 'rbac/roles/delete', mutation: 'adminDeleteRole' },
    what: 'Mark a role as deleted.',
    body: byId,
  },
  {
    ...{ ...admin, method: 'POST', path: 'rbac/roles/purge', mutation: 'adminPurgeRole' },
    what: 'Remove a role.',
    body: byId,
  },
];

const PERMISSIONS: readonly Change[] = [
  {
    ...{ ...admin, method: 'POST', path: 'rbac/permissions', mutation: 'adminCreatePermission' },
    what: 'Let a role do something.',
    body: permission,
  },
  {
    ...{ ...admin, method: 'PATCH', path: 'rbac/permissions', mutation: 'adminUpdatePermission' },
    what: 'Change what a role may do.',
    body: v.looseObject({ id: uuidText }),
  },
  {
    ...{ ...admin, method: 'POST', path: 'rbac/permissions/delete' },
    mutation: 'adminDeletePermission',
    what: 'Take a permission from its role.',
    body: byId,
  },
  {
    ...{ ...admin, method: 'POST', path: 'rbac/permissions/bulk-add' },
    mutation: 'adminBulkAddRolePermissions',
    what: 'Let roles do several things.',
    body: v.object({ permissions }),
  },
  {
    ...{ ...admin, method: 'POST', path: 'rbac/permissions/bulk-remove' },
    mutation: 'adminBulkRemoveRolePermissions',
    what: 'Take several permissions from their roles.',
    body: v.object({ permission_ids: userIds }),
  },
  {
    ...{ ...admin, method: 'POST', path: 'rbac/permissions/replace' },
    mutation: 'adminReplaceRolePermissions',
    what: 'Say anew what a role may do.',
    body: v.object({ role_id: uuidText, permissions }),
  },
];

const ASSIGNMENTS: readonly Change[] = [
  {
    ...{ ...admin, method: 'POST', path: 'rbac/assignments', mutation: 'adminAssignRole' },
    what: 'Give somebody a role.',
    body: v.looseObject({ user_id: uuidText, role_id: uuidText }),
  },
  {
    ...{ ...admin, method: 'POST', path: 'rbac/assignments/revoke', mutation: 'adminRevokeRole' },
    what: 'Take a role from somebody.',
    body: v.object({ user_id: uuidText, role_id: uuidText }),
  },
  {
    ...{ ...admin, method: 'POST', path: 'rbac/assignments/bulk-assign' },
    mutation: 'adminBulkAssignRole',
    what: 'Give several people a role.',
    body: v.looseObject({ role_id: uuidText, user_ids: userIds }),
  },
  {
    ...{ ...admin, method: 'POST', path: 'rbac/assignments/bulk-revoke' },
    mutation: 'adminBulkRevokeRole',
    what: 'Take a role from several people.',
    body: v.object({ role_id: uuidText, user_ids: userIds }),
  },
];

const INVITATIONS: readonly Change[] = [
  {
    ...{ ...user, method: 'POST', path: 'role-invitations', mutation: 'createRoleInvitation' },
    what: 'Offer people a role.',
    body: v.object({ role_id: uuidText, emails: v.pipe(v.array(name), v.maxLength(1000)) }),
  },
  ...(['accept', 'reject'] as const).map((answer): Change => {
    const path = `role-invitations/:invitation_id/${answer}`;
    return {
      ...{ ...user, method: 'POST', path, mutation: `${answer}RoleInvitation` },
      what: `Answer the offer of a role: ${answer} it.`,
      given: ({ invitation_id: invitationId }) => ({ input: { invitationId } }),
    };
  }),
  {
    ...{ ...admin, method: 'DELETE', path: 'role-invitations/:invitation_id' },
    mutation: 'adminCancelRoleInvitation',
    what: 'Take the offer of a role back.',
    given: ({ invitation_id: invitationId }) => ({ input: { invitationId } }),
  },
];

const entry = v.object({ entity_type: name, operation: name });
const entries = v.pipe(v.array(entry), v.maxLength(1000));
const presetIds = v.object({ role_preset_ids: userIds });

const PRESETS: readonly Change[] = [
  {
    ...{ ...admin, method: 'POST', path: 'role-presets', mutation: 'adminCreateRolePreset' },
    what: 'Make a preset of roles.',
    body: v.looseObject({ name, scope_type: name, permissions: v.optional(entries, []) }),
  },
  {
    ...{ ...admin, method: 'PATCH', path: 'role-presets/:role_preset_id' },
    mutation: 'adminUpdateRolePreset',
    what: 'Change a preset of roles.',
    body: v.looseObject({ name: optional }),
    given: ({ role_preset_id: rolePresetId }, input) => ({ input: { ...input, rolePresetId } }),
  },
  ...(['delete', 'restore', 'purge'] as const).map((verb): Change => {
    const mutation = {
      delete: 'adminDeleteRolePresets',
      restore: 'adminRestoreRolePresets',
      purge: 'adminPurgeRolePresets',
    }[verb];
    return {
      ...{ ...admin, method: 'POST', path: `role-presets/bulk-${verb}`, mutation },
      what: `Presets of roles: ${verb} them.`,
      body: presetIds,
    };
  }),
  {
    ...{ ...admin, method: 'POST', path: 'role-presets/:role_preset_id/permissions/add' },
    mutation: 'adminBulkAddRolePresetPermissions',
    what: 'Add to what roles of a preset may do.',
    body: v.object({ permissions: entries }),
    given: ({ role_preset_id: rolePresetId }, input) => ({ input: { ...input, rolePresetId } }),
  },
  {
    ...{ ...admin, method: 'POST', path: 'role-presets/permissions/remove' },
    mutation: 'adminBulkRemoveRolePresetPermissions',
    what: 'Take from what roles of presets may do.',
    body: v.object({ permission_preset_ids: userIds }),
  },
];

export const roles: Topic = {
  searches: [
    ['rbac/roles', 'adminRoles', 'superadmin', 'roles'],
    ['rbac/assignments', 'adminRoleAssignments', 'superadmin', 'who has which role'],
    ['rbac/assignments/my', 'myRoles', 'user', 'roles of yours'],
    ['rbac/permissions', 'adminPermissions', 'superadmin', 'what roles may do'],
    ['role-invitations', 'adminRoleInvitations', 'superadmin', 'offers of roles'],
    ['role-invitations/my', 'myRoleInvitations', 'user', 'roles that are offered to you'],
    ['role-invitations/my/sent-search', 'mySentRoleInvitations', 'user', 'roles that you offer'],
    ['role-presets', 'adminRolePresets', 'superadmin', 'presets of roles'],
  ],
  scoped: [
    {
      path: 'rbac/roles/projects/:project_id',
      field: 'projectRoles',
      place: ({ project_id }) => ({ projectId: project_id }),
      what: 'roles of a project',
    },
    {
      path: 'role-invitations/roles/:role_id',
      field: 'roleScopedRoleInvitations',
      place: ({ role_id }) => ({ roleId: role_id }),
      what: 'offers of a role',
    },
    {
      path: 'role-presets/:role_preset_id/permissions',
      field: 'adminRolePreset',
      list: 'permissionPresets',
      auth: 'superadmin',
      place: ({ role_preset_id }) => ({ id: role_preset_id }),
      what: 'what roles of a preset may do',
    },
  ],
  ones: [
    {
      path: 'rbac/roles/:role_id',
      field: 'adminRole',
      auth: 'superadmin',
      place: ({ role_id }) => ({ id: role_id }),
      what: 'a role',
    },
    {
      path: 'role-presets/:role_preset_id',
      field: 'adminRolePreset',
      auth: 'superadmin',
      place: ({ role_preset_id }) => ({ id: role_preset_id }),
      what: 'a preset of roles',
    },
  ],
  changes: [...ROLES, ...PERMISSIONS, ...ASSIGNMENTS, ...INVITATIONS, ...PRESETS],
};
