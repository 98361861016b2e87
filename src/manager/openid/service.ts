/**
 * Signing in through an OpenID Connect provider: sending the browser there, recognising it when it
 * comes back, and finding or making the account of the person. The account then signs in with a
 * token that counts once (`../auth/sign-in-token.ts`).
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import type { Random } from '../../common/random.ts';
import { change } from '../audit/service.ts';
import { issueSignInToken } from '../auth/sign-in-token.ts';
import type { ManagerContext } from '../context.ts';
import { projectIdByName } from '../project/manage.ts';
import { createUser } from '../user/manage.ts';
import type { Provider, Secrets } from './provider.ts';
import { type Identity, identityOf, SUBJECT_PREFIX } from './rules.ts';
import { type OpenIdSettings, readOpenIdSettings } from './settings.ts';
import * as store from './store.ts';

/** How long somebody may take at the provider. */
export const PENDING_MS = 600_000;
/** Sign-ins that may be begun from one address within `PENDING_MS`. */
const MAX_FROM_ADDRESS = 60;
/** The provider sends the browser back here, at the origin of the login page. */
const CALLBACK_PATH = '/func/openid/redirect';

export interface Requester {
  readonly requestId: string;
  readonly clientAddress: string | null;
}

const pendingSchema = v.object({
  codeVerifier: v.string(),
  nonce: v.string(),
  redirectTo: v.string(),
  force: v.boolean(),
  /** SHA-256 of what the browser's cookie holds. */
  browser: v.string(),
});
const pendingKey = (state: string): string => `openid-pending:${state}`;
const secretText = (random: Random): string => Buffer.from(random.bytes(32)).toString('base64url');
const digest = (text: string): string => createHash('sha256').update(text).digest('hex');
const isSame = (one: string, other: string): boolean =>
  one.length === other.length && timingSafeEqual(Buffer.from(one), Buffer.from(other));

async function requireSettings({ config }: ManagerContext): Promise<OpenIdSettings> {
  const settings = await readOpenIdSettings(config);
  if (settings !== null) return settings;
  throw new BackendError(
    'URLNotFound',
    'OpenID Connect is not set up: config/plugins/webapp/openid is empty.',
  );
}

/** A page of the login page's origin: to any other, the sign-in would be given away. */
function checkedReturn({ loginUri }: OpenIdSettings, wanted: string | null): string {
  if (wanted === null || wanted === '') return loginUri.href;
  const url = URL.parse(wanted, loginUri);
  if (url !== null && url.origin === loginUri.origin) return url.href;
  throw new BackendError(
    'InvalidAPIParameters',
    `redirect_to must be a page of ${loginUri.origin}, where the login page is.`,
  );
}

/**
 * Begins a sign-in. @returns where to send the browser, and what its cookie must hold.
 * @throws BackendError URLNotFound where it is not set up; InvalidAPIParameters for a foreign page;
 *   RateLimitExceeded; ServiceUnavailable when the provider does not answer.
 */
export async function begin(
  ctx: ManagerContext,
  provider: Provider,
  wanted: { readonly redirectTo: string | null; readonly force: boolean } & Requester,
): Promise<{ location: string; browserSecret: string; isSecure: boolean }> {
  const settings = await requireSettings(ctx);
  const redirectTo = checkedReturn(settings, wanted.redirectTo);
  const begun = await ctx.live.increment(`openid-begun:${wanted.clientAddress ?? ''}`, {
    ttlMs: PENDING_MS,
  });
  if (begun > MAX_FROM_ADDRESS) throw new BackendError('RateLimitExceeded');
  const { random } = ctx;
  const secrets: Secrets = {
    codeVerifier: secretText(random),
    state: secretText(random),
    nonce: secretText(random),
  };
  const browserSecret = secretText(random);
  const callback = new URL(CALLBACK_PATH, settings.loginUri).href;
  const location = await provider.authorizationUrl(settings, callback, secrets);
  const pending: v.InferOutput<typeof pendingSchema> = {
    codeVerifier: secrets.codeVerifier,
    nonce: secrets.nonce,
    redirectTo,
    force: wanted.force,
    browser: digest(browserSecret),
  };
  await ctx.live.set(pendingKey(secrets.state), JSON.stringify(pending), { ttlMs: PENDING_MS });
  return {
    location: location.href,
    browserSecret,
    isSecure: settings.loginUri.protocol === 'https:',
  };
}

