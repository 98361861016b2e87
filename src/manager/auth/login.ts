/** Signing in with a password and signing out again: the rules. */
import { BackendError } from '../../common/errors.ts';
import { webSessionKey } from '../../common/web-session.ts';
import type { ManagerContext } from '../context.ts';
import { burnVerification, hashPassword, verifyPassword } from '../user/password.ts';
import { isAllowedAddress } from './client-ip.ts';
import { openWebSession } from './login-session.ts';
import * as store from './login-store.ts';
import { readSignInToken } from './sign-in-token.ts';
import { PasswordThrottle } from './throttle.ts';
import { openRegistration, readTotpRules, takeCode } from './two-factor.ts';

/** Refusals take at least this long, so that their time does not tell known accounts. */
const LEAST_REFUSAL_MS = 300;

export interface LoginRequest {
  readonly domain: string;
  readonly username: string;
  readonly password: string;
  /** Proves who it is in place of name and password. */
  readonly signInToken: string | null;
  readonly otp: string | null;
  readonly clientTypeId: string | null;
  /** Ends the oldest sign-in when there are as many as the user may have. */
  readonly force: boolean;
  readonly clientAddress: string | null;
}

export type LoginOutcome =
  | {
      readonly kind: 'signed-in';
      readonly userId: string;
      readonly accessKey: string;
      readonly secretKey: string;
      readonly role: string;
      readonly status: string;
      readonly sessionToken: string;
    }
  | { readonly kind: 'needs-otp' }
  /** The cluster demands a second factor, and `token` lets the account enrol one. */
  | { readonly kind: 'needs-registration'; readonly token: string };

const mismatch = () => new BackendError('AuthorizationFailed', 'User credential mismatch.');

/** The account whose password this is. @throws BackendError LoginBlockedError, AuthorizationFailed. */
export async function verifiedAccount(
  ctx: ManagerContext,
  wanted: { readonly domain: string; readonly email: string; readonly password: string },
): Promise<store.LoginAccount & { passwordHash: string }> {
  const { domain, email, password } = wanted;
  const startedMs = ctx.clock.monotonicMs();
  const throttle = new PasswordThrottle(ctx.live);
  const account = await store.selectLoginAccount(ctx.sql, domain, email);
  try {
    await throttle.attempt(domain, email);
  } catch (error) {
    if (account) await noteFailure(ctx, account, 'failed_blocked');
    throw error;
  }
  const hash = account?.passwordHash ?? null;
  const matches = hash === null ? false : await verifyPassword(password, hash);
  if (account !== null && hash !== null && matches) {
    await throttle.succeeded(domain, email);
    return { ...account, passwordHash: hash };
  }
  if (hash === null) await burnVerification(password);
  if (account) await noteFailure(ctx, account, 'failed_invalid_credentials');
  const restMs = LEAST_REFUSAL_MS - (ctx.clock.monotonicMs() - startedMs);
  if (restMs > 0) await ctx.clock.sleep(restMs);
  throw mismatch();
}

function noteFailure(
  { sql }: ManagerContext,
  { userId, domainName }: store.LoginAccount,
  result: store.LoginResult,
  reason?: string,
): Promise<void> {
  return store.insertLoginHistory(sql, { userId, domainName, result, reason });
}

/** @throws BackendError AuthorizationFailed unless the account may be used from there. */
export async function requireUsable(
  ctx: ManagerContext,
  account: store.LoginAccount,
  clientAddress: string | null,
): Promise<void> {
  const refuse = async (message: string) => {
    await noteFailure(ctx, account, 'failed_user_inactive', message);
    throw new BackendError('AuthorizationFailed', message);
  };
  if (account.status === 'before-verification') {
    await refuse('This account needs email verification.');
  }
  if (account.status !== 'active') await refuse('This account is not active.');
  if (!isAllowedAddress(clientAddress, account.allowedClientIp)) {
    await refuse(`This account may not be used from ${clientAddress ?? 'an unknown address'}.`);
  }
}

/** Whether the password is older than the cluster allows. */
function isExpired({ clock, settings }: ManagerContext, changedAt: Date | null): boolean {
  const { maxPasswordAgeMs } = settings;
  if (maxPasswordAgeMs === undefined || changedAt === null) return false;
  return clock.now().getTime() - changedAt.getTime() > maxPasswordAgeMs;
}

