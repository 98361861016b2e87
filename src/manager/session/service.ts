/**
 * The rules of sessions for the rest of the manager: making, finding, awaiting and ending them.
 * Knows nothing of HTTP or GraphQL.
 */

import { BackendError, errorCode } from '../../common/errors.ts';
import { isUuid } from '../../common/ids.ts';
import { auditRecord, type ChangeContext, change, type Deed } from '../audit/service.ts';
import { resolveOwner } from '../auth/delegation.ts';
import type { ManagerContext } from '../context.ts';
import type { Caller } from '../http/route.ts';
import { isTerminal } from './status.ts';
import {
  addQuery,
  type SessionScope,
  selectById,
  selectByName,
  selectByPrefix,
  selectDependents,
  selectKernelById,
  selectLiveIds,
  selectScopedById,
  updateLabels,
} from './store.ts';
import { endSessions } from './transition.ts';
import type { SessionEnd } from './transition-queue.ts';
import type { KernelRecord, SessionMatch, SessionRecord } from './types.ts';

export { enqueueSession, trySession } from './enqueue.ts';
export type { NewSession } from './new-session-store.ts';
export { leastOf } from './resources.ts';
export type * from './types.ts';
export { waitForSession } from './wait.ts';

const MAX_MATCHES = 10;
/** Sessions ended by one recursive request. */
const MAX_DEPENDENTS = 1000;
const UNIQUE_VIOLATION = '23505';

const noSuchSession = (reference: string) =>
  new BackendError('SessionNotFound', `There is no session '${reference}'.`);

/** Where ids are looked up: administrators find more than their own. */
/** The sessions that somebody may end. */
function reachOf(caller: Caller): SessionScope {
  if (caller.isSuperadmin) return { kind: 'all' };
  if (caller.role === 'admin') return { kind: 'domain', domainName: caller.domainName };
  return { kind: 'user', userId: caller.userId };
}

function idScope(caller: Caller, owner: Caller): SessionScope {
  if (owner.accessKey !== caller.accessKey) return { kind: 'key', accessKey: owner.accessKey };
  const isAdministrator = caller.isSuperadmin || caller.role === 'admin';
  return isAdministrator ? reachOf(caller) : { kind: 'key', accessKey: caller.accessKey };
}

/**
 * Finds a session by id or exact name among those `caller` may see.
 * @param options.ownerAccessKey acts for this keypair: superadmins any, domain admins in their own
 *   domain. Without it names and ids are looked up among the caller's own sessions (by id,
 *   superadmins see all and domain admins their domain).
 * @param options.includeDead also finds ended sessions; a live one wins over ended namesakes, then
 *   the latest.
 * @throws BackendError SessionNotFound; TooManySessionsMatched with `data.matches`;
 *   GenericForbidden or InvalidAPIParameters for an owner key that may not be used.
 */
export async function getSessionForCaller(
  ctx: ManagerContext,
  caller: Caller,
  reference: string,
  options: { ownerAccessKey?: string | null; includeDead?: boolean } = {},
): Promise<SessionRecord> {
  const owner = await resolveOwner(ctx.sql, caller, options.ownerAccessKey);
  const includeDead = options.includeDead ?? false;
  if (isUuid(reference)) {
    const scope = idScope(caller, owner);
    const found = await selectScopedById(ctx.sql, reference, { scope, includeDead });
    if (found) return found;
  }
  const scope = { kind: 'key', accessKey: owner.accessKey } as const;
  const found = await selectByName(ctx.sql, reference, { scope, includeDead }, MAX_MATCHES);
  const live = found.filter((session) => !isTerminal(session.status));
  if (live.length > 1) {
    throw new BackendError(
      'TooManySessionsMatched',
      `Several sessions are called '${reference}'; use an id.`,
      { data: { matches: live.map(({ id, name, status }) => ({ id, name, status })) } },
    );
  }
  const [session] = found;
  if (!session) throw noSuchSession(reference);
  return session;
}

/** @throws BackendError SessionNotFound. */
export async function getSession(ctx: ManagerContext, sessionId: string): Promise<SessionRecord> {
  const session = await selectById(ctx.sql, sessionId);
  if (!session) throw noSuchSession(sessionId);
  return session;
}

/** The records of a deed that ends sessions. */
function recordsOf({ random }: ManagerContext, by: Deed | undefined): SessionEnd['record'] {
  if (by === undefined) return undefined;
  const action = { actionId: random.uuid(), durationSec: 0 };
  return (entityId) =>
    auditRecord(by, action, { entityType: 'session', entityId, operation: 'delete' });
}

/**
 * Marks a session for termination; the end is reported later.
 * @param options.forced ends it at once in the books and has the agents clean up behind.
 * @param options.dependents also ends the sessions that depend on it, as far as this caller may end them;
 *   those of others never start, or go on.
 * @returns 'cancelled' when it was never placed on an agent, 'terminated' when its end was
 *   requested, null when it had already ended or was already ending.
 */
