/** Counts the requests of each keypair in a rolling window and refuses those above its limit. */
import type { Principal } from '../auth/service.ts';
import type { ManagerContext } from '../context.ts';

const WINDOW_SEC = 900;
const ANONYMOUS_LIMIT = 1000;

export interface RateLimitDecision {
  readonly allowed: boolean;
  readonly headers: Readonly<Record<string, string>>;
}

const headers = (limit: number | null, remaining: number) => ({
  'X-RateLimit-Limit': limit === null ? 'None' : String(limit),
  'X-RateLimit-Remaining': String(remaining),
  'X-RateLimit-Window': String(WINDOW_SEC),
});

/** Shown to unauthenticated clients, which are not counted. */
const anonymous: RateLimitDecision = {
  allowed: true,
  headers: headers(ANONYMOUS_LIMIT, ANONYMOUS_LIMIT),
};

const windowKey = (accessKey: string): string => `ratelimit:${accessKey}`;

/** How many requests a keypair made within the window that ends now. */
export function countRecentRequests(
  { live, clock }: Pick<ManagerContext, 'live' | 'clock'>,
  accessKey: string,
): Promise<number> {
  const nowMs = clock.now().getTime();
  return live.sortedCount(windowKey(accessKey), nowMs - WINDOW_SEC * 1000, nowMs);
}

/** What the store said last of a keypair's requests, and what was sent to it since. */
interface Count {
  counted: number;
  /** Requests of this manager that the store has not confirmed. */
  pending: number;
  readAtMs: number;
}

/** For so long a count is believed, to which other managers may have added. Milliseconds. */
const BELIEVED_MS = 1_000;
const MAX_KNOWN = 10_000;

/** The last requests before the limit wait for the store, so that what all managers let in is exact. */
const isFarFrom = (limit: number, count: number): boolean =>
  count < limit - Math.max(100, limit / 10);

/**
 * The store counts every request. Only where its answer may decide is it waited for: near the limit,
 * for a keypair not seen for a second, and after a failure.
 */
export class RateLimiter {
  readonly #ctx: Pick<ManagerContext, 'live' | 'clock' | 'id'>;
  readonly #known = new Map<string, Count>();
  #sequence = 0;

  constructor(ctx: Pick<ManagerContext, 'live' | 'clock' | 'id'>) {
    this.#ctx = ctx;
  }

  /** Records a request of `principal` and decides on it. @throws what the store throws. */
  async record(principal: Principal | null): Promise<RateLimitDecision> {
    if (principal === null) return anonymous;
    const { rateLimit: limit, caller } = principal;
    const known = this.#believed(caller.accessKey);
    const counting = this.#count(caller.accessKey);
    if (known === null || (limit !== null && !isFarFrom(limit, known.counted + known.pending))) {
      return decide(limit, await counting);
    }
    // Whoever comes next waits for the store, and is told if it still fails.
    counting.catch(() => {});
    return decide(limit, known.counted + known.pending);
  }

  #believed(accessKey: string): Count | null {
    const known = this.#known.get(accessKey);
    if (!known) return null;
    return this.#ctx.clock.monotonicMs() - known.readAtMs < BELIEVED_MS ? known : null;
  }

  /** Has the store count a request; gives the number of the window that ends with it. */
  async #count(accessKey: string): Promise<number> {
    const { live, clock, id } = this.#ctx;
    const nowMs = clock.now().getTime();
    this.#sequence += 1;
    const known = this.#known.get(accessKey) ?? { counted: 0, pending: 0, readAtMs: -BELIEVED_MS };
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(accessKey, known);
    known.pending += 1;
    try {
      known.counted = await live.slideWindow(
        windowKey(accessKey),
        `${id}:${nowMs}:${this.#sequence}`,
        nowMs,
        WINDOW_SEC * 1000,
      );
      known.readAtMs = clock.monotonicMs();
      return known.counted;
    } catch (error) {
      this.#known.delete(accessKey);
      throw error;
    } finally {
      known.pending -= 1;
    }
  }
}

function decide(limit: number | null, count: number): RateLimitDecision {
  if (limit === null) return { allowed: true, headers: headers(null, Number.MAX_SAFE_INTEGER) };
  return { allowed: count <= limit, headers: headers(limit, Math.max(0, limit - count)) };
}
