/** How much a project may keep in its Harbor registry. Harbor keeps the figure; nothing is stored here. */
import * as v from 'valibot';
import { BackendError, errorMessage } from '../../common/errors.ts';
import { type ChangeContext, change } from '../audit/service.ts';
import type { ManagerContext } from '../context.ts';
import { RegistryFailure } from './oci-client.ts';
import { type ReadableRegistry, registryOfGroup } from './service.ts';

/** What Harbor calls "without a limit". */
const UNLIMITED = -1;

const projectAnswer = v.tuple([v.object({ project_id: v.number() })]);
const quotaAnswer = v.tuple([
  v.tuple([v.object({ id: v.number(), hard: v.object({ storage: v.number() }) })]),
]);

interface Quota {
  readonly path: string;
  /** Bytes; null without a limit. */
  readonly bytes: number | null;
}

/** Failures of the registry as errors that a client understands. */
async function asking<T>(run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof RegistryFailure) && !(error instanceof v.ValiError)) throw error;
    throw new BackendError('ServiceUnavailable', `Harbor: ${errorMessage(error)}`, {
      cause: error,
    });
  }
}

async function registryFor(
  { sql, clock }: ManagerContext,
  projectId: string,
  signal: AbortSignal,
): Promise<ReadableRegistry> {
  const registry = await registryOfGroup(sql, projectId, clock, signal);
  if (registry.type === 'harbor2') return registry;
  throw new BackendError(
    'GenericBadRequest',
    `Registries of type '${registry.type}' have no quota per project; Harbor (harbor2) has.`,
  );
}

async function readFrom({ client, project }: ReadableRegistry): Promise<Quota> {
  const found = await client.pagesOf(`/api/v2.0/projects/${encodeURIComponent(project)}`);
  const [{ project_id: id }] = v.parse(projectAnswer, found);
  const path = `/api/v2.0/quotas?reference=project&reference_id=${id}`;
  const [[quota]] = v.parse(quotaAnswer, await client.pagesOf(path));
  const { storage } = quota.hard;
  return {
    path: `/api/v2.0/quotas/${quota.id}`,
    bytes: storage === UNLIMITED ? null : storage,
  };
}

/**
 * The limit in bytes; null when there is none.
 * @throws BackendError ContainerRegistryNotFound, GenericBadRequest for another kind of registry,
 *   ServiceUnavailable when Harbor does not answer as it should.
 */
export async function readQuota(
  ctx: ManagerContext,
  projectId: string,
  signal: AbortSignal,
): Promise<number | null> {
  const registry = await registryFor(ctx, projectId, signal);
  return asking(async () => (await readFrom(registry)).bytes);
}

export type QuotaChange = 'create' | 'update' | 'delete';

/**
 * Sets the limit, or takes it away.
 * @param wanted.bytes for `create` and `update`.
 * @throws BackendError as `readQuota`; GenericBadRequest when there is one to create, or none to
 *   update or delete.
 */
export async function changeQuota(
  by: ChangeContext & { readonly ctx: ManagerContext },
  projectId: string,
  wanted: { readonly operation: QuotaChange; readonly bytes: number | null },
  signal: AbortSignal,
): Promise<void> {
  const { operation, bytes } = wanted;
  const registry = await registryFor(by.ctx, projectId, signal);
  const { path, bytes: before } = await asking(() => readFrom(registry));
  if ((operation === 'create') !== (before === null)) {
    const state = before === null ? 'There is no quota yet' : `There is a quota of ${before} bytes`;
    throw new BackendError('GenericBadRequest', `${state}; nothing was changed.`);
  }
  await change(by, async (_, note) => {
    note({
      entityType: 'project',
      entityId: projectId,
      operation: 'update',
      before: { registry_quota: before },
      after: { registry_quota: bytes },
    });
    // Last: when Harbor refuses, the record is taken back.
    await asking(() => registry.client.put(path, { hard: { storage: bytes ?? UNLIMITED } }));
  });
}
