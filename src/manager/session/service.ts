/**
 * The rules of sessions for the rest of the manager: making, finding, awaiting and ending them.
 * Knows nothing of HTTP or GraphQL.
 */
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import type { Caller } from '../http/route.ts';
import type {
  EnqueueRequest,
  EnqueueResult,
  KernelRecord,
  SessionMatch,
  SessionRecord,
} from './types.ts';

export type * from './types.ts';

const later = () => new BackendError('NotImplementedAPI');

/**
 * Validates and stores a session, then wakes the scheduler. Returns before it is scheduled.
 * @throws BackendError naming the rule that refuses the request; SessionAlreadyExists carries
 *   `data.existingSessionId`.
 */
export async function enqueueSession(
  _ctx: ManagerContext,
  _owner: Caller,
  _request: EnqueueRequest,
): Promise<EnqueueResult> {
  throw later();
}

/**
 * Finds a session by id or exact name among those `caller` may see.
 * @param options.ownerAccessKey acts for this keypair: superadmins any, domain admins in their own
 *   domain. Without it names and ids are looked up among the caller's own sessions (by id,
 *   superadmins see all and domain admins their domain).
 * @param options.includeDead also finds ended sessions; a live one wins over ended namesakes.
 * @throws BackendError SessionNotFound; TooManySessionsMatched with `data.matches`;
 *   GenericForbidden or InvalidAPIParameters for an owner key that may not be used.
 */
export async function getSessionForCaller(
  _ctx: ManagerContext,
  _caller: Caller,
  _reference: string,
  _options: { ownerAccessKey?: string | null; includeDead?: boolean } = {},
): Promise<SessionRecord> {
  throw later();
}

/** @throws BackendError SessionNotFound. */
export async function getSession(_ctx: ManagerContext, _sessionId: string): Promise<SessionRecord> {
  throw later();
}

/**
 * Resolves when the session is running (or ended) / ended, re-reading the database.
 * @param options.timeoutMs null waits without limit.
 * @returns the session, or null when the time ran out first.
 * @throws the signal's reason when aborted; BackendError SessionNotFound.
 */
export async function waitForSession(
  _ctx: ManagerContext,
  _sessionId: string,
  _options: { until: 'running' | 'ended'; timeoutMs: number | null; signal?: AbortSignal },
): Promise<SessionRecord | null> {
  throw later();
}

/**
 * Marks a session for termination; the end is reported later.
 * @param options.forced ends it at once in the books and has the agents clean up behind.
 * @param options.recursive also ends the sessions that depend on it.
 * @returns 'cancelled' when it was never placed on an agent, 'terminated' when its end was
 *   requested, null when it had already ended or was already ending.
 */
export async function terminateSession(
  _ctx: ManagerContext,
  _options: {
    sessionId: string;
    forced?: boolean;
    recursive?: boolean;
    /** status_info, `user-requested` by default. */
    reason?: string;
  },
): Promise<'cancelled' | 'terminated' | null> {
  throw later();
}

/**
 * Gives a running session another name.
 * @throws BackendError InvalidAPIParameters when not running or when the name is taken.
 */
export async function renameSession(
  _ctx: ManagerContext,
  _sessionId: string,
  _name: string,
): Promise<void> {
  throw later();
}

/** Live sessions of the caller's key whose id or name begins with `prefix`; at most 10. */
export async function matchSessions(
  _ctx: ManagerContext,
  _caller: Caller,
  _prefix: string,
): Promise<SessionMatch[]> {
  throw later();
}

/** Status → ISO-8601 time at which it was last entered. */
export async function statusHistory(
  _ctx: ManagerContext,
  _sessionId: string,
): Promise<Record<string, string>> {
  throw later();
}

/** The kernel that code runs in. @throws BackendError MainKernelNotFound. */
export async function mainKernel(_ctx: ManagerContext, _sessionId: string): Promise<KernelRecord> {
  throw later();
}

/** One kernel of a session, by id. @throws BackendError KernelNotFound. */
export async function getKernel(
  _ctx: ManagerContext,
  _sessionId: string,
  _kernelId: string,
): Promise<KernelRecord> {
  throw later();
}

/** Adds one to the count of queries of a session and its kernel. */
export async function countQuery(_ctx: ManagerContext, _kernelId: string): Promise<void> {
  throw later();
}
