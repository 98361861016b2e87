/**
 * The second factor: enrolling an authenticator app, proving that it works, switching it off, and
 * taking its codes, each of them once.
 */
import { BackendError } from '../../common/errors.ts';
import { type AuthoredChange, type ChangeContext, change } from '../audit/service.ts';
import type { ManagerContext } from '../context.ts';
import { PasswordThrottle } from './throttle.ts';
import { matchingTotpStep, newTotpSecret, provisioningUri } from './totp.ts';
import * as store from './two-factor-store.ts';

/** Where upstream's plugin keeps its settings. */
const SETTINGS = ['config/plugins/webapp/totp', 'config/plugins/hook/totp'] as const;
const DEFAULT_ISSUER = 'Backend.AI';
const DEFAULT_TOKEN_LIFETIME_SEC = 300;
/** A code counts once, for as long as it could be accepted again. */
const USED_CODE_MEMORY_MS = 120_000;

export interface TotpRules {
  /** The name that authenticator apps show. */
  readonly issuer: string;
  /** Whether everybody needs a second factor to sign in. */
  readonly forced: boolean;
  /** How long somebody may take to enrol while signing in. */
  readonly tokenLifetimeMs: number;
}

/** Somebody's wish about the second factor of an account. */
type Wish<By extends AuthoredChange> = By & { readonly ctx: ManagerContext };

export interface Enrolment {
  /** The secret in base32, for those who type it in. */
  readonly totpKey: string;
  /** The same for a QR code. */
  readonly totpUri: string;
}

/** The settings, from the configuration store; those of the hook win over those of the web app. */
export async function readTotpRules({
  config,
}: Pick<ManagerContext, 'config'>): Promise<TotpRules> {
  const values = new Map<string, string>();
  for (const prefix of SETTINGS) {
    for (const [key, value] of await config.list(prefix)) {
      values.set(key.slice(prefix.length + 1), value);
    }
  }
  const lifetimeSec = Number(values.get('token_lifetime'));
  return {
    issuer: values.get('issuer') || DEFAULT_ISSUER,
    forced: /^(true|yes|on|1)$/i.test(values.get('forced') ?? ''),
    tokenLifetimeMs: (lifetimeSec > 0 ? lifetimeSec : DEFAULT_TOKEN_LIFETIME_SEC) * 1000,
  };
}

/**
 * Whether `otp` is a present code of the secret that was not used before; it is used from now on.
 * @throws BackendError LoginBlockedError after too many wrong ones.
 */
export async function takeCode(
  ctx: Pick<ManagerContext, 'live' | 'clock'>,
  userId: string,
  secret: string,
  otp: string,
): Promise<boolean> {
  const throttle = new PasswordThrottle(ctx.live);
  await throttle.attempt('totp', userId);
  const step = matchingTotpStep(secret, otp, ctx.clock.now());
  if (step === null) return false;
  const isFresh = await ctx.live.set(`totp-used:${userId}:${step}`, '1', {
    ttlMs: USED_CODE_MEMORY_MS,
    onlyIfAbsent: true,
  });
  if (isFresh) await throttle.succeeded('totp', userId);
  return isFresh;
}

const registrationKey = (token: string): string => `totp-registration:${token}`;

/** Lets an account whose password was right enrol without a session. @returns the token for it. */
export async function openRegistration(
  ctx: Pick<ManagerContext, 'config' | 'live' | 'random'>,
  userId: string,
): Promise<string> {
  const { tokenLifetimeMs } = await readTotpRules(ctx);
  const token = Buffer.from(ctx.random.bytes(32)).toString('base64url');
  await ctx.live.set(registrationKey(token), userId, { ttlMs: tokenLifetimeMs });
  return token;
}

/** The account of a registration token. @throws BackendError InvalidToken when there is none. */
export async function registeringAccount(
  { sql, live }: Pick<ManagerContext, 'sql' | 'live'>,
  token: string,
): Promise<{ userId: string; email: string }> {
  const userId = await live.get(registrationKey(token));
  const account = userId === null ? null : await store.selectActiveAccount(sql, userId);
  if (account !== null) return account;
  throw new BackendError(
    'InvalidToken',
    'The registration token is unknown or has expired. Sign in again to get another one.',
  );
}

