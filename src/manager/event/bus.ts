/**
 * Announcements inside the control plane: they wake waiters and loops early, on this manager and,
 * through the live store, on its siblings. Nothing depends on them for correctness: every listener
 * re-reads the database, and slow sweeps cover a lost announcement.
 */

export type WakefulLoop = 'schedule' | 'start' | 'terminate' | 'callback';

export type ManagerEvent =
  | {
      readonly type: 'session-status';
      readonly sessionId: string;
      readonly status: string;
      readonly reason: string;
    }
  | {
      readonly type: 'kernel-status';
      readonly sessionId: string;
      readonly kernelId: string;
      readonly status: string;
      readonly reason: string;
      readonly exitCode: number | null;
    }
  /** Rows that somebody may remember have changed. */
  | { readonly type: 'entity-changed'; readonly entityType: string }
  /** There may be work for a reconciling loop. */
  | { readonly type: 'wake'; readonly loop: WakefulLoop };

export interface EventBus {
  publish(event: ManagerEvent): void;
  /** @returns a function that ends the subscription. */
  subscribe(listener: (event: ManagerEvent) => void): () => void;
}
