/** What people change about their own account: password, full name, SSH keypair. */
import { BackendError } from '../../common/errors.ts';
import { type ChangeContext, change } from '../audit/service.ts';
import type { ManagerContext } from '../context.ts';
import type { Db } from '../db/connect.ts';
import type { Caller } from '../http/route.ts';
import { hashPassword } from '../user/password.ts';
import * as store from './account-store.ts';
import { requireUsable, verifiedAccount } from './login.ts';
import { changePassword, type LoginAccount } from './login-store.ts';
import { requireGoodPassword } from './password-rules.ts';
import { checkSshKeypair, generateSshKeypair, type SshKeypair } from './ssh-keypair.ts';

/** Somebody's wish to change their own account. */
export interface OwnChange extends ChangeContext {
  readonly ctx: ManagerContext;
}

async function setPassword(
  sql: Db,
  account: LoginAccount & { passwordHash: string },
  hash: string,
): Promise<Date> {
  const changedAt = await changePassword(sql, account.userId, account.passwordHash, hash);
  if (changedAt !== null) return changedAt;
  throw new BackendError('AuthorizationFailed', 'The password was changed at the same time.');
}

/** @throws BackendError AuthorizationFailed for a wrong old password, RejectedByHook for a bad new one. */
export async function updatePassword(
  asked: OwnChange,
  passwords: { readonly old: string; readonly new: string },
): Promise<void> {
  const { ctx, caller } = asked;
  const { domainName: domain, email, userId } = caller;
  requireGoodPassword(passwords.new);
  const account = await verifiedAccount(ctx, { domain, email, password: passwords.old });
  const hash = await hashPassword(passwords.new, { algorithm: 'argon2id' });
  await change(asked, async (tx, note) => {
    const changedAt = await setPassword(tx, account, hash);
    note({
      entityType: 'user',
      entityId: userId,
      operation: 'update',
      before: { password: account.passwordHash, password_changed_at: account.passwordChangedAt },
      after: { password: hash, password_changed_at: changedAt },
    });
  });
}

/**
 * Replaces a password without a keypair, for those whose password has expired.
 * @returns when it was changed.
 * @throws BackendError InvalidAPIParameters where passwords never expire, AuthorizationFailed for a
 *   wrong current password or the same one again, RejectedByHook for a bad new one.
 */
export async function replaceExpiredPassword(
  ctx: ManagerContext,
  wanted: {
    readonly domain: string;
    readonly email: string;
    readonly currentPassword: string;
    readonly newPassword: string;
    readonly clientAddress: string | null;
  },
): Promise<Date> {
  if (ctx.settings.maxPasswordAgeMs === undefined) {
    throw new BackendError(
      'InvalidAPIParameters',
      'Passwords do not expire in this cluster; sign in to change yours.',
    );
  }
  const { domain, email, currentPassword, newPassword } = wanted;
  const account = await verifiedAccount(ctx, { domain, email, password: currentPassword });
  await requireUsable(ctx, account, wanted.clientAddress);
  if (currentPassword === newPassword) {
    throw new BackendError('AuthorizationFailed', 'The new password is the current one.');
  }
  requireGoodPassword(newPassword);
  const hash = await hashPassword(newPassword, { algorithm: 'argon2id' });
  return setPassword(ctx.sql, account, hash);
}

/** @throws BackendError GenericForbidden for another's account. */
export async function updateFullName(
  asked: OwnChange,
  wanted: { readonly email: string; readonly fullName: string },
): Promise<void> {
  const { caller } = asked;
  if (wanted.email !== caller.email) {
    throw new BackendError('GenericForbidden', 'You can change the name of your own account only.');
  }
  await change(asked, async (tx, note) => {
    const before = await store.updateFullName(tx, caller.userId, wanted.fullName);
    note({
      entityType: 'user',
      entityId: caller.userId,
      operation: 'update',
      before: { full_name: before },
      after: { full_name: wanted.fullName },
    });
  });
}

/**
 * The caller's roles: in the cluster, in the domain, and in a project when one is named.
 * @throws BackendError GroupMembershipNotFoundError for a project the caller is not in.
 */
export async function rolesOf(ctx: ManagerContext, caller: Caller, projectId: string | null) {
  if (projectId !== null && !(await store.isMember(ctx.sql, caller.userId, projectId))) {
    throw new BackendError('GroupMembershipNotFoundError');
  }
  const isAdmin = caller.role === 'admin' || caller.isSuperadmin;
  return {
    global_role: caller.isSuperadmin ? 'superadmin' : 'user',
    domain_role: isAdmin ? 'admin' : 'user',
    group_role: projectId === null ? null : 'user',
  };
}

/** The public key of the caller's keypair; empty when there is none. */
export function sshPublicKey(ctx: ManagerContext, caller: Caller): Promise<string> {
  return store.selectSshPublicKey(ctx.sql, caller.accessKey);
}

function storeSshKeypair(asked: OwnChange, pair: SshKeypair): Promise<void> {
  const { accessKey } = asked.caller;
  return change(asked, async (tx, note) => {
    const before = await store.selectSshPublicKey(tx, accessKey);
    await store.updateSshKeypair(tx, accessKey, pair);
    note({
      entityType: 'keypair',
      entityId: accessKey,
      operation: 'update',
      before: { ssh_public_key: before },
      after: { ssh_public_key: pair.publicKey },
    });
  });
}

/** Gives the caller's keypair a new SSH keypair. */
export async function renewSshKeypair(asked: OwnChange): Promise<SshKeypair> {
  const pair = await generateSshKeypair();
  await storeSshKeypair(asked, pair);
  return pair;
}

/** Stores an SSH keypair of the caller's own. @throws BackendError when it is none. */
export async function uploadSshKeypair(asked: OwnChange, given: SshKeypair): Promise<SshKeypair> {
  const pair = checkSshKeypair(given);
  await storeSshKeypair(asked, pair);
  return pair;
}
