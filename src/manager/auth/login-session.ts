/** Opens web sessions: as many per user as the policy allows, in the database and the live store. */
import { BackendError } from '../../common/errors.ts';
import { encodeWebSession, webSessionKey } from '../../common/web-session.ts';
import type { ManagerContext } from '../context.ts';
import * as store from './login-store.ts';

/** How long a sign-in lasts unless `[auth] login-session-max-age` says otherwise. Seconds. */
const DEFAULT_MAX_AGE_SEC = 7 * 86_400;

interface Opening {
  readonly account: store.LoginAccount;
  readonly keypair: { readonly accessKey: string; readonly secretKey: string };
  readonly clientTypeId: string | null;
  readonly force: boolean;
}

/**
 * Opens a session and returns its token, 32 hexadecimal digits.
 * @throws BackendError TooManyConcurrentLoginSessions when the user has as many as allowed, unless
 *   `force` lets the oldest end.
 */
export async function openWebSession(ctx: ManagerContext, opening: Opening): Promise<string> {
  const { account, keypair, clientTypeId } = opening;
  const { userId, domainName } = account;
  const token = ctx.random.uuid().replaceAll('-', '');
  const maxAgeSec = ctx.settings.loginSessionMaxAgeSec ?? DEFAULT_MAX_AGE_SEC;
  const { evicted, isFull } = await ctx.sql.begin(async (sql) => {
    await store.lockUser(sql, userId);
    const tokens = await store.selectLiveTokens(sql, userId, maxAgeSec);
    const excess = tokens.length + 1 - (account.maxConcurrentLogins ?? Number.POSITIVE_INFINITY);
    const tooMany = tokens.slice(0, Math.max(0, excess));
    if (excess > 0 && (!opening.force || tooMany.length < excess)) {
      return { evicted: [], isFull: true };
    }
    await store.invalidateLoginSessions(sql, tooMany);
    await store.insertLoginSession(sql, {
      token,
      userId,
      accessKey: keypair.accessKey,
      clientTypeId,
    });
    return { evicted: tooMany, isFull: false };
  });
  const note = (result: store.LoginResult) =>
    store.insertLoginHistory(ctx.sql, { userId, domainName, result });
  if (isFull) {
    await note('failed_session_already_exists');
    throw new BackendError(
      'TooManyConcurrentLoginSessions',
      `You are signed in ${account.maxConcurrentLogins} times already, as often as your policy ` +
        'allows. Sign out elsewhere, or force this sign-in to end the oldest one.',
    );
  }
  if (evicted.length > 0) {
    await ctx.webSessions.delete(...evicted.map(webSessionKey));
    for (const _ of evicted) await note('evicted');
  }
  const nowSec = Math.floor(ctx.clock.now().getTime() / 1000);
  const session = encodeWebSession({
    createdSec: nowSec,
    expiresSec: nowSec + maxAgeSec,
    token: {
      type: 'keypair',
      access_key: keypair.accessKey,
      secret_key: keypair.secretKey,
      role: account.role,
      status: account.status,
    },
  });
  await ctx.webSessions.set(webSessionKey(token), session, { ttlMs: maxAgeSec * 1000 });
  await note('success');
  return token;
}
