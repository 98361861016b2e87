/** Making, changing and removing domains. */
import type { TransactionSql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import type { SlotMap } from '../../common/slots.ts';
import { type ChangeContext, change } from '../audit/service.ts';
import { followDomainName, forgetElement, giveRoles } from '../authz/system-roles.ts';
import type { HostPermissions } from '../db/json.ts';
import type { DomainRow } from '../db/rows.generated.ts';
import { addModelStore } from '../project/manage.ts';
import { countUnfinishedSessions } from '../session/usage.ts';
import * as store from './manage-store.ts';

const ENTITY = 'domain';

/** What an administrator says about a domain; undefined leaves it as it is. */
export interface DomainWishes
  extends Omit<store.DomainChanges, 'total_resource_slots' | 'allowed_vfolder_hosts'> {
  readonly totalResourceSlots?: SlotMap;
  readonly allowedVfolderHosts?: HostPermissions;
}

function toColumns(wishes: DomainWishes): store.DomainChanges {
  const { totalResourceSlots, allowedVfolderHosts, ...rest } = wishes;
  return {
    ...rest,
    ...(totalResourceSlots && { total_resource_slots: { json: totalResourceSlots } }),
    ...(allowedVfolderHosts && { allowed_vfolder_hosts: { json: allowedVfolderHosts } }),
  };
}

/** Letters and digits of any script, with dots, dashes and underscores between them. */
const NAME = /^[\p{L}\p{N}](?:[\p{L}\p{N}._-]*[\p{L}\p{N}])?$/u;

function checkName(name: string | undefined): void {
  if (name === undefined || (name.length <= 64 && NAME.test(name))) return;
  throw new BackendError(
    'InvalidAPIParameters',
    'A domain name has 1 to 64 letters and digits, with dots, dashes and underscores in between.',
  );
}

/**
 * Makes a domain with a project for models.
 * @throws BackendError RepositoryIntegrityError when the name is taken, InvalidAPIParameters when it
 *   is none.
 */
export function createDomain(by: ChangeContext, name: string, wishes: DomainWishes): Promise<void> {
  checkName(name);
  return change(by, async (tx, note) => {
    await store.insertDomain(tx, name);
    const after = await store.updateDomain(tx, name, toColumns(wishes));
    await giveRoles(tx, 'domain', name);
    note({ entityType: ENTITY, entityId: name, operation: 'create', after });
    await addModelStore(tx, note, by.ctx.random, name);
  });
}

async function lockedDomain(tx: TransactionSql, name: string): Promise<DomainRow> {
  const row = await store.lockDomain(tx, name);
  if (row === null) throw new BackendError('DomainNotFound', `There is no domain '${name}'.`);
  return row;
}

/**
 * Changes a domain. @returns its name afterwards.
 * @throws BackendError DomainNotFound, RepositoryIntegrityError for a new name that is taken or
 *   while users refer to the old one.
 */
export function modifyDomain(
  by: ChangeContext,
  name: string,
  wishes: DomainWishes,
): Promise<string> {
  checkName(wishes.name);
  return change(by, async (tx, note) => {
    const before = await lockedDomain(tx, name);
    const after = await store.updateDomain(tx, name, toColumns(wishes));
    if (after) await followDomainName(tx, name, after.name);
    note({ entityType: ENTITY, entityId: name, operation: 'update', before, after });
    return after?.name ?? name;
  });
}

/**
 * Closes a domain; everything in it stays.
 * @throws BackendError DomainNotFound.
 */
export function deleteDomain(by: ChangeContext, name: string): Promise<void> {
  return change(by, async (tx, note) => {
    const before = await lockedDomain(tx, name);
    const after = await store.updateDomain(tx, name, { is_active: false });
    note({ entityType: ENTITY, entityId: name, operation: 'delete', before, after });
  });
}

/**
 * Removes an empty domain.
 * @throws BackendError DomainNotFound, DomainHasActiveKernels, DomainHasUsers, DomainHasGroups.
 */
export function purgeDomain(by: ChangeContext, name: string): Promise<void> {
  return change(by, async (tx, note) => {
    const before = await lockedDomain(tx, name);
    if ((await countUnfinishedSessions(tx, { kind: 'domain', domainName: name })) > 0) {
      throw new BackendError('DomainHasActiveKernels');
    }
    const { users, projects } = await store.countContents(tx, name);
    if (users > 0) {
      throw new BackendError('DomainHasUsers', `${users} user(s) belong to it. Purge them first.`);
    }
    if (projects > 0) {
      throw new BackendError(
        'DomainHasGroups',
        `${projects} project(s) belong to it. Purge them first.`,
      );
    }
    await store.deleteDomain(tx, name);
    await forgetElement(tx, 'domain', name);
    note({ entityType: ENTITY, entityId: name, operation: 'purge', before });
  });
}
