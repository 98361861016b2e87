/**
 * Announcements inside the control plane: they wake waiters and loops early, on this manager and,
 * through the live store, on its siblings. Nothing depends on them for correctness: every listener
 * re-reads the database, and slow sweeps cover a lost announcement.
 */
import * as v from 'valibot';

export type WakefulLoop = 'schedule' | 'start' | 'terminate' | 'callback' | 'apps';

/** What happened to a session or one of its kernels. */
export const statusEvent = v.variant('type', [
  v.object({
    type: v.literal('session-status'),
    sessionId: v.string(),
    status: v.string(),
    reason: v.string(),
  }),
  v.object({
    type: v.literal('kernel-status'),
    sessionId: v.string(),
    kernelId: v.string(),
    status: v.string(),
    reason: v.string(),
    exitCode: v.nullable(v.number()),
  }),
]);
export type StatusEvent = Readonly<v.InferOutput<typeof statusEvent>>;

export type ManagerEvent =
  | StatusEvent
  /** Rows that somebody may remember have changed. */
  | { readonly type: 'entity-changed'; readonly entityType: string }
  /** There may be work for a reconciling loop. */
  | { readonly type: 'wake'; readonly loop: WakefulLoop };

export interface EventBus {
  publish(event: ManagerEvent): void;
  /** @returns a function that ends the subscription. */
  subscribe(listener: (event: ManagerEvent) => void): () => void;
}
