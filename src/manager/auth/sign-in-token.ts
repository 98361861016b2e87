/**
 * Tokens that prove who signs in, in place of a password (`sToken`): ours, after somebody else has
 * vouched for the account, and those that a portal signs with the secret it shares with the cluster.
 * Each opens one session.
 */
import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import * as store from './login-store.ts';
import { readJwt } from './token.ts';

/** How long somebody has to use one of ours: enough to enter a one-time password. */
const LIFETIME_MS = 300_000;
/** Where upstream's plugin for portals keeps the shared secret. */
const PORTAL_SECRET = 'config/plugins/webapp/keypair_auth/secret';
/** How much a portal's clock may differ. Seconds. */
const LEEWAY_SEC = 10;
/** A portal's token must not count longer, as used ones are remembered that long. Seconds. */
const MAX_PORTAL_LIFETIME_SEC = 86_400;

const grant = v.object({ userId: v.string(), force: v.boolean() });
const portalClaims = v.object({ access_key: v.string(), iat: v.number(), exp: v.number() });

export interface SignInToken {
  readonly userId: string;
  /** Whether older sign-ins give way. */
  readonly force: boolean;
  /**
   * Runs `open` and makes the token worthless, unless that fails.
   * @throws BackendError RejectedByHook when it was used already.
   */
  once<T>(open: () => Promise<T>): Promise<T>;
}

/** Takes the token before `open` runs, so that of two at a time one is refused. */
function taken(take: () => Promise<boolean>, giveBack: () => Promise<unknown>) {
  return async <T>(open: () => Promise<T>): Promise<T> => {
    if (!(await take())) throw refused();
    try {
      return await open();
    } catch (error) {
      await giveBack();
      throw error;
    }
  };
}

const grantKey = (token: string): string => `sign-in-token:${token}`;
const refused = () =>
  new BackendError('RejectedByHook', 'Invalid authentication token: unknown, used or expired.');

/** A token with which this user signs in once. The caller has made sure who it is. */
export async function issueSignInToken(
  { live, random }: Pick<ManagerContext, 'live' | 'random'>,
  user: { readonly userId: string; readonly force: boolean },
): Promise<string> {
  const token = Buffer.from(random.bytes(32)).toString('base64url');
  const { userId, force } = user;
  await live.set(grantKey(token), JSON.stringify({ userId, force }), { ttlMs: LIFETIME_MS });
  return token;
}

async function readGrant({ live }: ManagerContext, token: string): Promise<SignInToken> {
  const key = grantKey(token);
  const stored = await live.get(key);
  if (stored === null) throw refused();
  return {
    ...v.parse(grant, JSON.parse(stored)),
    once: taken(
      async () => (await live.delete(key)) > 0,
      () => live.set(key, stored, { ttlMs: LIFETIME_MS }),
    ),
  };
}

async function readPortalToken(ctx: ManagerContext, text: string): Promise<SignInToken> {
  const secret = await ctx.config.get(PORTAL_SECRET);
  if (!secret) throw refused();
  const { claims, isSigned } = readJwt(text, portalClaims);
  const nowSec = ctx.clock.now().getTime() / 1000;
  const { iat, exp, access_key: accessKey } = claims;
  const isTimely =
    iat <= nowSec + LEEWAY_SEC &&
    exp > nowSec - LEEWAY_SEC &&
    exp <= nowSec + MAX_PORTAL_LIFETIME_SEC;
  if (!isSigned(secret) || !isTimely) throw refused();
  const userId = await store.selectKeypairOwner(ctx.sql, accessKey);
  if (userId === null) throw refused();
  // Of the signed part only: the same signature can be spelled in several ways.
  const signed = createHash('sha256').update(text.trim().split('.').slice(0, 2).join('.'));
  const key = `sign-in-token-used:${signed.digest('hex')}`;
  if ((await ctx.live.get(key)) !== null) throw refused();
  const ttlMs = Math.ceil((exp - nowSec + 2 * LEEWAY_SEC) * 1000);
  return {
    userId,
    force: false,
    once: taken(
      () => ctx.live.set(key, '1', { ttlMs, onlyIfAbsent: true }),
      () => ctx.live.delete(key),
    ),
  };
}

/** @throws BackendError RejectedByHook for a token that is not, or no longer, accepted. */
export async function readSignInToken(ctx: ManagerContext, token: string): Promise<SignInToken> {
  if (!token.includes('.')) return readGrant(ctx, token);
  try {
    return await readPortalToken(ctx, token);
  } catch (error) {
    if (error instanceof BackendError && error.name === 'AuthorizationFailed') throw refused();
    throw error;
  }
}
