/** Who has a role: giving and taking it, one by one or many at once. */
import type { TransactionSql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import { type Change, type ChangeContext, change } from '../audit/service.ts';
import type { UserRoleRow } from '../db/rows.generated.ts';
import { joinProject, leaveProject } from '../project/manage.ts';
import * as store from './role-store.ts';
import { checkCount, lockedRole } from './roles.ts';

/** Which role, and whether those who get it join a project first. */
export interface Assignment {
  readonly roleId: string;
  readonly projectId: string | null;
}

interface Failure {
  readonly userId: string;
  readonly problem: 'UserNotFound' | 'RoleAlreadyAssigned' | 'RoleNotAssigned';
  readonly message: string;
}

function noteAssignments(
  note: (change: Change) => void,
  rows: readonly UserRoleRow[],
  operation: 'associate' | 'disassociate',
): void {
  for (const row of rows) {
    note({
      entityType: 'role',
      entityId: row.role_id,
      operation,
      [operation === 'associate' ? 'after' : 'before']: row,
    });
  }
}

/**
 * Gives a role to users, within another change.
 * @returns the new assignments, and why some of the users did not get it.
 */
async function assignWithin(
  by: ChangeContext,
  tx: TransactionSql,
  { roleId, projectId }: Assignment,
  userIds: readonly string[],
): Promise<{ assigned: UserRoleRow[]; failed: Failure[] }> {
  const role = await lockedRole(tx, roleId);
  if (role.status === 'deleted') {
    throw new BackendError('RoleNotFound', `Role '${role.name}' is deleted. Make it active first.`);
  }
  const ids = [...new Set(userIds.map((id) => id.toLowerCase()))];
  const before = await store.selectAssignments(tx, role.id, ids);
  const held = new Set(before.map(({ user_id }) => user_id));
  const joined = projectId === null ? ids : await joinProject(tx, projectId, ids);
  await store.insertAssignments(tx, {
    roleId: role.id,
    userIds: joined,
    grantedBy: by.caller.userId,
  });
  // Also what joining the project gave, when the role is one that all members get.
  const after = await store.selectAssignments(tx, role.id, ids);
  const has = new Set(after.map(({ user_id }) => user_id));
  const failed = ids.flatMap((userId): Failure[] => {
    if (held.has(userId)) {
      const message = 'The user has the role already.';
      return [{ userId, problem: 'RoleAlreadyAssigned', message }];
    }
    if (has.has(userId)) return [];
    const where = projectId === null ? '' : " of the project's domain";
    const message = `There is no user ${userId}${where}.`;
    return [{ userId, problem: 'UserNotFound', message }];
  });
  return { assigned: after.filter(({ user_id }) => !held.has(user_id)), failed };
}

/**
 * Gives a role to one user.
 * @throws BackendError RoleNotFound, UserNotFound, RoleAlreadyAssigned; ProjectNotFound.
 */
export function assignRole(
  by: ChangeContext,
  assignment: Assignment,
  userId: string,
): Promise<UserRoleRow> {
  return change(by, async (tx, note) => {
    const { assigned, failed } = await assignWithin(by, tx, assignment, [userId]);
    const [failure] = failed;
    if (failure) throw new BackendError(failure.problem, failure.message);
    const [row] = assigned;
    if (!row) throw new Error('a role was neither assigned nor refused');
    noteAssignments(note, assigned, 'associate');
    return row;
  });
}

/** Gives a role to many users. @throws BackendError RoleNotFound; ProjectNotFound. */
export function assignRoleToMany(
  by: ChangeContext,
  assignment: Assignment,
  userIds: readonly string[],
): Promise<{ assigned: UserRoleRow[]; failed: Failure[] }> {
  checkCount(userIds);
  return change(by, async (tx, note) => {
    const result = await assignWithin(by, tx, assignment, userIds);
    noteAssignments(note, result.assigned, 'associate');
    return result;
  });
}

/**
 * Takes a role from one user, who leaves a project when that was the last role in it.
 * @throws BackendError RoleNotFound, RoleNotAssigned.
 */
export function revokeRole(
  by: ChangeContext,
  roleId: string,
  userId: string,
): Promise<UserRoleRow> {
  return change(by, async (tx, note) => {
    const role = await lockedRole(tx, roleId);
    const [row] = await store.deleteAssignments(tx, role.id, [userId]);
    if (!row) {
      throw new BackendError('RoleNotAssigned', `The user does not have role '${role.name}'.`);
    }
    for (const id of await store.selectProjectsWithoutRole(tx, role.id, row.user_id)) {
      await leaveProject(tx, id, [row.user_id]);
    }
    noteAssignments(note, [row], 'disassociate');
    return row;
  });
}

/** Takes a role from many users. @throws BackendError RoleNotFound. */
export function revokeRoleFromMany(
  by: ChangeContext,
  roleId: string,
  userIds: readonly string[],
): Promise<{ revoked: UserRoleRow[]; failed: Failure[] }> {
  checkCount(userIds);
  return change(by, async (tx, note) => {
    const role = await lockedRole(tx, roleId);
    const ids = [...new Set(userIds.map((id) => id.toLowerCase()))];
    const revoked = await store.deleteAssignments(tx, role.id, ids);
    noteAssignments(note, revoked, 'disassociate');
    const had = new Set(revoked.map(({ user_id }) => user_id));
    const failed = ids
      .filter((id) => !had.has(id))
      .map((userId): Failure => {
        const message = 'The user does not have the role.';
        return { userId, problem: 'RoleNotAssigned', message };
      });
    return { revoked, failed };
  });
}
