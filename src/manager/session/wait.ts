/** Waiting for a session to come up or to end. */
import { BackendError } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { isTerminal } from './status.ts';
import { selectById } from './store.ts';
import type { SessionRecord } from './types.ts';

/** The safety net behind lost announcements. Milliseconds. */
const POLL_MS = 5_000;

function isReached({ status, statusHistory }: SessionRecord, until: 'running' | 'ended'): boolean {
  if (isTerminal(status)) return true;
  if (until === 'ended') return false;
  if (status === 'RUNNING' || status === 'RUNNING_DEGRADED') return true;
  // A cluster that fails to start ends before it ran; what it ended of is told when it is over.
  return status === 'TERMINATING' && statusHistory.RUNNING !== undefined;
}

/**
 * Resolves when the session is running (or ending or ended) / ended, re-reading the database.
 * @param options.timeoutMs null waits without limit.
 * @returns the session, or null when the time ran out first.
 * @throws the signal's reason when aborted; BackendError SessionNotFound.
 */
export async function waitForSession(
  ctx: Pick<ManagerContext, 'sql' | 'events' | 'clock'>,
  sessionId: string,
  options: { until: 'running' | 'ended'; timeoutMs: number | null; signal?: AbortSignal },
): Promise<SessionRecord | null> {
  const { until, timeoutMs, signal } = options;
  const deadline = timeoutMs === null ? null : ctx.clock.monotonicMs() + timeoutMs;
  let dirty = true;
  let rouse: (() => void) | undefined;
  const notice = () => {
    dirty = true;
    rouse?.();
  };
  const unsubscribe = ctx.events.subscribe((event) => {
    if (event.type !== 'session-status' || event.sessionId !== sessionId) return;
    // The states on the way are not worth a query.
    if (isNoteworthy(event.status)) notice();
  });
  signal?.addEventListener('abort', notice);
  try {
    for (;;) {
      signal?.throwIfAborted();
      dirty = false;
      const session = await selectById(ctx.sql, sessionId);
      if (!session) throw new BackendError('SessionNotFound', `There is no session ${sessionId}.`);
      if (isReached(session, until)) return session;
      const leftMs = deadline === null ? POLL_MS : deadline - ctx.clock.monotonicMs();
      if (leftMs <= 0) return null;
      if (dirty) continue;
      const woken = new Promise<void>((resolve) => {
        rouse = resolve;
      });
      const timer = ctx.clock.timer(Math.min(leftMs, POLL_MS), () => rouse?.());
      await woken;
      timer.cancel();
    }
  } finally {
    unsubscribe();
    signal?.removeEventListener('abort', notice);
  }
}

function isNoteworthy(status: string): boolean {
  return !['PENDING', 'SCHEDULED', 'PREPARING', 'PULLING', 'PREPARED', 'CREATING'].includes(status);
}
