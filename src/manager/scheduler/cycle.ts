/** One pass of the scheduler: snapshot, plan, apply, and notes for those that go on waiting. */
import type { ManagerContext } from '../context.ts';
import { rememberRoundRobin } from '../resource-group/service.ts';
import type { Placement, Preemption } from '../session/placement.ts';
import { applyPlacements, applyPreemptions } from '../session/transition.ts';
import { PendingQueue, takeSnapshot } from './load.ts';
import { recordWaiting, type WaitingNote } from './note-store.ts';
import { MAX_PENDING_PER_GROUP } from './pending-store.ts';
import {
  type Plan,
  type PlannedPlacement,
  type PlannedPreemption,
  plan,
  type Waiting,
} from './plan.ts';
import type { PendingSession } from './snapshot.ts';

/** How often an unchanged reason is written down again. Milliseconds. */
const REPEAT_NOTE_MS = 30_000;
/** Placements that are applied in one transaction. */
const BATCH = 1000;
/** Plans per pass: a refused placement means that somebody else was faster, so plan again. */
const MAX_PLANS = 5;

export interface Scheduler {
  /**
   * Places what can be placed.
   * @returns when a session becomes eligible by the clock alone; null if none does.
   */
  pass(): Promise<Date | null>;
}

type SchedulerContext = Pick<
  ManagerContext,
  'sql' | 'keyed' | 'transitions' | 'events' | 'clock' | 'log' | 'settings' | 'config' | 'live'
>;

function toPlacement(
  planned: PlannedPlacement,
  session: PendingSession | undefined,
  now: Date,
): Placement {
  return {
    sessionId: planned.sessionId,
    kernels: planned.kernels,
    scheduler: {
      failed_predicates: [],
      passed_predicates: planned.passed.map((name) => ({ name })),
      retries: 0,
      last_try: now.toISOString(),
      msg: '',
      failed_agents: session?.failedAgents ?? [],
      cleared_agents: [],
    },
  };
}

/** What has to be applied of a planned preemption. */
export const toPreemption = ({
  session,
  victims,
  mode,
  agentIds,
}: PlannedPreemption): Preemption => ({
  sessionId: session.id,
  priority: session.priority,
  kernelIds: session.kernels.map(({ id }) => id),
  victims: victims.map(({ id, priority, kernels }) => ({ sessionId: id, priority, kernels })),
  ...{ mode, agentIds },
});

/**
 * Notes that are new, name other rules than the last ones, or are old enough to be repeated: their
 * numbers change with everything that starts and ends.
 */
class NoteFilter {
  private last = new Map<string, { text: string; atMs: number }>();

  select(waiting: readonly Waiting[], nowMs: number): WaitingNote[] {
    const next = new Map<string, { text: string; atMs: number }>();
    const due = waiting.filter((note) => {
      const text = [...note.failed.map(({ name }) => name), note.hasClaim].join();
      const before = this.last.get(note.sessionId);
      const repeat = before?.text === text && nowMs - before.atMs < REPEAT_NOTE_MS;
      next.set(note.sessionId, repeat && before ? before : { text, atMs: nowMs });
      return !repeat;
    });
    this.last = next;
    return due;
  }
}

/** Makes a scheduler. It remembers nothing that matters. */
export function createScheduler(ctx: SchedulerContext): Scheduler {
  const notes = new NoteFilter();
  const queue = new PendingQueue();

  const apply = async (decided: Plan, pending: readonly PendingSession[]): Promise<number> => {
    if (decided.placements.length === 0) return 0;
    const byId = new Map(pending.map((session) => [session.id, session]));
    const now = ctx.clock.now();
    let placed = 0;
    for (let from = 0; from < decided.placements.length; from += BATCH) {
      const batch = decided.placements
        .slice(from, from + BATCH)
        .map((item) => toPlacement(item, byId.get(item.sessionId), now));
      placed += (await applyPlacements(ctx, batch)).size;
    }
    await rememberRoundRobin(ctx.sql, decided.lastAgents);
    return decided.placements.length - placed;
  };

  return {
    async pass() {
      for (let round = 1; ; round += 1) {
        const pending = await queue.load(ctx);
        if (pending.length === 0) return null;
        const decided = plan(await takeSnapshot(ctx, pending));
        const refused = await apply(decided, pending);
        if (refused > 0 && round < MAX_PLANS) {
          // What was refused may not be what it was.
          queue.forget();
          ctx.log.debug('placements were refused, planning again', { refused });
          continue;
        }
        if (decided.placements.length > refused && pending.length >= MAX_PENDING_PER_GROUP) {
          // The queue may be longer than what is read at a time.
          ctx.events.publish({ type: 'wake', loop: 'schedule' });
        }
        if (refused === 0 && decided.preemptions.length > 0) {
          await applyPreemptions(ctx, decided.preemptions.map(toPreemption));
        }
        const due = notes.select(decided.waiting, ctx.clock.monotonicMs());
        if (due.length > 0) await recordWaiting(ctx.sql, due, ctx.clock.now());
        return decided.nextStartAt;
      }
    },
  };
}