/** @throws BackendError RejectedByHook for a wrong code or one that was used before. */
async function requireOtp(
  ctx: ManagerContext,
  account: store.LoginAccount,
  secret: string,
  otp: string,
): Promise<void> {
  if (await takeCode(ctx, account.userId, secret, otp)) return;
  await noteFailure(ctx, account, 'failed_rejected_by_hook', 'one-time password');
  throw new BackendError('RejectedByHook', 'Invalid TOTP code provided');
}

/** Brings the stored hash up to today's algorithm while the password is at hand. */
async function upgradeHash(
  { sql }: ManagerContext,
  { userId, passwordHash }: { userId: string; passwordHash: string },
  password: string,
): Promise<void> {
  if (passwordHash.startsWith('$argon2id$')) return;
  const hash = await hashPassword(password, { algorithm: 'argon2id' });
  await store.replacePasswordHash(sql, userId, passwordHash, hash);
}

/** Who signs in, as a password or a token proves it. */
interface Proven {
  readonly account: store.LoginAccount;
  /** Ends the oldest sign-in, if need be. */
  readonly force: boolean;
  /** Runs what opens the session, with what the proof demands around it. */
  opening<T>(open: () => Promise<T>): Promise<T>;
}

async function proveByToken(
  ctx: ManagerContext,
  request: LoginRequest,
  token: string,
): Promise<Proven> {
  const { userId, force, once } = await readSignInToken(ctx, token);
  const account = await store.selectLoginAccountById(ctx.sql, userId);
  if (account === null) throw mismatch();
  await requireUsable(ctx, account, request.clientAddress);
  return { account, force: force || request.force, opening: once };
}

async function proveByPassword(ctx: ManagerContext, request: LoginRequest): Promise<Proven> {
  const { domain, username: email, password, force } = request;
  const account = await verifiedAccount(ctx, { domain, email, password });
  await requireUsable(ctx, account, request.clientAddress);
  if (isExpired(ctx, account.passwordChangedAt)) {
    await noteFailure(ctx, account, 'failed_password_expired');
    throw new BackendError('PasswordExpired', 'The password is too old. Choose another one.');
  }
  return {
    account,
    force,
    opening: async (open) => {
      const opened = await open();
      await upgradeHash(ctx, account, password);
      return opened;
    },
  };
}

/**
 * Signs in.
 * @throws BackendError AuthorizationFailed, LoginBlockedError, PasswordExpired, RejectedByHook (a
 *   wrong one-time password or sign-in token), TooManyConcurrentLoginSessions.
 */
export async function authorize(ctx: ManagerContext, request: LoginRequest): Promise<LoginOutcome> {
  const { signInToken, clientTypeId } = request;
  const { account, force, opening } = signInToken
    ? await proveByToken(ctx, request, signInToken)
    : await proveByPassword(ctx, request);
  const keypair = await store.selectLoginKeypair(ctx.sql, account.userId);
  if (keypair === null) {
    const message = 'This account has no active keypair. Ask an administrator for one.';
    await noteFailure(ctx, account, 'failed_user_inactive', message);
    throw new BackendError('AuthorizationFailed', message);
  }
  if (account.totpKey !== null) {
    if (!request.otp) return { kind: 'needs-otp' };
    await requireOtp(ctx, account, account.totpKey, request.otp);
  } else if (account.mustEnrol || (await readTotpRules(ctx)).forced) {
    return { kind: 'needs-registration', token: await openRegistration(ctx, account.userId) };
  }
  const sessionToken = await opening(() =>
    openWebSession(ctx, { account, keypair, clientTypeId, force }),
  );
  const { userId, role, status } = account;
  return { kind: 'signed-in', userId, ...keypair, role, status, sessionToken };
}

/** Ends the sign-in with this token; one that is unknown or over is none of the caller's business. */
export async function logout({ sql, webSessions }: ManagerContext, token: string): Promise<void> {
  const [owner] = await store.invalidateLoginSessions(sql, [token]);
  if (owner === undefined) return;
  await webSessions.delete(webSessionKey(token));
  await store.insertLoginHistory(sql, { ...owner, result: 'logout' });
}

/** Ends all sign-ins of a user, at web servers too. */
export async function endAllSignIns(
  { sql, webSessions }: Pick<ManagerContext, 'sql' | 'webSessions'>,
  userId: string,
): Promise<void> {
  const tokens = await store.selectOpenTokens(sql, userId);
  if (tokens.length === 0) return;
  const owners = await store.invalidateLoginSessions(sql, tokens);
  await webSessions.delete(...tokens.map(webSessionKey));
  for (const owner of owners) await store.insertLoginHistory(sql, { ...owner, result: 'logout' });
}
