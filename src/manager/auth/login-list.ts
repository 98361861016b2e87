/** Sign-ins as people and superadmins see them: which are open, what was tried, and ending them. */
import { BackendError } from '../../common/errors.ts';
import { webSessionKey } from '../../common/web-session.ts';
import { type ChangeContext, change } from '../audit/service.ts';
import type { ManagerContext } from '../context.ts';
import * as store from './login-list-store.ts';
import { insertLoginHistory } from './login-store.ts';
import { PasswordThrottle } from './throttle.ts';

export type { LoginAttempt, LoginSession } from './login-list-store.ts';

type Change = ChangeContext & { readonly ctx: ManagerContext };

/**
 * Ends a sign-in at once: the browser that has it is signed out.
 * @param by.owner whose sign-in it has to be; null for superadmins, who end anybody's.
 * @throws BackendError ObjectNotFound when there is no such sign-in that is still open.
 */
export async function endLoginSession(by: Change, id: string, owner: string | null): Promise<void> {
  const token = await change(by, async (tx, note) => {
    const ended = await store.revokeLoginSession(tx, owner, id);
    if (ended === null) {
      throw new BackendError('ObjectNotFound', `There is no open sign-in ${id} you may end.`);
    }
    const result = owner === null ? 'revoked_by_admin' : 'revoked_by_user';
    const { userId, domainName } = ended;
    await insertLoginHistory(tx, { userId, domainName, result });
    note({
      entityType: 'login_session',
      entityId: id,
      operation: 'update',
      before: { status: 'active' },
      after: { status: 'revoked' },
    });
    return ended.token;
  });
  await by.ctx.webSessions.delete(webSessionKey(token));
}

/**
 * Forgets the wrong passwords of an account, so that it may sign in again.
 * @param name the user name or the address.
 * @throws BackendError UserNotFound.
 */
export async function unblockAccount(by: Change, name: string): Promise<void> {
  const accounts = await store.selectNamedAccounts(by.ctx.sql, name);
  if (accounts.length === 0) {
    throw new BackendError('UserNotFound', `There is no user '${name.slice(0, 100)}'.`);
  }
  const throttle = new PasswordThrottle(by.ctx.live);
  await change(by, async (_tx, note) => {
    for (const { userId, email, domainName } of accounts) {
      await throttle.succeeded(domainName, email);
      const after = { password_attempts: 0 };
      note({ entityType: 'user', entityId: userId, operation: 'update', after });
    }
  });
}
