/** Which rows a caller may see of lists that are scoped by access key, and page arguments. */
import { BackendError } from '../../common/errors.ts';
import type { Caller } from '../http/route.ts';

/** Restrictions on rows; null means none. */
export interface RowScope {
  readonly domainName: string | null;
  readonly accessKey: string | null;
}

interface ScopeArguments {
  readonly domain_name?: string | null | undefined;
  readonly access_key?: string | null | undefined;
}

/**
 * The rows that `caller` may see: superadmins all, domain admins their domain, users their own
 * key's.
 * @throws BackendError GenericForbidden when the arguments ask for more.
 */
export function scopeByAccessKey(
  caller: Pick<Caller, 'role' | 'domainName' | 'accessKey'>,
  args: ScopeArguments,
): RowScope {
  const domainName = args.domain_name ?? null;
  const accessKey = args.access_key ?? null;
  if (caller.role === 'superadmin') return { domainName, accessKey };
  if (caller.role !== 'admin' && caller.role !== 'user') {
    throw new BackendError('GenericForbidden', `Unknown client role '${caller.role}'.`);
  }
  if (domainName !== null && domainName !== caller.domainName) {
    throw new BackendError(
      'GenericForbidden',
      `Only domain '${caller.domainName}' is visible to you.`,
    );
  }
  if (caller.role === 'admin') return { domainName: caller.domainName, accessKey };
  if (accessKey !== null && accessKey !== caller.accessKey) {
    throw new BackendError('GenericForbidden', 'Only what your own access key owns is visible.');
  }
  return { domainName: caller.domainName, accessKey: caller.accessKey };
}

/** @throws BackendError GenericForbidden unless the caller is a superadmin. */
export function requireSuperadmin(caller: Pick<Caller, 'role'>): void {
  if (caller.role !== 'superadmin') {
    throw new BackendError('GenericForbidden', 'superadmin privilege required');
  }
}

/**
 * The same for fields of the newer schema, in upstream's words.
 * @throws BackendError GenericForbidden unless the caller is a superadmin.
 */
export function requireAdministrator(caller: Pick<Caller, 'role'>): void {
  if (caller.role !== 'superadmin') {
    throw new BackendError('GenericForbidden', 'Admin exclusive access');
  }
}

/**
 * @throws BackendError GenericForbidden unless the caller is a superadmin, or an administrator who
 *   asks for no other domain than its own.
 */
export function requireDomainAdmin(
  caller: Pick<Caller, 'role' | 'domainName'>,
  domainName: string | null | undefined,
): void {
  if (caller.role === 'superadmin') return;
  if (caller.role !== 'admin') {
    throw new BackendError('GenericForbidden', 'Forbidden operation. (admin privilege required)');
  }
  if (domainName != null && domainName !== caller.domainName) {
    throw new BackendError(
      'GenericForbidden',
      `Only domain '${caller.domainName}' is visible to you.`,
    );
  }
}

/**
 * Refuses arguments that name somebody else's: domain admins stay in their domain, others with what
 * is their own.
 * @param asked.key what the argument names, `own` what the caller's own would be.
 * @throws BackendError GenericForbidden.
 */
export function checkOwnScope(
  caller: Pick<Caller, 'role' | 'domainName'>,
  own: string,
  asked: { readonly domain_name?: string | null; readonly key?: string | null },
): void {
  if (caller.role === 'superadmin') return;
  if (asked.domain_name != null && asked.domain_name !== caller.domainName) {
    throw new BackendError('GenericForbidden', 'You may only ask for your own domain.');
  }
  if (caller.role !== 'admin' && asked.key != null && asked.key !== own) {
    throw new BackendError('GenericForbidden', 'You may only ask for what is your own.');
  }
}

/** The arguments of an offset page. */
export type Page = { readonly limit: number; readonly offset: number };

const MAX_PAGE = 1000;

/** @throws BackendError InvalidAPIParameters when a number is negative or the page too large. */
export function pageOf(args: Page): Page {
  const { limit, offset } = args;
  if (limit < 0 || offset < 0 || limit > MAX_PAGE) {
    throw new BackendError(
      'InvalidAPIParameters',
      `limit must be between 0 and ${MAX_PAGE} and offset at least 0.`,
    );
  }
  return { limit, offset };
}

/**
 * A comma-separated list of names, upper-cased; null when absent.
 * @throws BackendError InvalidAPIParameters naming one that is not in `known`.
 */
export function nameList(
  text: string | null | undefined,
  known: readonly string[],
): string[] | null {
  if (text === null || text === undefined || text.trim() === '') return null;
  const names = text.split(',').map((name) => name.trim().toUpperCase());
  const wrong = names.find((name) => !known.includes(name));
  if (wrong !== undefined) {
    throw new BackendError('InvalidAPIParameters', `'${wrong}' is not one of ${known.join(', ')}.`);
  }
  return names;
}
