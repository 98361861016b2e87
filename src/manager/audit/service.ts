/**
 * Changes and their audit records: both are written in one transaction, so that no change is without
 * its record. What PostgreSQL refuses becomes an error that clients understand.
 */
import postgres, { type TransactionSql } from 'postgres';
import { BackendError } from '../../common/errors.ts';
import type { ProblemName } from '../../common/problems.ts';
import type { ManagerContext } from '../context.ts';
import type { Caller } from '../http/route.ts';
import { type AuditRecord, insertAuditRecords } from './store.ts';

export { type AuditRecord, insertAuditRecords };

/** Who is named in the record; `userId` is null for somebody who has no account yet. */
export interface Author {
  readonly userId: string | null;
  readonly email: string;
}

/** A change whose author did not sign the request, such as signing up. */
export interface AuthoredChange {
  readonly ctx: Pick<ManagerContext, 'sql' | 'events' | 'random' | 'clock'>;
  readonly caller: Author;
  readonly requestId: string;
  /** From where the request came; null when that is unknown. */
  readonly clientAddress: string | null;
}

/** A change by whoever has administrative rights: an account, or the operator of the machine. */
export interface AdministrativeChange extends AuthoredChange {
  readonly caller: Author & Pick<Caller, 'role'>;
}

/** Who changes something, and with what. */
export interface ChangeContext extends AuthoredChange {
  readonly caller: Caller;
}

export interface Change {
  readonly entityType: string;
  readonly entityId: string;
  readonly operation: 'create' | 'update' | 'delete' | 'purge' | 'associate' | 'disassociate';
  /** The row as it was; secrets are left out of the record. */
  readonly before?: object | null;
  /** The row as it became. */
  readonly after?: object | null;
}

/** Columns that nobody who reads the log may see, and what has no readable form. */
const HIDDEN = new Set([
  'password',
  'totp_key',
  'secret_key',
  'ssh_private_key',
  'wsproxy_api_token',
  'dotfiles',
]);

function readable(row: object | null | undefined): Record<string, unknown> | null {
  if (row === null || row === undefined) return null;
  return Object.fromEntries(
    Object.entries(row).map(([key, value]) => [
      key,
      HIDDEN.has(key) && value !== null ? '(hidden)' : value,
    ]),
  );
}

/** What a refusal of the database means; anything else is returned as it is. */
function explain(error: unknown, conflict: ProblemName): unknown {
  if (!(error instanceof postgres.PostgresError)) return error;
  const detail = error.detail ?? error.message;
  if (error.code === '23505') return new BackendError(conflict, detail, { cause: error });
  if (error.code === '23503') {
    return new BackendError('RepositoryIntegrityError', detail, { cause: error });
  }
  // Class 22: text too long, a number out of range, a character that cannot be stored.
  if (error.code.startsWith('22')) {
    return new BackendError('InvalidAPIParameters', error.message, { cause: error });
  }
  return error;
}

/** Whose deed it is, and by which request; null: none that came from outside. */
export interface Deed {
  readonly caller: Author;
  readonly requestId: string | null;
  readonly clientAddress: string | null;
}

/**
 * The record of a change, for whoever writes it together with many others; else see `change`.
 * @param action.durationSec how long the change took.
 */
export const auditRecord = (
  { caller, requestId, clientAddress }: Deed,
  action: { readonly actionId: string; readonly durationSec: number },
  { entityType, entityId, operation, before, after }: Change,
): AuditRecord => ({
  ...{ entityType, entityId, operation, requestId, clientAddress, ...action },
  triggeredBy: caller.userId,
  description: `${operation} ${entityType} ${entityId} by ${caller.email}`,
  before: readable(before),
  after: readable(after),
});

/**
 * Runs a change in a transaction, records every `note` of it in the audit log, and afterwards tells
 * the managers which kinds of rows changed.
 * @param conflict the problem when a row with that name exists already.
 * @throws BackendError as `conflict` says, RepositoryIntegrityError when other rows depend on the
 *   row or a named one is missing, InvalidAPIParameters for values that cannot be stored.
 */
export async function change<T>(
  by: AuthoredChange,
  run: (tx: TransactionSql, note: (change: Change) => void) => Promise<T>,
  conflict: ProblemName = 'RepositoryIntegrityError',
): Promise<T> {
  const { ctx } = by;
  const actionId = ctx.random.uuid();
  const startedMs = ctx.clock.monotonicMs();
  const changes: Change[] = [];
  let value: T;
  try {
    ({ value } = await ctx.sql.begin(async (tx) => {
      const result = await run(tx, (noted) => changes.push(noted));
      const action = { actionId, durationSec: (ctx.clock.monotonicMs() - startedMs) / 1000 };
      await insertAuditRecords(
        tx,
        changes.map((noted) => auditRecord(by, action, noted)),
      );
      return { value: result };
    }));
  } catch (error) {
    throw explain(error, conflict);
  }
  for (const entityType of new Set(changes.map((noted) => noted.entityType))) {
    ctx.events.publish({ type: 'entity-changed', entityType });
  }
  return value;
}
