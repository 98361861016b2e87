/** Listing, making, changing and removing resource groups, and who may use them. */
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { parseOutside } from '../../common/parse.ts';
import { type ChangeContext, change } from '../audit/service.ts';
import type { Db } from '../db/connect.ts';
import type { ScalingGroupRow } from '../db/rows.generated.ts';
import * as store from './manage-store.ts';
import { defaultSessionOptions, type PreemptionOptions, schedulerOptions } from './options.ts';

export type { Owner } from './manage-store.ts';

const ENTITY = 'scaling_group';
/** Largest number of resource groups in one answer. */
const MAX_LISTED = 1000;

const SCHEDULERS = ['fifo', 'lifo', 'drf', 'fair-share'];

/** Resource groups by name, for superadmins; at most 1000. */
export function listGroupRows(sql: Db, filter: store.GroupFilter): Promise<ScalingGroupRow[]> {
  return store.selectGroups(sql, filter, MAX_LISTED);
}

/** What an administrator says about a resource group; undefined leaves it as it is. */
export interface GroupWishes extends Omit<store.GroupChanges, 'driver_opts' | 'scheduler_opts'> {
  readonly driverOptions?: unknown;
  /** Replaces all options; what it leaves out gets its default. */
  readonly schedulerOptions?: unknown;
  /** Changes these of the options of preemption, the others stay. */
  readonly preemption?: Partial<PreemptionOptions> | undefined;
}

/** The scheduler's options of a row with other options of preemption. */
function withPreemption(row: ScalingGroupRow, preemption: Partial<PreemptionOptions>) {
  const options = v.parse(schedulerOptions, row.scheduler_opts);
  return { json: { ...options, preemption: { ...options.preemption, ...preemption } } };
}

/** @throws BackendError InvalidAPIParameters for options that would stop the scheduler. */
function toColumns(wishes: GroupWishes): store.GroupChanges {
  const { driverOptions, schedulerOptions: scheduling, preemption: _later, ...rest } = wishes;
  if (rest.scheduler !== undefined && !SCHEDULERS.includes(rest.scheduler)) {
    throw new BackendError(
      'InvalidAPIParameters',
      `'${rest.scheduler}' is no scheduler: ${SCHEDULERS.join(', ')}.`,
    );
  }
  return {
    ...rest,
    ...(driverOptions !== undefined && { driver_opts: { json: plainObject(driverOptions) } }),
    ...(scheduling !== undefined && { scheduler_opts: { json: parseOptions(scheduling) } }),
  };
}

function plainObject(value: unknown): object {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  throw new BackendError('InvalidAPIParameters', 'driver_opts: expected a JSON object.');
}

function parseOptions(value: unknown): object {
  const parsed = parseOutside(schedulerOptions, value);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  throw new BackendError(
    'InvalidAPIParameters',
    `scheduler_opts: ${v.getDotPath(issue) ?? 'the value'}: ${issue.message}`,
  );
}

function checkName(name: string): void {
  if (name.trim() !== '' && name.length <= 64 && !/[\p{Cc}/]/u.test(name)) return;
  throw new BackendError(
    'InvalidAPIParameters',
    'A resource group name has 1 to 64 characters, no slash and no control character.',
  );
}

/**
 * Makes a resource group, which nobody may use yet but `owner`.
 * @throws BackendError ScalingGroupConflict when the name is taken, InvalidAPIParameters for a name
 *   or options that are none, RepositoryIntegrityError for an owner that does not exist.
 */
export function createGroup(
  by: ChangeContext,
  name: string,
  wishes: GroupWishes & { readonly driver: string; readonly scheduler: string },
  owner?: store.Owner,
): Promise<void> {
  checkName(name);
  const columns = toColumns(wishes);
  return change(
    by,
    async (tx, note) => {
      await store.insertGroup(tx, {
        name,
        driver: wishes.driver,
        scheduler: wishes.scheduler,
        schedulerOptions: v.parse(schedulerOptions, {}),
        sessionOptions: v.parse(defaultSessionOptions, {}),
      });
      const after = await store.updateGroup(tx, name, columns);
      note({ entityType: ENTITY, entityId: name, operation: 'create', after });
      if (owner === undefined) return;
      await store.associate(tx, [name], owner);
      note({ entityType: ENTITY, entityId: name, operation: 'associate', after: owner });
    },
    'ScalingGroupConflict',
  );
}

