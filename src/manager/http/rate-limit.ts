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

export class RateLimiter {
  readonly #ctx: Pick<ManagerContext, 'live' | 'clock' | 'id'>;
  #sequence = 0;

  constructor(ctx: Pick<ManagerContext, 'live' | 'clock' | 'id'>) {
    this.#ctx = ctx;
  }

  /** Records a request of `principal` and decides on it. */
  async record(principal: Principal | null): Promise<RateLimitDecision> {
    if (principal === null) return anonymous;
    const { live, clock, id } = this.#ctx;
    const { rateLimit: limit, caller } = principal;
    const nowMs = clock.now().getTime();
    this.#sequence += 1;
    const count = await live.slideWindow(
      windowKey(caller.accessKey),
      `${id}:${nowMs}:${this.#sequence}`,
      nowMs,
      WINDOW_SEC * 1000,
    );
    if (limit === null) return { allowed: true, headers: headers(null, Number.MAX_SAFE_INTEGER) };
    return { allowed: count <= limit, headers: headers(limit, Math.max(0, limit - count)) };
  }
}
