/** Waits for the end of a session that was asked to end: what it used is free only then. */
import * as v from 'valibot';
import { ApiError, type Client } from '../../client/index.ts';
import type { Clock } from '../../common/clock.ts';

/** An end takes a moment, or as long as its programs resist. Milliseconds. */
const LONGEST_MS = 60_000;
const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 1_000;
const ENDED = new Set(['TERMINATED', 'CANCELLED']);

const summary = v.object({ status: v.string() });

/** The session's status; null when nobody knows it any more. */
async function statusOf(client: Pick<Client, 'session'>, session: string): Promise<string | null> {
  try {
    return v.parse(summary, await client.session.get(session)).status;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return null;
    throw error;
  }
}

/**
 * @param options.report told the status whenever it was asked for and is not the end.
 * @returns false when it still had not ended after a minute.
 * @throws ApiError, ConnectionError; the signal's reason when given up.
 */
export async function waitUntilEnded(
  client: Pick<Client, 'session'>,
  session: string,
  options: {
    readonly clock: Clock;
    readonly signal: AbortSignal;
    readonly report: (status: string) => void;
  },
): Promise<boolean> {
  const { clock, signal, report } = options;
  const end = clock.monotonicMs() + LONGEST_MS;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS)) {
    const status = await statusOf(client, session);
    if (status === null || ENDED.has(status)) return true;
    if (clock.monotonicMs() >= end) return false;
    report(status);
    await clock.sleep(pauseMs, signal);
  }
}
