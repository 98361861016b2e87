/** The samples of sessions' use of their resources, taken from agents' reports, in the live store. */
import * as v from 'valibot';
import { loadKernelStatistics } from '../agent/statistics.ts';
import type { ManagerContext } from '../context.ts';
import type { Subject } from './checks.ts';
import type { UtilizationSettings } from './settings.ts';
import { selectMeasurable } from './store.ts';
import {
  addSample,
  countedMetrics,
  type MeasuredKernel,
  SAMPLE_MS,
  sampleOf,
  storedUtilization,
  type Utilization,
} from './utilization.ts';

const DAY_MS = 86_400_000;
/** Passes are never quite as far apart as samples should be. */
const EARLY_MS = 1_000;

const keyOf = (sessionId: string): string => `session.${sessionId}.util_series`;

/** A session to take a sample of. */
export interface Measured {
  readonly subject: Subject;
  readonly settings: UtilizationSettings;
  readonly windowMs: number;
  readonly known: Utilization | null;
}

/** The samples of sessions, in the order given; null for those never measured. */
export async function loadSamples(
  { live }: Pick<ManagerContext, 'live'>,
  sessionIds: readonly string[],
): Promise<(Utilization | null)[]> {
  const texts = await live.getMany(sessionIds.map(keyOf));
  return texts.map((text) => {
    // What an older version wrote differently is measured anew.
    const parsed = v.safeParse(storedUtilization, text);
    return parsed.success ? parsed.output : null;
  });
}

export const forgetSamples = ({ live }: Pick<ManagerContext, 'live'>, sessionId: string) =>
  live.delete(keyOf(sessionId));

/** Takes a sample of each session for which one is due. @returns what is known afterwards, by id. */
export async function takeSamples(
  ctx: Pick<ManagerContext, 'sql' | 'live' | 'clock'>,
  measured: readonly Measured[],
): Promise<ReadonlyMap<string, Utilization>> {
  const nowMs = ctx.clock.now().getTime();
  const due = measured.filter(
    ({ known }) => known === null || nowMs - known.last >= SAMPLE_MS - EARLY_MS,
  );
  if (due.length === 0) return new Map();
  const kernels = await selectMeasurable(
    ctx.sql,
    due.map(({ subject }) => subject.sessionId),
  );
  const statistics = await loadKernelStatistics(
    ctx.live,
    kernels.map(({ id }) => id),
  );
  const bySession = new Map<string, MeasuredKernel[]>();
  kernels.forEach(({ session_id, memory }, at) => {
    const metrics = statistics[at];
    if (!metrics) return;
    const list = bySession.get(session_id) ?? [];
    bySession.set(session_id, list);
    list.push({ metrics, memory });
  });
  const found = new Map<string, Utilization>();
  await Promise.all(
    due.map(async ({ subject, settings, windowMs, known }) => {
      const { sessionId, requestedSlots } = subject;
      const own = bySession.get(sessionId);
      if (own === undefined) return;
      const sample = sampleOf(own, countedMetrics(settings, requestedSlots));
      const next = addSample(known, sample, { nowMs, windowMs });
      found.set(sessionId, next);
      const ttlMs = Math.max(DAY_MS, 2 * windowMs);
      await ctx.live.set(keyOf(sessionId), JSON.stringify(next), { ttlMs });
    }),
  );
  return found;
}
