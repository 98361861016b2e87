/**
 * Quota scopes: what all folders of a user, or of a project, may hold together on a volume. Storage
 * enforces the limit; policies say what it is where nobody set another.
 */
import { BackendError, errorMessage } from '../../common/errors.ts';
import { pooled } from '../../common/pooled.ts';
import { change } from '../audit/service.ts';
import type { ManagerContext } from '../context.ts';
import type { Caller } from '../http/route.ts';
import * as storage from '../storage/client.ts';
import { parseHost } from '../storage/settings.ts';
import type { FolderChange } from './manage.ts';
import { selectScopeOwner, selectScopes } from './quota-store.ts';
import type { FolderRecord } from './service.ts';

/** Quota scopes whose usage is asked for at a time. */
const PARALLEL = 8;
const SCOPE_ID = /^(user|project):([0-9a-f-]{36})$/i;

export interface QuotaScope {
  /** `user:<id>` or `project:<id>`. */
  readonly id: string;
  readonly host: string;
  /** Null when the storage does not know. Bytes. */
  readonly usageBytes: number | null;
  /** Null when there is none. Bytes. */
  readonly limitBytes: number | null;
}

/** @throws BackendError InvalidAPIParameters. */
function checkScopeId(id: string): string {
  if (SCOPE_ID.test(id)) return id.toLowerCase();
  throw new BackendError(
    'InvalidAPIParameters',
    `'${id}' is not a quota scope. Write user:<id> or project:<id>.`,
  );
}

/**
 * A quota scope on a host. Users ask about themselves and their projects, administrators about their
 * domain.
 * @throws BackendError QuotaScopeNotFound also for those of others; what the storage proxy answers.
 */
export async function getQuotaScope(
  ctx: ManagerContext,
  caller: Caller,
  host: string,
  scopeId: string,
): Promise<QuotaScope> {
  const id = checkScopeId(scopeId);
  parseHost(host);
  const owner = await selectScopeOwner(ctx.sql, caller, id);
  if (owner === null) {
    throw new BackendError('QuotaScopeNotFound', `There is no quota scope '${id}' of yours.`);
  }
  try {
    const { used_bytes: used, limit_bytes: limit } = await storage.getQuotaScope(ctx, host, id);
    return {
      id,
      host,
      usageBytes: used !== null && used >= 0 ? used : null,
      limitBytes: limit !== null && limit > 0 ? limit : null,
    };
  } catch (error) {
    if (!(error instanceof BackendError) || error.problem !== 'QuotaScopeNotFound') throw error;
    // It is made with the first folder; until then the policy says what it will be.
    const limit = Number(owner.max_quota_scope_size);
    return { id, host, usageBytes: null, limitBytes: limit > 0 ? limit : null };
  }
}

/**
 * One page of the quota scopes that folders are in; for superadmins. What a storage proxy does not tell
 * is null.
 * @throws BackendError InvalidGraphQLParameters for a wrong filter.
 */
export async function searchQuotaScopes(
  ctx: ManagerContext,
  caller: Caller,
  ...[query, page]: [Parameters<typeof selectScopes>[2], Parameters<typeof selectScopes>[3]]
): Promise<{ scopes: QuotaScope[]; total: number }> {
  const { rows, total } = await selectScopes(ctx.sql, caller, query, page);
  const scopes: QuotaScope[] = rows.map((row) => ({ ...row, usageBytes: null, limitBytes: null }));
  await pooled([...scopes.entries()], PARALLEL, async ([index, { host, id }]) => {
    try {
      scopes[index] = await getQuotaScope(ctx, caller, host, id);
    } catch (error) {
      ctx.log.warn('the usage of a quota scope cannot be told', {
        ...{ host, scope: id, error: errorMessage(error) },
      });
    }
  });
  return { scopes, total };
}

/** What the quota scope of a folder holds and may hold. Bytes. */
export async function folderQuota(ctx: ManagerContext, folder: FolderRecord) {
  return storage.getQuotaScope(ctx, folder.host, folder.quota_scope_id);
}

async function changeQuota(
  by: FolderChange,
  host: string,
  scopeId: string,
  limitBytes: number | null,
): Promise<void> {
  const { ctx, caller } = by;
  if (!caller.isSuperadmin) {
    throw new BackendError('GenericForbidden', 'Only superadmins change quotas.');
  }
  const id = checkScopeId(scopeId);
  parseHost(host);
  if ((await selectScopeOwner(ctx.sql, caller, id)) === null) {
    throw new BackendError('QuotaScopeNotFound', `There is no user or project '${id}'.`);
  }
  if (limitBytes === null) await storage.unsetQuotaScope(ctx, host, id);
  else await storage.setQuotaScope(ctx, host, id, limitBytes);
  await change(by, async (_tx, note) => {
    note({
      entityType: 'quota_scope',
      entityId: `${host}/${id}`,
      operation: 'update',
      after: { limit_bytes: limitBytes },
    });
  });
}

/**
 * Limits what a quota scope may hold; for superadmins.
 * @throws BackendError GenericForbidden, QuotaScopeNotFound, InvalidAPIParameters; what the storage
 *   proxy answers.
 */
export const setScopeQuota = (
  by: FolderChange,
  host: string,
  scopeId: string,
  limitBytes: number,
): Promise<void> => changeQuota(by, host, scopeId, limitBytes);

/** Takes such a limit away. @throws BackendError as `setScopeQuota`. */
export const unsetScopeQuota = (by: FolderChange, host: string, scopeId: string): Promise<void> =>
  changeQuota(by, host, scopeId, null);
