/**
 * Tells people's own servers what became of their sessions: `callback_url` is called at each change.
 * A call is repeated until the server takes it, for about a quarter of an hour; those of one session
 * arrive in order, each at least once.
 */
import { errorMessage } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import {
  type DueCallback,
  deleteCallback,
  deleteOlder,
  postponeCallback,
  selectDue,
  takeCallback,
} from './callback-store.ts';

/** As upstream gives each call. Milliseconds. */
const TIMEOUT_MS = 30_000;
/** A manager that dies during a call leaves it to the next one after this long. Milliseconds. */
const LEASE_MS = TIMEOUT_MS + 30_000;
/** After how long a call that failed is repeated. Milliseconds. */
const PAUSES_MS = [1_000, 5_000, 30_000, 120_000, 600_000] as const;
/** Nothing older is told; a receiver that is away for long must not fill the table. Milliseconds. */
const MAX_AGE_MS = 24 * 60 * 60 * 1000;
const MAX_CALLS = 64;
/** One server that hangs must not keep the others waiting. */
const MAX_CALLS_PER_HOST = 4;

type CallbackContext = Pick<ManagerContext, 'sql' | 'clock' | 'log'>;

export interface CallbackSender {
  /** Starts the calls that are due. Resolves when they are on their way. */
  pass(): Promise<void>;
  /** Ends the calls in flight; they are repeated by whoever leads next. */
  stop(): Promise<void>;
}

/** @throws Error saying why the server did not take it. */
async function call(item: DueCallback, signal: AbortSignal): Promise<void> {
  const response = await fetch(item.url, {
    method: 'POST',
    // A redirection could lead to where the URL's owner may not go.
    redirect: 'manual',
    body: JSON.stringify(item.body),
    headers: { 'Content-Type': 'application/json', 'Idempotency-Key': item.id },
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
  });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`it answered ${response.status}`);
}

/** @param wake asks for another pass. */
export function createCallbackSender(ctx: CallbackContext, wake: () => void): CallbackSender {
  const { sql, clock, log } = ctx;
  const stopping = new AbortController();
  const calls = new Map<string, { readonly host: string; readonly ended: Promise<void> }>();

  const settle = async (item: DueCallback, failure: string | null) => {
    if (failure === null) return deleteCallback(sql, item.id);
    // Cut off by us: that says nothing of the server.
    if (stopping.signal.aborted) return postponeCallback(sql, item.id, clock.now());
    const about = { session: item.session_id, event: item.body.event, why: failure };
    const pauseMs = PAUSES_MS[item.attempts];
    if (pauseMs === undefined) {
      log.warn('a callback URL did not take a call, which is given up', about);
      return deleteCallback(sql, item.id);
    }
    log.debug('a callback URL did not take a call, which will be repeated', about);
    return postponeCallback(sql, item.id, new Date(clock.now().getTime() + pauseMs));
  };

  const deliver = async (item: DueCallback) => {
    const until = new Date(clock.now().getTime() + LEASE_MS);
    if (!(await takeCallback(sql, item, until))) return;
    let failure: string | null = null;
    try {
      await call(item, stopping.signal);
    } catch (error) {
      failure = errorMessage(error);
    }
    await settle(item, failure);
  };

  const launch = (item: DueCallback, host: string) => {
    const ended = deliver(item)
      .catch((error) => log.error('a callback is not settled', { error: errorMessage(error) }))
      .finally(() => {
        calls.delete(item.id);
        if (!stopping.signal.aborted) wake();
      });
    calls.set(item.id, { host, ended });
  };

  return {
    async pass() {
      const now = clock.now();
      const forgotten = await deleteOlder(sql, new Date(now.getTime() - MAX_AGE_MS));
      if (forgotten > 0) log.warn('calls of callback URLs are too old and given up', { forgotten });
      const due = await selectDue(sql, now, { perHost: MAX_CALLS_PER_HOST, limit: MAX_CALLS });
      for (const item of due) {
        if (calls.size >= MAX_CALLS || stopping.signal.aborted) return;
        const { host } = new URL(item.url);
        const busy = [...calls.values()].filter((other) => other.host === host).length;
        if (!calls.has(item.id) && busy < MAX_CALLS_PER_HOST) launch(item, host);
      }
    },
    async stop() {
      stopping.abort();
      await Promise.all([...calls.values()].map(({ ended }) => ended));
    },
  };
}
