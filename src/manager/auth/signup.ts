/** Opening an account by oneself, which an administrator then lets in, and closing it again. */
import { BackendError } from '../../common/errors.ts';
import type { LiveStore } from '../../stores/live/port.ts';
import type { AuthoredChange } from '../audit/service.ts';
import type { ManagerContext } from '../context.ts';
import { projectIdByName } from '../project/manage.ts';
import { closeOwnAccount, createUser } from '../user/manage.ts';
import type { OwnChange } from './account.ts';
import * as store from './account-store.ts';
import { endAllSignIns, verifiedAccount } from './login.ts';
import { requireGoodPassword } from './password-rules.ts';

/** The project that new accounts belong to, where the domain has one of that name. */
const DEFAULT_PROJECT = 'default';
const POLICY = 'default';
/** Requests per 15 minutes. */
const RATE_LIMIT = 1000;
/** Accounts that may be opened from one address within `WINDOW_MS`. */
const MAX_FROM_ADDRESS = 20;
const WINDOW_MS = 3_600_000;

export interface NewAccount {
  readonly domain: string;
  readonly email: string;
  readonly password: string;
  readonly username: string | null;
  readonly fullName: string | null;
  readonly description: string | null;
}

async function countFrom(live: LiveStore, address: string | null): Promise<void> {
  const count = await live.increment(`signups:${address ?? ''}`, { ttlMs: WINDOW_MS });
  if (count <= MAX_FROM_ADDRESS) return;
  throw new BackendError(
    'RateLimitExceeded',
    `More than ${MAX_FROM_ADDRESS} accounts were asked for from this address within an hour.`,
  );
}

/**
 * Opens an account that is inactive until an administrator activates it. Its keypair works from
 * that moment on.
 * @throws BackendError EmailAlreadyExists; RejectedByHook for a bad password; UserCreationBadRequest
 *   for an address that is none; DomainNotFound; RateLimitExceeded.
 */
export async function signUp(
  by: Omit<AuthoredChange, 'caller' | 'ctx'> & { readonly ctx: ManagerContext },
  wanted: NewAccount,
): Promise<{ accessKey: string; secretKey: string }> {
  const { sql, live } = by.ctx;
  const { domain, email } = wanted;
  await countFrom(live, by.clientAddress);
  requireGoodPassword(wanted.password);
  if (!(await store.isActiveDomain(sql, domain))) {
    throw new BackendError('DomainNotFound', `There is no active domain '${domain}'.`);
  }
  if (await store.emailExists(sql, email)) throw new BackendError('EmailAlreadyExists');
  const project = await projectIdByName(sql, domain, DEFAULT_PROJECT);
  const author = { ...by, caller: { userId: null, email } };
  const { accessKey, secretKey } = await createUser(
    author,
    email,
    {
      username: wanted.username || email,
      password: wanted.password,
      full_name: wanted.fullName ?? '',
      description: wanted.description ?? '',
      domain_name: domain,
      resource_policy: POLICY,
      status: 'inactive',
      status_info: 'user-signup',
      need_password_change: false,
      projectIds: project === null ? [] : [project],
    },
    { isActive: true, resourcePolicy: POLICY, rateLimit: RATE_LIMIT },
  );
  return { accessKey, secretKey: secretKey ?? '' };
}

/**
 * Closes the caller's own account and ends all its sign-ins.
 * @throws BackendError GenericForbidden for another's account, AuthorizationFailed for a wrong
 *   password.
 */
export async function signOut(
  asked: OwnChange,
  given: { readonly email: string; readonly password: string },
): Promise<void> {
  const { ctx, caller } = asked;
  if (given.email !== caller.email) {
    throw new BackendError('GenericForbidden', 'You can close your own account only.');
  }
  const { domainName: domain, email, userId } = caller;
  await verifiedAccount(ctx, { domain, email, password: given.password });
  await closeOwnAccount(asked);
  await endAllSignIns(ctx, userId);
}