const notFound = (name: string): BackendError =>
  new BackendError('ScalingGroupNotFound', `There is no resource group '${name}'.`);

/**
 * Changes a resource group; the scheduler follows with its next cycle.
 * @throws BackendError ScalingGroupNotFound, InvalidAPIParameters for options that are none.
 */
export async function modifyGroup(
  by: ChangeContext,
  name: string,
  wishes: GroupWishes,
): Promise<void> {
  const columns = toColumns(wishes);
  await change(by, async (tx, note) => {
    const before = await store.lockGroup(tx, name);
    if (before === null) throw notFound(name);
    const after = await store.updateGroup(tx, name, {
      ...columns,
      ...(wishes.preemption && { scheduler_opts: withPreemption(before, wishes.preemption) }),
    });
    note({ entityType: ENTITY, entityId: name, operation: 'update', before, after });
  });
  by.ctx.events.publish({ type: 'wake', loop: 'schedule' });
}

/**
 * Removes a resource group and its associations.
 * @throws BackendError ScalingGroupNotFound, RepositoryIntegrityError while agents or sessions
 *   belong to it.
 */
export function deleteGroup(by: ChangeContext, name: string): Promise<void> {
  return change(by, async (tx, note) => {
    const before = await store.lockGroup(tx, name);
    if (before === null) throw notFound(name);
    await store.deleteGroup(tx, name);
    note({ entityType: ENTITY, entityId: name, operation: 'delete', before });
  });
}

/**
 * Lets a domain, a project or a keypair use resource groups.
 * @throws BackendError RepositoryIntegrityError when one of them does not exist.
 */
export function associateGroups(
  by: ChangeContext,
  names: readonly string[],
  owner: store.Owner,
): Promise<void> {
  return change(by, async (tx, note) => {
    await store.associate(tx, names, owner);
    for (const name of names) {
      note({ entityType: ENTITY, entityId: name, operation: 'associate', after: owner });
    }
  });
}

/**
 * Ends the use of resource groups by a domain, a project or a keypair; running sessions go on.
 * @param names null: of all of them.
 * @throws BackendError ScalingGroupNotFound when the one named group was not associated.
 */
export function disassociateGroups(
  by: ChangeContext,
  names: readonly string[] | null,
  owner: store.Owner,
): Promise<void> {
  return change(by, async (tx, note) => {
    const gone = await store.disassociate(tx, names, owner);
    if (names?.length === 1 && gone.length === 0) {
      throw new BackendError('ScalingGroupNotFound', 'They were not associated.');
    }
    for (const name of gone) {
      note({ entityType: ENTITY, entityId: name, operation: 'disassociate', before: owner });
    }
  });
}

/** That an owner may use a resource group. */
export interface Allowance {
  readonly name: string;
  readonly owner: store.Owner;
}

/**
 * Lets owners use resource groups, and ends other uses, all at once; what is so already stays.
 * @throws BackendError RepositoryIntegrityError when a group or an owner does not exist.
 */
export function changeAllowances(
  by: ChangeContext,
  add: readonly Allowance[],
  remove: readonly Allowance[],
): Promise<void> {
  if (add.length + remove.length > MAX_LISTED) {
    throw new BackendError('InvalidAPIParameters', `Name at most ${MAX_LISTED} at once.`);
  }
  return change(by, async (tx, note) => {
    for (const { name, owner } of remove) {
      const [gone] = await store.disassociate(tx, [name], owner);
      if (gone === undefined) continue;
      note({ entityType: ENTITY, entityId: name, operation: 'disassociate', before: owner });
    }
    for (const { name, owner } of add) {
      await store.associate(tx, [name], owner);
      note({ entityType: ENTITY, entityId: name, operation: 'associate', after: owner });
    }
  });
}

/**
 * The domains or projects that may use a resource group: names or ids, at most 1000.
 * @throws BackendError ScalingGroupNotFound.
 */
export async function ownersOf(
  sql: Db,
  name: string,
  kind: 'domain' | 'project',
): Promise<string[]> {
  const [row] = await store.selectGroups(sql, { name }, 1);
  if (row === undefined) throw notFound(name);
  return store.selectOwners(sql, name, kind, MAX_LISTED);
}
