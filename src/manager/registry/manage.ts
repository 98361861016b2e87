/** Making, changing and removing container registries; for superadmins. */
import type { TransactionSql } from 'postgres';
import * as v from 'valibot';
import { BackendError } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import { type ChangeContext, change } from '../audit/service.ts';
import type { ContainerRegistryRow } from '../db/rows.generated.ts';
import * as store from './manage-store.ts';

const ENTITY = 'container_registry';

export const REGISTRY_TYPES = [
  'docker',
  'harbor',
  'harbor2',
  'github',
  'gitlab',
  'ecr',
  'ecr-public',
  'local',
  'ocp',
] as const;
export type RegistryType = (typeof REGISTRY_TYPES)[number];

/** Kinds whose repositories always lie in a project. */
const NEED_PROJECT: ReadonlySet<string> = new Set(['harbor', 'harbor2', 'github', 'gitlab']);

/** What an administrator says about a registry; undefined leaves it as it is. */
export interface RegistryWishes extends Omit<store.RegistryChanges, 'extra'> {
  readonly extra?: unknown;
  /** Projects that may use it from now on. */
  readonly addProjects?: readonly string[];
  /** Projects that may no longer. */
  readonly removeProjects?: readonly string[];
}

const webAddress = v.pipe(
  v.string(),
  v.maxLength(512),
  v.url(),
  v.check((text) => /^https?:$/.test(new URL(text).protocol)),
  v.check((text) => new URL(text).username === '' && new URL(text).password === ''),
);
/** A host as image names have it: `registry.example`, `localhost:5000`. */
const REGISTRY_NAME = /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?$/i;
const PROJECT = /^[a-z0-9][\w./-]{0,254}$/i;

function checkWishes({ url, registry_name, project, extra }: RegistryWishes): void {
  if (url !== undefined && !v.is(webAddress, url)) {
    throw new BackendError(
      'InvalidContainerRegistryURL',
      `'${url}' is no address of a registry: give https://HOST or http://HOST, without a password.`,
    );
  }
  if (registry_name !== undefined && !REGISTRY_NAME.test(registry_name)) {
    throw new BackendError(
      'InvalidAPIParameters',
      `registry_name: '${registry_name}' cannot be the first part of an image's name; give HOST or HOST:PORT.`,
    );
  }
  if (project != null && project !== '' && !PROJECT.test(project)) {
    throw new BackendError(
      'InvalidContainerRegistryProject',
      `'${project}' cannot be a project of a registry.`,
    );
  }
  const isTable = typeof extra === 'object' && extra !== null && !Array.isArray(extra);
  if (extra !== undefined && extra !== null && !isTable) {
    throw new BackendError('InvalidAPIParameters', 'extra: expected a JSON object.');
  }
}

/** What must hold of the row as it has become. */
async function checkRow(tx: TransactionSql, row: ContainerRegistryRow): Promise<void> {
  if (NEED_PROJECT.has(row.type) && !row.project) {
    throw new BackendError(
      'InvalidContainerRegistryProject',
      `A registry of type '${row.type}' needs a project.`,
    );
  }
  if (await store.isTaken(tx, row)) {
    throw new BackendError(
      'RepositoryIntegrityError',
      `Registry '${row.registry_name}' with project '${row.project ?? ''}' exists already; change that one.`,
    );
  }
}

const toColumns = ({ addProjects: _, removeProjects: __, extra, ...rest }: RegistryWishes) => ({
  ...rest,
  ...(extra !== undefined && { extra: { json: extra } }),
});

/** The ids of projects, without repetitions. @throws BackendError InvalidAPIParameters. */
function projectIds(ids: readonly string[] = []): string[] {
  const wrong = ids.find((id) => !isUuid(id));
  if (wrong === undefined) return [...new Set(ids.map((id) => id.toLowerCase()))];
  throw new BackendError('InvalidAPIParameters', `'${wrong}' is not the id of a project.`);
}

async function setProjects(tx: TransactionSql, id: string, wishes: RegistryWishes): Promise<void> {
  const added = projectIds(wishes.addProjects);
  const removed = projectIds(wishes.removeProjects);
  if (added.length > 0) {
    const [unknown] = await store.allowProjects(tx, id, added);
    if (unknown) throw new BackendError('GroupNotFound', `There is no project ${unknown}.`);
  }
  if (removed.length > 0 && (await store.disallowProjects(tx, id, removed)) === 0) {
    throw new BackendError(
      'ContainerRegistryGroupsAssociationNotFound',
      'None of these projects may use the registry anyway.',
    );
  }
}

/**
 * Makes a registry. @returns its id.
 * @throws BackendError InvalidContainerRegistryURL, InvalidContainerRegistryProject,
 *   InvalidAPIParameters, GroupNotFound; RepositoryIntegrityError when the project of the registry
 *   has a row already.
 */
export async function createRegistry(
  by: ChangeContext,
  wishes: RegistryWishes & Parameters<typeof store.insertRegistry>[2],
): Promise<string> {
  checkWishes(wishes);
  const id = by.ctx.random.uuid();
  await change(by, async (tx, note) => {
    await store.insertRegistry(tx, id, wishes);
    const after = await store.updateRegistry(tx, id, toColumns(wishes));
    if (after) await checkRow(tx, after);
    await setProjects(tx, id, wishes);
    note({ entityType: ENTITY, entityId: id, operation: 'create', after });
  });
  return id;
}

async function lockedRegistry(tx: TransactionSql, id: string): Promise<ContainerRegistryRow> {
  const row = isUuid(id) ? await store.lockRegistry(tx, id) : null;
  if (row) return row;
  throw new BackendError('ContainerRegistryNotFound', `There is no container registry '${id}'.`);
}

/**
 * Changes a registry. A password that is left out stays.
 * @throws BackendError ContainerRegistryNotFound, and as createRegistry.
 */
export async function modifyRegistry(
  by: ChangeContext,
  id: string,
  wishes: RegistryWishes,
): Promise<void> {
  checkWishes(wishes);
  await change(by, async (tx, note) => {
    const before = await lockedRegistry(tx, id);
    const after = await store.updateRegistry(tx, before.id, toColumns(wishes));
    if (after) await checkRow(tx, after);
    await setProjects(tx, before.id, wishes);
    note({ entityType: ENTITY, entityId: before.id, operation: 'update', before, after });
  });
}

/**
 * Removes a registry, and its images from the catalogue; sessions that use them go on.
 * @throws BackendError ContainerRegistryNotFound.
 */
export async function deleteRegistry(by: ChangeContext, id: string): Promise<void> {
  await change(by, async (tx, note) => {
    const before = await lockedRegistry(tx, id);
    await store.deleteRegistry(tx, before.id);
    note({ entityType: ENTITY, entityId: before.id, operation: 'purge', before });
  });
}
