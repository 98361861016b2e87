/** What people do with their own keypairs. */
import type { TransactionSql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import { type ChangeContext, change } from '../audit/service.ts';
import type { KeypairRow } from '../db/rows.generated.ts';
import { addKeypair, DEFAULT_RATE_LIMIT, ENTITY } from './manage.ts';
import * as store from './manage-store.ts';

/** Keypairs that people may have who make them themselves. */
const MAX_OWN = 100;

/** The policy of a keypair when there is no main one to follow. */
const FALLBACK_POLICY = 'default';

/** @throws BackendError AccessKeyNotFound also for somebody else's. */
async function ownKeypair(
  by: ChangeContext,
  tx: TransactionSql,
  accessKey: string,
): Promise<KeypairRow> {
  const row = await store.lockKeypair(tx, accessKey);
  if (row?.user === by.caller.userId) return row;
  throw new BackendError('AccessKeyNotFound', `You have no keypair '${accessKey.slice(0, 40)}'.`);
}

/** @throws BackendError KeyPairForbidden for the main keypair. */
async function refuseMain(tx: TransactionSql, accessKey: string, what: string): Promise<void> {
  if (!(await store.isMainKey(tx, accessKey))) return;
  throw new BackendError(
    'KeyPairForbidden',
    `Your main access key cannot be ${what}. Make another one the main key first.`,
  );
}

/**
 * Makes another keypair for the caller, with the rights and limits of the main one. @returns its key.
 * @throws BackendError InvalidAPIParameters when the caller has too many.
 */
export function issueOwnKeypair(by: ChangeContext): Promise<string> {
  const { userId, email } = by.caller;
  return change(by, async (tx, note) => {
    const own = await store.lockKeypairsOf(tx, userId);
    if (own.length >= MAX_OWN) {
      throw new BackendError(
        'InvalidAPIParameters',
        `You have ${own.length} keypairs, which is as many as there may be. Revoke some.`,
      );
    }
    const mainKey = await store.selectMainKey(tx, userId);
    const main = own.find(({ access_key }) => access_key === mainKey);
    const row = await addKeypair(tx, note, by.ctx.random, {
      userId,
      email,
      isActive: true,
      isAdmin: main?.is_admin ?? false,
      resourcePolicy: main?.resource_policy ?? FALLBACK_POLICY,
      rateLimit: main?.rate_limit ?? DEFAULT_RATE_LIMIT,
    });
    return row.access_key;
  });
}

/**
 * Removes a keypair of the caller.
 * @throws BackendError AccessKeyNotFound, KeyPairForbidden for the main one.
 */
export function revokeOwnKeypair(by: ChangeContext, accessKey: string): Promise<void> {
  return change(by, async (tx, note) => {
    const before = await ownKeypair(by, tx, accessKey);
    await refuseMain(tx, accessKey, 'revoked');
    await store.deleteKeypair(tx, accessKey);
    note({ entityType: ENTITY, entityId: accessKey, operation: 'delete', before });
  });
}

/**
 * Switches a keypair of the caller on or off.
 * @throws BackendError AccessKeyNotFound, KeyPairForbidden for switching off the main one.
 */
export function switchOwnKeypair(
  by: ChangeContext,
  accessKey: string,
  isActive: boolean,
): Promise<void> {
  return change(by, async (tx, note) => {
    const before = await ownKeypair(by, tx, accessKey);
    if (!isActive) await refuseMain(tx, accessKey, 'switched off');
    const after = await store.updateKeypair(tx, accessKey, { is_active: isActive });
    note({ entityType: ENTITY, entityId: accessKey, operation: 'update', before, after });
  });
}

/**
 * Makes a keypair of the caller the main one.
 * @throws BackendError AccessKeyNotFound, KeyPairForbidden for one that is switched off.
 */
export function chooseMainKeypair(by: ChangeContext, accessKey: string): Promise<void> {
  const { userId } = by.caller;
  return change(by, async (tx, note) => {
    const keypair = await ownKeypair(by, tx, accessKey);
    if (!keypair.is_active) {
      throw new BackendError(
        'KeyPairForbidden',
        'A keypair that is switched off cannot be the main one.',
      );
    }
    const before = { main_access_key: await store.selectMainKey(tx, userId) };
    await store.updateMainKey(tx, userId, accessKey);
    const after = { main_access_key: accessKey };
    note({ entityType: 'user', entityId: userId, operation: 'update', before, after });
  });
}
