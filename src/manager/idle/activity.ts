/**
 * When sessions were used last, kept in the live store. Whoever loses that makes sessions look freshly
 * used, which ends none of them too early.
 */
import { errorMessage } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';

type ActivityContext = Pick<ManagerContext, 'live' | 'clock' | 'log'>;

/** Longer than any sensible timeout. Checks renew it. Milliseconds. */
const KEPT_MS = 30 * 86_400_000;
/** Use that goes on is written down this often. Milliseconds. */
const THROTTLE_MS = 5_000;
/** Sessions whose last note is remembered. */
const MAX_REMEMBERED = 20_000;

const keyOf = (sessionId: string): string => `session.${sessionId}.last_access`;

/** When each session was noted last, by `monotonicMs`; per live store, that is per cluster. */
const noted = new WeakMap<object, Map<string, number>>();

function isFresh({ live, clock }: ActivityContext, sessionId: string): boolean {
  const known = noted.get(live) ?? new Map<string, number>();
  noted.set(live, known);
  const now = clock.monotonicMs();
  const last = known.get(sessionId);
  if (last !== undefined && now - last < THROTTLE_MS) return true;
  if (known.size >= MAX_REMEMBERED) known.clear();
  known.set(sessionId, now);
  return false;
}

const write = ({ live }: Pick<ActivityContext, 'live'>, sessionId: string, atMs: number) =>
  live.set(keyOf(sessionId), (atMs / 1000).toFixed(3), { ttlMs: KEPT_MS });

/** Notes that a session is used now. Never fails: a note that is lost must not cost the user's work. */
export async function noteUse(ctx: ActivityContext, sessionId: string): Promise<void> {
  if (isFresh(ctx, sessionId)) return;
  try {
    await write(ctx, sessionId, ctx.clock.now().getTime());
  } catch (error) {
    ctx.log.warn('the use of a session is not noted', { sessionId, error: errorMessage(error) });
  }
}

/** Until when sessions count as used, in the order given; null: not known. Milliseconds since the epoch. */
export async function loadUses(
  { live }: Pick<ManagerContext, 'live'>,
  sessionIds: readonly string[],
): Promise<(number | null)[]> {
  const texts = await live.getMany(sessionIds.map(keyOf));
  return texts.map((text) => {
    const seconds = text === null ? Number.NaN : Number(text);
    return Number.isFinite(seconds) ? seconds * 1000 : null;
  });
}

/**
 * Sees to it that a running session has a use that timeouts count from: the present, if none is known.
 * @returns until when it counts as used. Milliseconds since the epoch.
 */
export async function ensureUse(
  { live }: Pick<ManagerContext, 'live'>,
  sessionId: string,
  knownMs: number | null,
  nowMs: number,
): Promise<number> {
  if (knownMs !== null) {
    if (nowMs - knownMs > KEPT_MS / 2) await live.expire(keyOf(sessionId), KEPT_MS);
    return knownMs;
  }
  const options = { ttlMs: KEPT_MS, onlyIfAbsent: true };
  await live.set(keyOf(sessionId), (nowMs / 1000).toFixed(3), options);
  return nowMs;
}

/**
 * Whether somebody is connected to an app of the session through a manager.
 * @param quietSec a connection that moved nothing for this long counts as closed.
 */
export async function isConnected(
  { live, clock }: Pick<ManagerContext, 'live' | 'clock'>,
  sessionId: string,
  quietSec: number,
): Promise<boolean> {
  const key = `session.${sessionId}.active_app_connections`;
  const from = clock.now().getTime() / 1000 - quietSec;
  return (await live.sortedCount(key, from, Number.POSITIVE_INFINITY)) > 0;
}

export const forgetUse = ({ live }: Pick<ManagerContext, 'live'>, sessionId: string) =>
  live.delete(keyOf(sessionId));
