/** What idle checkers say of sessions, as clients read it. */
import type { ManagerContext } from '../context.ts';
import { loadUses } from './activity.ts';
import { type Activity, judge, type Verdict, verdictsOfNone } from './checks.ts';
import { loadSamples } from './samples.ts';
import { loadIdleSettings } from './settings.ts';
import { selectSubjectsById } from './store.ts';

type ReportContext = Pick<ManagerContext, 'sql' | 'config' | 'live' | 'clock'>;

/** One checker's part of `idle_checks`. */
interface CheckReport {
  /** Seconds; -1 when it is over, null when the checker does not count now. */
  readonly remaining: number | null;
  readonly remaining_time_type: 'expire_after' | 'grace_period';
  readonly extra: Verdict['extra'];
}

/** By checker. */
export type IdleReport = Readonly<Record<string, CheckReport>>;

const EXPIRED = -1;

function toReport(verdicts: readonly Verdict[]): IdleReport {
  return Object.fromEntries(
    verdicts.map(({ checker, remainingSec, extra }) => [
      checker,
      {
        remaining: remainingSec === null || remainingSec > 0 ? remainingSec : EXPIRED,
        remaining_time_type: checker === 'utilization' ? 'grace_period' : 'expire_after',
        extra,
      },
    ]),
  );
}

/**
 * The reports of sessions that the caller may see, by id; those that do not run have nothing
 * remaining.
 */
export async function loadIdleReports(
  ctx: ReportContext,
  sessionIds: readonly string[],
): Promise<ReadonlyMap<string, IdleReport>> {
  const [configuration, subjects] = await Promise.all([
    loadIdleSettings(ctx),
    selectSubjectsById(ctx.sql, sessionIds),
  ]);
  const ids = subjects.map((subject) => subject.sessionId);
  const [uses, samples] = await Promise.all([loadUses(ctx, ids), loadSamples(ctx, ids)]);
  const now = ctx.clock.now();
  const none = toReport(verdictsOfNone(configuration.of(null)));
  const found = new Map(sessionIds.map((id) => [id, none]));
  subjects.forEach((subject, at) => {
    const activity: Activity = {
      usedUntilMs: uses[at] ?? null,
      utilization: samples[at] ?? null,
    };
    const settings = configuration.of(subject.scalingGroup);
    found.set(subject.sessionId, toReport(judge(settings, subject, activity, now)));
  });
  return found;
}
