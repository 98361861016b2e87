/** Ends sessions that are idle: a pass of the leader over everything that runs. */
import type { ManagerContext } from '../context.ts';
import { terminateSession } from '../session/service.ts';
import { ensureUse, forgetUse, isConnected, loadUses } from './activity.ts';
import {
  type Activity,
  graceEndMsOf,
  idleReasons,
  judge,
  measuredFromMs,
  type Subject,
  type Verdict,
  windowMsOf,
} from './checks.ts';
import { forgetSamples, loadSamples, type Measured, takeSamples } from './samples.ts';
import { type IdleConfiguration, type IdleSettings, loadIdleSettings } from './settings.ts';
import { selectSubjects } from './store.ts';
import type { Utilization } from './utilization.ts';

/** Sessions looked at together. */
const PAGE = 1000;

/** Those of the sessions whose use of resources is measured now. */
function measurable(
  configuration: IdleConfiguration,
  subjects: readonly Subject[],
  samples: readonly (Utilization | null)[],
  nowMs: number,
): Measured[] {
  return subjects.flatMap((subject, at) => {
    const ofGroup = configuration.of(subject.scalingGroup);
    const settings = ofGroup.utilization;
    const windowMs = settings && windowMsOf(settings, subject);
    if (!settings || !windowMs) return [];
    if (nowMs <= measuredFromMs(settings, subject, graceEndMsOf(ofGroup, subject))) return [];
    return [{ subject, settings, windowMs, known: samples[at] ?? null }];
  });
}

/** What is known of each session, in the order given, brought up to date. */
async function activities(
  ctx: ManagerContext,
  configuration: IdleConfiguration,
  subjects: readonly Subject[],
): Promise<Activity[]> {
  const ids = subjects.map(({ sessionId }) => sessionId);
  const nowMs = ctx.clock.now().getTime();
  const [uses, samples] = await Promise.all([loadUses(ctx, ids), loadSamples(ctx, ids)]);
  const fresh = await takeSamples(ctx, measurable(configuration, subjects, samples, nowMs));
  return Promise.all(
    subjects.map(async ({ sessionId, scalingGroup }, at) => {
      const known = uses[at] ?? null;
      const counts = configuration.of(scalingGroup).network !== null;
      return {
        usedUntilMs: counts ? await ensureUse(ctx, sessionId, known, nowMs) : known,
        utilization: fresh.get(sessionId) ?? samples[at] ?? null,
      };
    }),
  );
}

/** The verdicts that end the session. Nobody who is connected is cut off for being silent. */
async function standing(
  ctx: ManagerContext,
  { quietStreamSec }: IdleSettings,
  { sessionId }: Subject,
  verdicts: readonly Verdict[],
): Promise<Verdict[]> {
  const idle = verdicts.filter((verdict) => verdict.idle);
  const isSilent = idle.some(({ checker }) => checker === 'network_timeout');
  if (!isSilent || !(await isConnected(ctx, sessionId, quietStreamSec))) return idle;
  return idle.filter(({ checker }) => checker !== 'network_timeout');
}

async function end(ctx: ManagerContext, sessionId: string, reason: string): Promise<void> {
  const outcome = await terminateSession(ctx, { sessionId, reason });
  await Promise.all([forgetUse(ctx, sessionId), forgetSamples(ctx, sessionId)]);
  if (outcome !== null) ctx.log.info('an idle session is ended', { sessionId, reason });
}

/** Makes the checks. They remember only which faults of the configuration were told already. */
export function createIdleChecks(ctx: ManagerContext): {
  pass(signal: AbortSignal): Promise<void>;
} {
  let told = '';

  const complain = ({ problems }: IdleConfiguration) => {
    const text = problems.join(' ');
    if (text !== told && text !== '') {
      ctx.log.warn('the configuration of idle checks has faults', { problems: text });
    }
    told = text;
  };

  return {
    async pass(signal) {
      const configuration = await loadIdleSettings(ctx);
      complain(configuration);
      let afterId: string | null = null;
      while (!signal.aborted) {
        const subjects: Subject[] = await selectSubjects(ctx.sql, afterId, PAGE);
        const known = await activities(ctx, configuration, subjects);
        const now = ctx.clock.now();
        for (const [at, subject] of subjects.entries()) {
          const activity = known[at];
          if (!activity || signal.aborted) return;
          const settings = configuration.of(subject.scalingGroup);
          const [idle] = await standing(
            ctx,
            settings,
            subject,
            judge(settings, subject, activity, now),
          );
          if (idle) await end(ctx, subject.sessionId, idleReasons[idle.checker]);
        }
        afterId = subjects.at(-1)?.sessionId ?? null;
        if (subjects.length < PAGE) return;
      }
    },
  };
}