/** What was begun under that state, once, and only by the browser that began it. */
async function takePending(ctx: ManagerContext, state: string | null, browser: string | null) {
  const key = pendingKey(state ?? '');
  const stored = state === null ? null : await ctx.live.get(key);
  const pending = stored === null ? null : v.parse(pendingSchema, JSON.parse(stored));
  if (
    pending === null ||
    browser === null ||
    !isSame(pending.browser, digest(browser)) ||
    (await ctx.live.delete(key)) === 0
  ) {
    throw new BackendError(
      'InvalidOpenIdSession',
      'This sign-in was not begun in this browser, or too long ago. Begin it again.',
    );
  }
  return pending;
}

/** Makes the account of somebody who signs in for the first time. */
async function provision(ctx: ManagerContext, by: Requester, identity: Identity): Promise<string> {
  const { email, fullName, mapping, subject } = identity;
  const project = await projectIdByName(ctx.sql, mapping.domain, mapping.project);
  if (project === null) {
    throw new BackendError(
      'ServerMisconfiguredError',
      `Your account cannot be made: there is no project '${mapping.project}' in domain ` +
        `'${mapping.domain}'. Tell the administrator.`,
    );
  }
  const { userId } = await createUser(
    { ctx, caller: { userId: null, email }, ...by },
    email,
    {
      username: email,
      // Nobody learns it: this account signs in through the provider.
      password: secretText(ctx.random),
      full_name: fullName,
      domain_name: mapping.domain,
      resource_policy: mapping.userResourcePolicy,
      status: 'active',
      status_info: 'openid-created',
      need_password_change: false,
      integration_id: subject,
      projectIds: [project],
    },
    { resourcePolicy: mapping.keypairResourcePolicy },
  );
  return userId;
}

/**
 * The account of the person: the one linked with the provider's account; else the one with that
 * address, which is linked from now on; else a new one.
 */
async function accountOf(ctx: ManagerContext, by: Requester, identity: Identity): Promise<string> {
  const { subject, email } = identity;
  const found = await store.selectAccount(ctx.sql, subject, email);
  if (found === null) return provision(ctx, by, identity);
  const { userId, integrationId } = found;
  if (integrationId === subject) return userId;
  if (integrationId?.startsWith(SUBJECT_PREFIX)) {
    throw new BackendError(
      'InvalidOpenIdSession',
      `The account ${email} belongs to another person of the provider. Ask the administrator.`,
    );
  }
  // Some other system's id stays; such an account is recognised by its address each time.
  if (integrationId !== null) return userId;
  await change({ ctx, caller: { userId, email }, ...by }, async (tx, note) => {
    if (!(await store.linkAccount(tx, userId, subject))) {
      throw new BackendError('InvalidOpenIdSession', 'The account changed meanwhile. Try again.');
    }
    note({
      entityType: 'user',
      entityId: userId,
      operation: 'update',
      before: { integration_id: null },
      after: { integration_id: subject },
    });
  });
  return userId;
}

/**
 * Ends a sign-in at the provider. @returns the page to go to, with the token that signs in there.
 * @param search the query with which the browser came back.
 * @throws BackendError InvalidOpenIdSession when it was not begun in this browser, or the provider
 *   or the rules refuse the person; UserConflict when another account has that name.
 */
export async function finish(
  ctx: ManagerContext,
  provider: Provider,
  returned: { readonly search: URLSearchParams; readonly browserSecret: string | null } & Requester,
): Promise<string> {
  const { search, browserSecret, requestId, clientAddress } = returned;
  const settings = await requireSettings(ctx);
  const state = search.get('state');
  const pending = await takePending(ctx, state, browserSecret);
  const callback = new URL(CALLBACK_PATH, settings.loginUri);
  callback.search = search.toString();
  const { codeVerifier, nonce, redirectTo, force } = pending;
  const secrets = { codeVerifier, nonce, state: state ?? '' };
  const identity = identityOf(settings, await provider.claims(settings, callback, secrets));
  const userId = await accountOf(ctx, { requestId, clientAddress }, identity);
  const location = new URL(redirectTo);
  location.searchParams.set('sToken', await issueSignInToken(ctx, { userId, force }));
  return location.href;
}
