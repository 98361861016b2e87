/** Acting for somebody else: which keypair an operation with `owner_access_key` runs as. */
import type { Sql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import type { Caller } from '../http/route.ts';
import { findActiveKeypair } from '../keypair/service.ts';

/** Whether `caller` may act as the owner of another keypair. */
function mayActFor(
  caller: Pick<Caller, 'role' | 'domainName'>,
  owner: Pick<Caller, 'role' | 'domainName'>,
): boolean {
  if (caller.role === 'superadmin') return true;
  return (
    caller.role === 'admin' && owner.role !== 'superadmin' && owner.domainName === caller.domainName
  );
}

/**
 * The principal that `ownerAccessKey` stands for; null, empty or the caller's own key mean the
 * caller.
 * @throws BackendError GenericForbidden when the caller may not act for that owner,
 *   InvalidAPIParameters when the key is unknown (told only to those who might use it).
 */
export async function resolveOwner(
  sql: Sql,
  caller: Caller,
  ownerAccessKey: string | null | undefined,
): Promise<Caller> {
  if (!ownerAccessKey || ownerAccessKey === caller.accessKey) return caller;
  if (caller.role !== 'superadmin' && caller.role !== 'admin') {
    throw new BackendError(
      'GenericForbidden',
      'Only admins may act for the owner of another access key. Leave owner_access_key out.',
    );
  }
  const owner = await findActiveKeypair(sql, ownerAccessKey);
  if (!owner) {
    throw new BackendError('InvalidAPIParameters', `Unknown owner access key '${ownerAccessKey}'.`);
  }
  if (!mayActFor(caller, owner.caller)) {
    throw new BackendError(
      'GenericForbidden',
      'A domain admin may act for users of the own domain only, and never for a superadmin.',
    );
  }
  return owner.caller;
}
