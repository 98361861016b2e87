/**
 * Quota scopes: what all folders of a user, or of a project, may hold together on a volume. Storage
 * enforces the limit; policies say what it is where nobody set another.
 */
import { BackendError } from '../../common/errors.ts';
import { change } from '../audit/service.ts';
import type { ManagerContext } from '../context.ts';
import * as storage from '../storage/client.ts';
import { parseHost } from '../storage/settings.ts';
import type { FolderChange } from './manage.ts';
import { selectScopeOwner } from './quota-store.ts';
import type { FolderRecord } from './service.ts';

const SCOPE_ID = /^(user|project):([0-9a-f-]{36})$/i;

/** @throws BackendError InvalidAPIParameters. */
function checkScopeId(id: string): string {
  if (SCOPE_ID.test(id)) return id.toLowerCase();
  throw new BackendError(
    'InvalidAPIParameters',
    `'${id}' is not a quota scope. Write user:<id> or project:<id>.`,
  );
}

/** What the quota scope of a folder holds and may hold. Bytes. */
export async function folderQuota(ctx: ManagerContext, folder: FolderRecord) {
  return storage.getQuotaScope(ctx, folder.host, folder.quota_scope_id);
}

/**
 * Limits what a quota scope may hold; for superadmins. Bytes.
 * @throws BackendError GenericForbidden, QuotaScopeNotFound, InvalidAPIParameters; what the storage
 *   proxy answers.
 */
export async function setScopeQuota(
  by: FolderChange,
  host: string,
  scopeId: string,
  limitBytes: number,
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
  await storage.setQuotaScope(ctx, host, id, limitBytes);
  await change(by, async (_tx, note) => {
    note({
      entityType: 'quota_scope',
      entityId: `${host}/${id}`,
      operation: 'update',
      after: { limit_bytes: limitBytes },
    });
  });
}
