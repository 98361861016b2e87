/** Making, changing and removing keypairs. */
import type { TransactionSql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import { generateKeypair, type Random } from '../../common/random.ts';
import { type Change, type ChangeContext, change } from '../audit/service.ts';
import type { KeypairRow } from '../db/rows.generated.ts';
import * as store from './manage-store.ts';

type Note = (change: Change) => void;

/** How the audit log names them. */
export const ENTITY = 'keypair';

/** Requests per 15 minutes of a keypair for which nobody chose. */
export const DEFAULT_RATE_LIMIT = 10_000;

/** Makes a keypair within somebody else's change. */
export async function addKeypair(
  tx: TransactionSql,
  note: Note,
  random: Random,
  keypair: store.NewKeypair,
): Promise<KeypairRow> {
  const row = await store.insertKeypair(tx, generateKeypair(random), keypair);
  note({ entityType: ENTITY, entityId: row.access_key, operation: 'create', after: row });
  return row;
}

/** Changes all keypairs of a user within the change of the user. */
export async function changeKeypairsOf(
  tx: TransactionSql,
  note: Note,
  userId: string,
  changes: store.KeypairChanges,
): Promise<void> {
  for (const row of await store.updateKeypairsOf(tx, userId, changes)) {
    note({ entityType: ENTITY, entityId: row.access_key, operation: 'update', after: row });
  }
}

/** Removes all keypairs of a user within the user's removal. */
export function removeKeypairsOf(tx: TransactionSql, userId: string): Promise<void> {
  return store.deleteKeypairsOf(tx, userId);
}

/** Whether the keypair is this user's. */
export async function ownsKeypair(
  tx: TransactionSql,
  userId: string,
  accessKey: string,
): Promise<boolean> {
  return (await store.lockKeypair(tx, accessKey))?.user === userId;
}

/** The keypairs' requests are counted in 32 bits. */
function checkRateLimit(rateLimit: number | null | undefined): void {
  if (rateLimit != null && rateLimit < 0) {
    throw new BackendError('InvalidAPIParameters', 'rate_limit must be at least 0.');
  }
}

/**
 * Makes a keypair for a user. @returns its access key.
 * @param owner e-mail address or id.
 * @throws BackendError UserNotFound, RepositoryIntegrityError for an unknown policy.
 */
export function createKeypair(
  by: ChangeContext,
  owner: string,
  wanted: Omit<store.NewKeypair, 'userId' | 'email'>,
): Promise<string> {
  checkRateLimit(wanted.rateLimit);
  return change(by, async (tx, note) => {
    const user = await store.selectOwner(tx, owner);
    if (user === null) throw new BackendError('UserNotFound', `There is no user '${owner}'.`);
    return (await addKeypair(tx, note, by.ctx.random, { ...wanted, ...user })).access_key;
  });
}

/**
 * Changes a keypair.
 * @throws BackendError AccessKeyNotFound, RepositoryIntegrityError for an unknown policy.
 */
export function modifyKeypair(
  by: ChangeContext,
  accessKey: string,
  changes: store.KeypairChanges,
): Promise<void> {
  checkRateLimit(changes.rate_limit);
  return change(by, async (tx, note) => {
    const before = await store.lockKeypair(tx, accessKey);
    if (before === null) throw new BackendError('AccessKeyNotFound');
    const after = await store.updateKeypair(tx, accessKey, changes);
    note({ entityType: ENTITY, entityId: accessKey, operation: 'update', before, after });
  });
}

/**
 * Removes a keypair.
 * @throws BackendError AccessKeyNotFound; GenericForbidden for a user's main keypair.
 */
export function deleteKeypair(by: ChangeContext, accessKey: string): Promise<void> {
  return change(by, async (tx, note) => {
    const before = await store.lockKeypair(tx, accessKey);
    if (before === null) throw new BackendError('AccessKeyNotFound');
    if (await store.isMainKey(tx, accessKey)) {
      throw new BackendError(
        'GenericForbidden',
        'the keypair is used as main access key by any user',
      );
    }
    await store.deleteKeypair(tx, accessKey);
    note({ entityType: ENTITY, entityId: accessKey, operation: 'delete', before });
  });
}
