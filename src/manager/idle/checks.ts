/**
 * The rules of idleness: from what is known of a session to a verdict of each checker. Pure; both the
 * reports that people see and the decision to end a session come from here.
 */
import type { IdleSettings, UtilizationSettings } from './settings.ts';
import { averageOf, countedMetrics, SAMPLE_MS, type Utilization } from './utilization.ts';

/** A running session, by what idleness depends on. */
export interface Subject {
  readonly sessionId: string;
  readonly sessionType: string;
  readonly scalingGroup: string | null;
  /** When it began to run. */
  readonly startedAt: Date;
  readonly createdAt: Date;
  readonly userCreatedAt: Date | null;
  /** Of its keypair's resource policy. 0: never idle; negative: as the checker is configured. Seconds. */
  readonly idleTimeoutSec: number;
  /** Of its keypair's resource policy. 0: no limit. Seconds. */
  readonly maxLifetimeSec: number;
  readonly requestedSlots: Readonly<Record<string, string>>;
}

/** What the live store knows of a session. */
export interface Activity {
  /** Until when it counts as used: in the future while somebody is connected; null: not known. */
  readonly usedUntilMs: number | null;
  readonly utilization: Utilization | null;
}

export interface UtilizationReport {
  readonly thresholds_check_operator: 'and' | 'or';
  /** Metric → [average within the window, threshold]. Percent. */
  readonly resources: Readonly<Record<string, readonly [number, number]>>;
}

export type CheckerName = 'session_lifetime' | 'network_timeout' | 'utilization';

export interface Verdict {
  readonly checker: CheckerName;
  /** Until it ends, or for utilization until its use is judged; null: not counted now. Seconds. */
  readonly remainingSec: number | null;
  readonly extra: UtilizationReport | null;
  readonly idle: boolean;
}

/** `status_info` of a session that a checker ends. */
export const idleReasons: Readonly<Record<CheckerName, string>> = {
  session_lifetime: 'idle-session-lifetime',
  network_timeout: 'idle-timeout',
  utilization: 'idle-utilization',
};

interface Case {
  readonly subject: Subject;
  readonly activity: Activity;
  readonly nowMs: number;
  /** Until then the sessions of a new user are left alone. */
  readonly graceEndMs: number;
}

const unconcerned = (checker: CheckerName): Verdict => ({
  checker,
  remainingSec: null,
  extra: null,
  idle: false,
});

function lifetime({ subject, nowMs, graceEndMs }: Case): Verdict {
  const checker = 'session_lifetime';
  if (subject.maxLifetimeSec <= 0) return unconcerned(checker);
  // Waiting in the queue is no life yet, whatever upstream's older releases made of it.
  const from = Math.max(subject.startedAt.getTime(), graceEndMs);
  const remainingSec = (from - nowMs) / 1000 + subject.maxLifetimeSec;
  return { checker, remainingSec, extra: null, idle: remainingSec <= 0 };
}

function network({ subject, activity, nowMs, graceEndMs }: Case, defaultSec: number): Verdict {
  const checker = 'network_timeout';
  const timeoutSec = subject.idleTimeoutSec >= 0 ? subject.idleTimeoutSec : defaultSec;
  const { usedUntilMs } = activity;
  const counts = subject.sessionType !== 'batch' && timeoutSec > 0;
  if (!counts || usedUntilMs === null || usedUntilMs > nowMs) return unconcerned(checker);
  const remainingSec = (Math.max(usedUntilMs, graceEndMs) - nowMs) / 1000 + timeoutSec;
  return { checker, remainingSec, extra: null, idle: remainingSec < 0 };
}

/** The window for a session; null: its use is not judged. Milliseconds. */
export function windowMsOf(settings: UtilizationSettings, subject: Subject): number | null {
  const seconds = subject.idleTimeoutSec >= 0 ? subject.idleTimeoutSec : settings.windowSec;
  return seconds * 1000 >= SAMPLE_MS ? seconds * 1000 : null;
}

/** When the use of a session begins to be measured. Milliseconds since the epoch. */
export const measuredFromMs = (
  { graceSec }: UtilizationSettings,
  { createdAt }: Subject,
  graceEndMs: number,
): number => Math.max(createdAt.getTime(), graceEndMs) + graceSec * 1000;

function utilization(
  { subject, activity, nowMs, graceEndMs }: Case,
  settings: UtilizationSettings,
): Verdict {
  const checker = 'utilization';
  const windowMs = windowMsOf(settings, subject);
  if (windowMs === null) return unconcerned(checker);
  const from = measuredFromMs(settings, subject, graceEndMs);
  const remainingSec = (from + windowMs - nowMs) / 1000;
  const known = activity.utilization;
  if (nowMs <= from || known === null) return { ...unconcerned(checker), remainingSec };
  const measured = countedMetrics(settings, subject.requestedSlots).flatMap((metric) => {
    const average = averageOf(known, metric);
    const threshold = settings.thresholds.get(metric)?.average;
    return average === null || threshold === undefined
      ? []
      : [[metric, [average, threshold] as const] as const];
  });
  const extra: UtilizationReport = {
    thresholds_check_operator: settings.operator,
    resources: Object.fromEntries(measured),
  };
  const low = measured.map(([, [average, threshold]]) => average < threshold);
  const isFull = nowMs - known.first >= windowMs;
  const isLow = settings.operator === 'or' ? low.includes(true) : !low.includes(false);
  return { checker, remainingSec, extra, idle: isFull && low.length > 0 && isLow };
}

/** When the grace for a new user's sessions ends. Milliseconds since the epoch. */
export const graceEndMsOf = ({ newUserGraceSec }: IdleSettings, { userCreatedAt }: Subject) =>
  newUserGraceSec > 0 && userCreatedAt !== null
    ? userCreatedAt.getTime() + newUserGraceSec * 1000
    : Number.NEGATIVE_INFINITY;

/** What each enabled checker says of a session. */
export function judge(
  settings: IdleSettings,
  subject: Subject,
  activity: Activity,
  now: Date,
): Verdict[] {
  const graceEndMs = graceEndMsOf(settings, subject);
  const one: Case = { subject, activity, nowMs: now.getTime(), graceEndMs };
  return [
    lifetime(one),
    ...(settings.network ? [network(one, settings.network.timeoutSec)] : []),
    ...(settings.utilization ? [utilization(one, settings.utilization)] : []),
  ];
}

/** What is said of a session that does not run. */
export const verdictsOfNone = (settings: IdleSettings): Verdict[] => [
  unconcerned('session_lifetime'),
  ...(settings.network ? [unconcerned('network_timeout')] : []),
  ...(settings.utilization ? [unconcerned('utilization')] : []),
];
