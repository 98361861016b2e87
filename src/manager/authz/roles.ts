/** Making, changing and removing roles and what they allow. */
import type { TransactionSql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import { type ChangeContext, change } from '../audit/service.ts';
import type { Db } from '../db/connect.ts';
import type { PermissionRow, RoleRow } from '../db/rows.generated.ts';
import type { ElementRef } from './elements.ts';
import * as store from './role-store.ts';

const ROLE = 'role';
const PERMISSION = 'permission';
/** Most permissions, users or invitations of one request. */
export const MAX_ITEMS = 1000;
/** The width of the columns that hold ids of scopes. */
const MAX_SCOPE_ID = 64;

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** @throws BackendError InvalidAPIParameters for a list that is too long. */
export function checkCount(items: readonly unknown[]): void {
  if (items.length > MAX_ITEMS) {
    throw new BackendError('InvalidAPIParameters', `At most ${MAX_ITEMS} at once.`);
  }
}

/** @throws BackendError InvalidAPIParameters for a name that is empty, too long or unreadable. */
export function checkRoleName(name: string | undefined): void {
  if (name === undefined) return;
  if (name.trim() === '' || name.length > 64 || /\p{Cc}/u.test(name)) {
    throw new BackendError(
      'InvalidAPIParameters',
      'A role name has 1 to 64 characters and no control character.',
    );
  }
}

function storedScope({ type, id }: ElementRef): ElementRef {
  const isUuid = type === 'user' || type === 'project';
  if (isUuid && !uuid.test(id)) {
    throw new BackendError('InvalidScope', `The id of a ${type} is a UUID, not '${id}'.`);
  }
  if (id === '' || id.length > MAX_SCOPE_ID) {
    throw new BackendError('InvalidScope', `A scope's id has 1 to ${MAX_SCOPE_ID} characters.`);
  }
  return { type, id: uuid.test(id) ? id.toLowerCase() : id };
}

/** @throws BackendError InvalidScope naming a domain, project or user that does not exist. */
async function checkScopes(tx: TransactionSql, scopes: readonly ElementRef[]): Promise<void> {
  const [missing] = await store.selectMissingScopes(tx, scopes);
  if (missing) {
    throw new BackendError('InvalidScope', `There is no ${missing.type} '${missing.id}'.`);
  }
}

/**
 * Makes a role without permissions.
 * @throws BackendError InvalidAPIParameters for a bad name, InvalidScope for a scope that is none.
 */
export function createRole(
  by: ChangeContext,
  wishes: {
    readonly name: string;
    readonly description: string | null;
    readonly source: string;
    /** Active by default. */
    readonly status?: string;
    readonly autoAssign: boolean;
    readonly scopes: readonly ElementRef[];
  },
): Promise<RoleRow> {
  checkRoleName(wishes.name);
  checkCount(wishes.scopes);
  const scopes = wishes.scopes.map(storedScope);
  return change(by, async (tx, note) => {
    await checkScopes(tx, scopes);
    const id = by.ctx.random.uuid();
    const deletedAt = wishes.status === 'deleted' ? by.ctx.clock.now() : null;
    const after = await store.insertRole(tx, { ...wishes, id, scopes, deletedAt });
    note({ entityType: ROLE, entityId: id, operation: 'create', after: { ...after, scopes } });
    return after;
  });
}

/** The role, held until the transaction ends. @throws BackendError RoleNotFound. */
export async function lockedRole(tx: TransactionSql, id: string): Promise<RoleRow> {
  const row = await store.lockRole(tx, id);
  if (row === null) throw new BackendError('RoleNotFound', `There is no role ${id}.`);
  return row;
}

/** What an administrator says about a role; undefined leaves it as it is. */
export interface RoleWishes {
  readonly name?: string;
  readonly description?: string | null;
  readonly source?: string;
  readonly status?: string;
  readonly autoAssign?: boolean;
}

/** Changes a role; only active ones allow anything. @throws BackendError RoleNotFound. */
export function updateRole(by: ChangeContext, id: string, wishes: RoleWishes): Promise<RoleRow> {
  checkRoleName(wishes.name);
  const { autoAssign, ...rest } = wishes;
  return change(by, async (tx, note) => {
    const before = await lockedRole(tx, id);
    const { status } = wishes;
    const after = await store.updateRole(tx, before.id, {
      ...rest,
      ...(autoAssign !== undefined && { auto_assign: autoAssign }),
      ...(status !== undefined && {
        deleted_at: status === 'deleted' ? (before.deleted_at ?? by.ctx.clock.now()) : null,
      }),
    });
    note({ entityType: ROLE, entityId: before.id, operation: 'update', before, after });
    return after;
  });
}

/** Closes a role: it allows nothing any more, and can be made active again. */
export function deleteRole(by: ChangeContext, id: string): Promise<string> {
  return change(by, async (tx, note) => {
    const before = await lockedRole(tx, id);
    const after = await store.updateRole(tx, before.id, {
      status: 'deleted',
      deleted_at: by.ctx.clock.now(),
    });
    note({ entityType: ROLE, entityId: before.id, operation: 'delete', before, after });
    return before.id;
  });
}

/**
 * Removes a role for good.
 * @throws BackendError RoleNotFound; InvalidAPIParameters for the role of a scope that exists, which
 *   would come back.
 */
export function purgeRole(by: ChangeContext, id: string): Promise<string> {
  return change(by, async (tx, note) => {
    const before = await lockedRole(tx, id);
    const scopes = await store.selectScopesOfRole(tx, before.id);
    if (before.source === 'system' && scopes.length > 0) {
      throw new BackendError(
        'InvalidAPIParameters',
        `'${before.name}' is a system role, which goes when its scope goes. Delete it to switch it off.`,
      );
    }
    await store.deleteRole(tx, before.id);
    note({ entityType: ROLE, entityId: before.id, operation: 'purge', before });
    return before.id;
  });
}

const storedSpec = (spec: store.PermissionSpec): store.PermissionSpec => ({
  ...spec,
  scope: storedScope(spec.scope),
});

/**
 * Adds one permission to a role.
 * @throws BackendError RoleNotFound, InvalidScope, RepositoryIntegrityError when the role has it.
 */
export function createPermission(
  by: ChangeContext,
  roleId: string,
  wanted: store.PermissionSpec,
): Promise<PermissionRow> {
  const spec = storedSpec(wanted);
  return change(by, async (tx, note) => {
    const role = await lockedRole(tx, roleId);
    await checkScopes(tx, [spec.scope]);
    const [after] = await store.insertPermissions(tx, role.id, [spec]);
    if (!after) {
      throw new BackendError('RepositoryIntegrityError', 'The role has this permission already.');
    }
    note({ entityType: PERMISSION, entityId: after.id, operation: 'create', after });
    return after;
  });
}

/**
 * Changes parts of a permission; `spec` tells what it becomes, given what it is.
 * @throws BackendError PermissionNotFound, InvalidScope, RepositoryIntegrityError when the role has
 *   that one already.
 */
export function updatePermission(
  by: ChangeContext,
  id: string,
  spec: (before: PermissionRow) => store.PermissionSpec,
): Promise<PermissionRow> {
  return change(by, async (tx, note) => {
    const before = await store.lockPermission(tx, id);
    if (before === null) {
      throw new BackendError('PermissionNotFound', `There is no permission ${id}.`);
    }
    const wanted = storedSpec(spec(before));
    await checkScopes(tx, [wanted.scope]);
    const after = await store.updatePermission(tx, before.id, wanted);
    note({ entityType: PERMISSION, entityId: before.id, operation: 'update', before, after });
    return after;
  });
}

/** @throws BackendError PermissionNotFound. */
export async function deletePermission(by: ChangeContext, id: string): Promise<string> {
  const { removed } = await removePermissions(by, [id]);
  const [row] = removed;
  if (!row) throw new BackendError('PermissionNotFound', `There is no permission ${id}.`);
  return row.id;
}

/** Removes permissions of any roles. @returns which there were, and the ids of those there weren't. */
export function removePermissions(
  by: ChangeContext,
  ids: readonly string[],
): Promise<{ removed: PermissionRow[]; missing: string[] }> {
  checkCount(ids);
  return change(by, async (tx, note) => {
    const removed = await store.deletePermissions(tx, ids);
    for (const before of removed) {
      note({ entityType: PERMISSION, entityId: before.id, operation: 'purge', before });
    }
    const found = new Set(removed.map(({ id }) => id));
    return { removed, missing: ids.filter((id) => !found.has(id.toLowerCase())) };
  });
}

/** A permission that a role was to get. */
export interface WantedPermission extends store.PermissionSpec {
  readonly roleId: string;
}

export interface AddedPermissions {
  readonly added: PermissionRow[];
  readonly failed: { readonly wanted: WantedPermission; readonly message: string }[];
}

const key = (row: {
  scope_type: string;
  scope_id: string;
  entity_type: string;
  operation: string;
}): string => JSON.stringify([row.scope_type, row.scope_id, row.entity_type, row.operation]);

/** Why a wanted permission cannot be, before the role is looked at; null when nothing speaks against. */
async function problems(
  tx: TransactionSql,
  wanted: readonly WantedPermission[],
): Promise<(string | null)[]> {
  const checked = wanted.map((one): { scope: ElementRef } | { problem: string } => {
    try {
      return { scope: storedScope(one.scope) };
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      return { problem: error.message };
    }
  });
  const scopes = checked.flatMap((one) => ('scope' in one ? [one.scope] : []));
  const missing = new Set(
    (await store.selectMissingScopes(tx, scopes)).map(({ type, id }) => `${type}:${id}`),
  );
  return checked.map((one) => {
    if ('problem' in one) return one.problem;
    const { type, id } = one.scope;
    return missing.has(`${type}:${id}`) ? `There is no ${type} '${id}'.` : null;
  });
}

async function addWithin(
  tx: TransactionSql,
  wanted: readonly WantedPermission[],
): Promise<AddedPermissions> {
  const added: PermissionRow[] = [];
  const failed: { wanted: WantedPermission; message: string }[] = [];
  const found = await problems(tx, wanted);
  const possible = wanted.filter((one, i) => {
    const message = found[i];
    if (message) failed.push({ wanted: one, message });
    return !message;
  });
  for (const [roleId, ofRole] of Map.groupBy(possible, ({ roleId: id }) => id.toLowerCase())) {
    if ((await store.lockRole(tx, roleId)) === null) {
      failed.push(
        ...ofRole.map((one) => ({ wanted: one, message: `There is no role ${roleId}.` })),
      );
      continue;
    }
    const specs = ofRole.map(storedSpec);
    const rows = new Map(
      (await store.insertPermissions(tx, roleId, specs)).map((row) => [key(row), row]),
    );
    ofRole.forEach((one, i) => {
      const spec = specs[i] ?? one;
      const row = rows.get(
        key({
          scope_type: spec.scope.type,
          scope_id: spec.scope.id,
          entity_type: spec.entityType,
          operation: spec.operation,
        }),
      );
      if (!row || added.includes(row)) {
        failed.push({ wanted: one, message: 'The role has this permission already.' });
      } else {
        added.push(row);
      }
    });
  }
  return { added, failed };
}

/** Adds permissions to any roles, as far as they can be. */
export function addPermissions(
  by: ChangeContext,
  wanted: readonly WantedPermission[],
): Promise<AddedPermissions> {
  checkCount(wanted);
  return change(by, async (tx, note) => {
    const result = await addWithin(tx, wanted);
    for (const after of result.added) {
      note({ entityType: PERMISSION, entityId: after.id, operation: 'create', after });
    }
    return result;
  });
}

/**
 * Makes the given permissions the only ones of a role, as far as they can be.
 * @throws BackendError RoleNotFound; InvalidAPIParameters for a permission of another role.
 */
export function replacePermissions(
  by: ChangeContext,
  roleId: string,
  wanted: readonly WantedPermission[],
): Promise<AddedPermissions> {
  checkCount(wanted);
  const stranger = wanted.find((one) => one.roleId.toLowerCase() !== roleId.toLowerCase());
  if (stranger) {
    throw new BackendError(
      'InvalidAPIParameters',
      `Permissions of role ${stranger.roleId} cannot replace those of role ${roleId}.`,
    );
  }
  return change(by, async (tx, note) => {
    const role = await lockedRole(tx, roleId);
    const before = await store.deletePermissionsOfRole(tx, role.id);
    const result = await addWithin(tx, wanted);
    note({
      entityType: ROLE,
      entityId: role.id,
      operation: 'update',
      before: { permissions: before.map(key) },
      after: { permissions: result.added.map(key) },
    });
    return result;
  });
}

/** Every scope in which a role has a place or a permission. */
export const scopesOfRole: (sql: Db, roleId: string) => Promise<ElementRef[]> =
  store.selectScopesOfRole;
