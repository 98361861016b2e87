/** Reading roles, permissions, who has them, invitations and presets, each within what one may see. */
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import type { RoleRow, UserRoleRow } from '../db/rows.generated.ts';
import type { Listed, PageWish } from '../graphql/page.ts';
import { requireAdministrator } from '../graphql/scope.ts';
import type { V2Query } from '../graphql/v2-filter-store.ts';
import type { Caller } from '../http/route.ts';
import * as store from './list-store.ts';
import { type NamedScope, selectContents, selectScopes } from './scope-store.ts';
import { refusedAlways, requireAlways } from './service.ts';

export {
  selectPermissionsOfPresets as permissionsOfPresets,
  selectPermissionsOfRoles as permissionsOfRoles,
  selectPlacesOfRoles as placesOfRoles,
} from './list-store.ts';

/** Who reads, and with what. */
export interface Reader {
  readonly ctx: Pick<ManagerContext, 'sql'>;
  readonly caller: Caller;
}

/** Every role. @throws BackendError GenericForbidden unless the caller is a superadmin. */
export function listRoles({ ctx, caller }: Reader, query: V2Query, wish: PageWish) {
  requireAdministrator(caller);
  return store.selectRoles(ctx.sql, 'all', query, wish);
}

/** Roles that lie in a project. @throws BackendError NotEnoughPermission. */
export async function listRolesOfProject(
  by: Reader,
  projectId: string,
  query: V2Query,
  wish: PageWish,
): Promise<Listed<RoleRow>> {
  await requireAlways(by, 'read', 'role', { type: 'project', id: projectId });
  return store.selectRoles(by.ctx.sql, { projectId }, query, wish);
}

/** @throws BackendError RoleNotFound; GenericForbidden unless the caller is a superadmin. */
export async function getRole({ ctx, caller }: Reader, id: string): Promise<RoleRow> {
  requireAdministrator(caller);
  const [row] = await store.selectRolesById(ctx.sql, [id]);
  if (!row) throw new BackendError('RoleNotFound', `There is no role ${id}.`);
  return row;
}

/** Roles by id, for what already led to them. */
export async function rolesById(
  { ctx }: Pick<Reader, 'ctx'>,
  ids: readonly string[],
): Promise<Map<string, RoleRow>> {
  const rows = await store.selectRolesById(ctx.sql, ids);
  return new Map(rows.map((row) => [row.id, row]));
}

/** @throws BackendError GenericForbidden unless the caller is a superadmin. */
export function listPermissions({ ctx, caller }: Reader, query: V2Query, wish: PageWish) {
  requireAdministrator(caller);
  return store.selectPermissions(ctx.sql, query, wish);
}

/** Who has which role. @throws BackendError GenericForbidden unless the caller is a superadmin. */
export function listAssignments({ ctx, caller }: Reader, query: V2Query, wish: PageWish) {
  requireAdministrator(caller);
  return store.selectAssignments(ctx.sql, 'all', query, wish);
}

/** The caller's roles. */
export const listOwnAssignments = ({ ctx, caller }: Reader, query: V2Query, wish: PageWish) =>
  store.selectAssignments(ctx.sql, { userId: caller.userId }, query, wish);

/** For each of the roles whose holders the caller may not see, the reason. */
export const hiddenHolders = (
  by: Reader,
  roleIds: readonly string[],
): Promise<Map<string, string>> =>
  refusedAlways(by, 'read', 'role:assignment', { type: 'role', ids: roleIds });

/** Who has each role; ask `hiddenHolders` first. */
export const holdersOfRoles = (
  { ctx }: Reader,
  roleIds: readonly string[],
  query: V2Query,
  wish: PageWish,
): Promise<Map<string, Listed<UserRoleRow>>> =>
  store.selectAssignmentsOfRoles(ctx.sql, roleIds, query, wish);

/** @throws BackendError GenericForbidden unless the caller is a superadmin. */
export function listInvitations({ ctx, caller }: Reader, query: V2Query, wish: PageWish) {
  requireAdministrator(caller);
  return store.selectInvitations(ctx.sql, 'all', query, wish);
}

/** Invitations to the caller, or from it. */
export const listOwnInvitations = (
  { ctx, caller }: Reader,
  side: 'inviteeId' | 'inviterId',
  query: V2Query,
  wish: PageWish,
) => {
  const { userId } = caller;
  const of = side === 'inviteeId' ? { inviteeId: userId } : { inviterId: userId };
  return store.selectInvitations(ctx.sql, of, query, wish);
};

/** Invitations to a role. @throws BackendError NotEnoughPermission. */
export async function listInvitationsOfRole(
  by: Reader,
  roleId: string,
  query: V2Query,
  wish: PageWish,
) {
  await requireAlways(by, 'read', 'role:assignment', { type: 'role', id: roleId });
  return store.selectInvitations(by.ctx.sql, { roleId }, query, wish);
}

/** Domains, projects or users by name. @throws BackendError GenericForbidden unless a superadmin asks. */
export function listScopes(
  { ctx, caller }: Reader,
  type: NamedScope,
  query: V2Query,
  wish: PageWish,
) {
  requireAdministrator(caller);
  return selectScopes(ctx.sql, type, query, wish);
}

/** What lies directly in a scope. @throws BackendError GenericForbidden unless a superadmin asks. */
export function listContents(
  { ctx, caller }: Reader,
  scope: { readonly type: string; readonly id: string },
  entityType: string,
  wish: PageWish,
) {
  requireAdministrator(caller);
  return selectContents(ctx.sql, scope, entityType, wish);
}

/** @throws BackendError GenericForbidden unless the caller is a superadmin. */
export function listPresets({ ctx, caller }: Reader, query: V2Query, wish: PageWish) {
  requireAdministrator(caller);
  return store.selectPresets(ctx.sql, query, wish);
}

/** @throws BackendError RolePresetNotFound; GenericForbidden unless the caller is a superadmin. */
export async function getPreset({ ctx, caller }: Reader, id: string) {
  requireAdministrator(caller);
  const [row] = await store.selectPresetsById(ctx.sql, [id]);
  if (!row) throw new BackendError('RolePresetNotFound', `There is no role preset ${id}.`);
  return row;
}
