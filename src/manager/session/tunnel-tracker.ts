/**
 * Which sessions have open tunnels: a sorted set per session in the live store, of connections by when
 * they last moved bytes. A session with a fresh one is in use; those of a manager that died grow old.
 */
import { errorMessage } from '../../common/errors.ts';
import type { ManagerContext } from '../context.ts';
import { noteUse } from '../idle/activity.ts';

/** How often an open tunnel is noted again, and how old a note may grow. Milliseconds. */
const NOTE_EVERY_MS = 10_000;
const STALE_MS = 5 * 60_000;

const connectionsKey = (sessionId: string): string => `session.${sessionId}.active_app_connections`;

type Context = Pick<ManagerContext, 'live' | 'clock' | 'random' | 'log'>;

export interface TrackedTunnel {
  /** Bytes have moved. */
  readonly active: () => void;
  close(): Promise<void>;
}

export class TunnelTracker {
  readonly #ctx: Context;

  constructor(ctx: Context) {
    this.#ctx = ctx;
  }

  open(sessionId: string): TrackedTunnel {
    const { clock, random } = this.#ctx;
    const id = random.uuid();
    let notedAtMs = Number.NEGATIVE_INFINITY;
    const active = () => {
      const nowMs = clock.monotonicMs();
      if (nowMs - notedAtMs < NOTE_EVERY_MS) return;
      notedAtMs = nowMs;
      void this.#note(sessionId, id);
    };
    active();
    return { active, close: () => this.#forget(sessionId, id) };
  }

  async #note(sessionId: string, id: string): Promise<void> {
    const { live, clock } = this.#ctx;
    const key = connectionsKey(sessionId);
    const now = clock.now().getTime();
    await this.#attempt(async () => {
      await live.sortedAdd(key, id, now / 1000);
      await live.sortedRemoveByScore(key, 0, (now - STALE_MS) / 1000);
      await live.expire(key, STALE_MS);
    });
    await noteUse(this.#ctx, sessionId);
  }

  async #forget(sessionId: string, id: string): Promise<void> {
    const { live } = this.#ctx;
    await this.#attempt(async () => {
      await live.sortedRemove(connectionsKey(sessionId), id);
    });
    await noteUse(this.#ctx, sessionId);
  }

  /** Losing a note costs nothing but a session that may look idle; the tunnel goes on. */
  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#ctx.log.warn('an open tunnel could not be noted', { error: errorMessage(error) });
    }
  }
}