export async function terminateSession(
  ctx: ManagerContext,
  options: {
    sessionId: string;
    forced?: boolean;
    dependents?: Caller | null;
    /** status_info, `user-requested` by default. */
    reason?: string;
    /** Whose deed it is, for the audit log; absent where it is nobody's. */
    by?: Deed;
  },
): Promise<'cancelled' | 'terminated' | null> {
  const { sessionId, forced = false, dependents = null, by } = options;
  const reason = options.reason ?? (forced ? 'force-terminated' : 'user-requested');
  const kind = forced ? 'force-terminate' : 'terminate';
  const waiting =
    dependents === null
      ? []
      : await selectDependents(ctx.sql, sessionId, reachOf(dependents), MAX_DEPENDENTS);
  const end = { kind, reason, record: recordsOf(ctx, by) } as const;
  const moved = await endSessions(ctx, [...waiting, sessionId], end);
  const status = moved.get(sessionId);
  if (status === undefined) return null;
  return status === 'CANCELLED' ? 'cancelled' : 'terminated';
}

/** What became of each of several sessions. */
export interface Terminations {
  /** Never placed on an agent, and ended at once. */
  readonly cancelled: string[];
  readonly terminating: string[];
  readonly forceTerminated: string[];
  /** Ended or ending already, or not there. */
  readonly skipped: string[];
}

/**
 * Marks sessions for termination, all in one transaction; may the caller do so has been decided.
 * @param forced ends them at once in the books and has the agents clean up behind.
 * @param by whose deed it is, for the audit log; absent where it is nobody's.
 */
export async function terminateSessions(
  ctx: ManagerContext,
  sessionIds: readonly string[],
  forced: boolean,
  by?: Deed,
): Promise<Terminations> {
  const reason = forced ? 'force-terminated' : 'user-requested';
  const kind = forced ? 'force-terminate' : 'terminate';
  const end = { kind, reason, record: recordsOf(ctx, by) } as const;
  const moved = await endSessions(ctx, sessionIds, end);
  const outcome: Terminations = {
    ...{ cancelled: [], terminating: [], forceTerminated: [], skipped: [] },
  };
  for (const id of new Set(sessionIds)) {
    const status = moved.get(id);
    if (status === undefined) outcome.skipped.push(id);
    else if (status === 'CANCELLED') outcome.cancelled.push(id);
    else if (forced) outcome.forceTerminated.push(id);
    else outcome.terminating.push(id);
  }
  return outcome;
}

/** Sessions ended in one transaction when all of them are. */
const END_ALL_BATCH = 200;

/**
 * Ends every session at once in the books; agents clean up behind. @returns how many ended.
 * @param by whose deed it is; the audit log has a record of each session.
 */
export async function endAllSessions(ctx: ManagerContext, by: Deed): Promise<number> {
  let ended = 0;
  let last: string | null = null;
  for (;;) {
    const ids: string[] = await selectLiveIds(ctx.sql, last, END_ALL_BATCH);
    last = ids.at(-1) ?? null;
    if (last === null) return ended;
    const { cancelled, forceTerminated } = await terminateSessions(ctx, ids, true, by);
    ended += cancelled.length + forceTerminated.length;
  }
}

/**
 * Gives a running session another name.
 * @throws BackendError InvalidAPIParameters when not running or when the name is taken.
 */
export const renameSession = (
  by: ChangeContext,
  session: Pick<SessionRecord, 'id' | 'name'>,
  name: string,
): Promise<void> => relabelSession(by, session, { name, tag: null });

/**
 * Gives a running session another name, tag or both; null leaves one as it is.
 * @throws BackendError InvalidAPIParameters when not running or when the name is taken.
 */
export async function relabelSession(
  by: ChangeContext,
  session: Pick<SessionRecord, 'id' | 'name'>,
  wishes: { readonly name: string | null; readonly tag: string | null },
): Promise<void> {
  await change(by, async (tx, note) => {
    let changed: Awaited<ReturnType<typeof updateLabels>>;
    try {
      changed = await updateLabels(tx, session.id, wishes);
    } catch (error) {
      if (errorCode(error) !== UNIQUE_VIOLATION) throw error;
      throw new BackendError(
        'InvalidAPIParameters',
        `You already have a live session called '${wishes.name}'. Choose another name.`,
      );
    }
    if (changed === null) {
      throw new BackendError('InvalidAPIParameters', 'Only a running session can be renamed.');
    }
    note({ entityType: 'session', entityId: session.id, operation: 'update', ...changed });
  });
}

/** Live sessions of the caller's key whose id or name begins with `prefix`; at most 10. */
export async function matchSessions(
  ctx: ManagerContext,
  caller: Caller,
  prefix: string,
): Promise<SessionMatch[]> {
  return selectByPrefix(ctx.sql, caller.accessKey, prefix, MAX_MATCHES);
}

/** Status → ISO-8601 time at which it was last entered. @throws BackendError SessionNotFound. */
export async function statusHistory(
  ctx: ManagerContext,
  sessionId: string,
): Promise<Readonly<Record<string, string>>> {
  return (await getSession(ctx, sessionId)).statusHistory;
}

/** One kernel of a session, by id. @throws BackendError KernelNotFound. */
export async function getKernel(
  ctx: ManagerContext,
  sessionId: string,
  kernelId: string,
): Promise<KernelRecord> {
  const kernel = isUuid(kernelId) ? await selectKernelById(ctx.sql, sessionId, kernelId) : null;
  if (kernel) return kernel;
  throw new BackendError('KernelNotFound', `The session has no kernel '${kernelId}'.`);
}

/** Adds one to the count of queries of a session and its kernel. */
export async function countQuery(ctx: ManagerContext, kernelId: string): Promise<void> {
  await addQuery(ctx.sql, kernelId);
}
