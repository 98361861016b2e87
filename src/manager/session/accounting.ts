/** Corrects the books of reserved and used resources where they say something else than kernels hold. */
import { type ChangeContext, change } from '../audit/service.ts';
import * as store from './accounting-store.ts';

/** Makes the books match, and records every correction. */
export function recalculateAccounts(by: ChangeContext): Promise<void> {
  return change(by, async (tx, note) => {
    for (const { entityId, before, after } of await store.correctAccounts(tx)) {
      note({ entityType: 'agent-resource', entityId, operation: 'update', before, after });
    }
  });
}