/** Ends what a registration token allows. */
export async function closeRegistration(
  { live }: Pick<ManagerContext, 'live'>,
  token: string,
): Promise<void> {
  await live.delete(registrationKey(token));
}

/**
 * Gives the author's account a new secret, which counts once a code of it was seen.
 * @param options.registering signing in demands it: an enrolment that was begun may begin anew.
 * @throws BackendError InvalidAPIParameters while the second factor is on.
 */
export async function enrol(
  by: Wish<AuthoredChange>,
  userId: string,
  options: { readonly registering: boolean } = { registering: false },
): Promise<Enrolment> {
  const { ctx, caller } = by;
  const secret = newTotpSecret(ctx.random);
  const { issuer } = await readTotpRules(ctx);
  await change(by, async (tx, note) => {
    if (!(await store.setSecret(tx, userId, secret, options.registering))) {
      throw new BackendError(
        'InvalidAPIParameters',
        'TOTP is already activated for this user. Deactivate it first.',
      );
    }
    note({
      entityType: 'user',
      entityId: userId,
      operation: 'update',
      after: { totp_key: secret },
    });
  });
  return { totpKey: secret, totpUri: provisioningUri(secret, caller.email, issuer) };
}

/**
 * Switches the second factor on.
 * @throws BackendError TotpAuthorizationFailed for a wrong code; InvalidAPIParameters when it is on
 *   already or enrolling was not begun; LoginBlockedError after too many wrong codes.
 */
export async function activate(
  by: Wish<AuthoredChange>,
  userId: string,
  otp: string,
): Promise<void> {
  const { ctx } = by;
  const state = await store.selectState(ctx.sql, userId);
  if (state?.isActive) {
    throw new BackendError('InvalidAPIParameters', 'TOTP is already activated for this user.');
  }
  const secret = state?.secret;
  if (!secret) {
    throw new BackendError('InvalidAPIParameters', 'TOTP key does not exist. Enrol first.');
  }
  if (!(await takeCode(ctx, userId, secret, otp))) {
    throw new BackendError(
      'TotpAuthorizationFailed',
      "The code is wrong or was used already. Check the device's clock and enter the next one.",
    );
  }
  await change(by, async (tx, note) => {
    // Another enrolment that began meanwhile has another secret: this code says nothing about it.
    if (!(await store.activate(tx, userId, secret))) {
      throw new BackendError('InvalidAPIParameters', 'TOTP was enrolled anew. Use its new key.');
    }
    note({
      entityType: 'user',
      entityId: userId,
      operation: 'update',
      before: { totp_activated: false },
      after: { totp_activated: true },
    });
  });
}

/**
 * Switches the second factor off and forgets the secret.
 * @param email somebody else's account: for administrators, of their own domain unless they are
 *   superadmins.
 * @throws BackendError GenericForbidden for another's account; InvalidAPIParameters when there is
 *   no such account in reach or its second factor is off.
 */
export async function deactivate(by: ChangeContext, email: string | null): Promise<void> {
  const { caller } = by;
  const isAdministrator = caller.role === 'admin' || caller.isSuperadmin;
  if (email !== null && email !== caller.email && !isAdministrator) {
    throw new BackendError('GenericForbidden', 'Only administrators may do this for others.');
  }
  await change(by, async (tx, note) => {
    const account =
      email === null || email === caller.email
        ? { userId: caller.userId }
        : await store.selectAccountInReach(tx, email, {
            domainName: caller.isSuperadmin ? null : caller.domainName,
          });
    if (account === null) throw new BackendError('InvalidAPIParameters', 'Email does not exist.');
    const { userId } = account;
    if (!(await store.deactivate(tx, userId))) {
      throw new BackendError('InvalidAPIParameters', 'TOTP is not activated for this user.');
    }
    note({
      entityType: 'user',
      entityId: userId,
      operation: 'update',
      before: { totp_activated: true },
      after: { totp_activated: false },
    });
  });
}
