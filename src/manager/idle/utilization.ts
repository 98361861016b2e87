/** How much of its resources a session used within a moving window of time. Pure. */
import * as v from 'valibot';
import type { Metrics } from '../../common/protocol/statistics.ts';
import type { UtilizationSettings } from './settings.ts';

/** How often samples are taken. Milliseconds. */
export const SAMPLE_MS = 15_000;
/** A window is kept as at most this many sums, so that long ones take no more room than short ones. */
const MAX_BUCKETS = 60;

/** Sum and number of the samples of one metric. Percent. */
const sums = v.record(v.string(), v.tuple([v.number(), v.number()]));

const utilization = v.object({
  /** When the first and the last sample were taken. Milliseconds since the epoch. */
  first: v.number(),
  last: v.number(),
  /** Oldest first; each with its beginning. */
  buckets: v.array(v.tuple([v.number(), sums])),
});
/** The samples of a session. */
export type Utilization = v.InferOutput<typeof utilization>;

/** As it is kept in the live store. */
export const storedUtilization = v.pipe(v.string(), v.parseJson(), utilization);

export interface MeasuredKernel {
  readonly metrics: Metrics;
  /** Memory that the kernel may use. Bytes. */
  readonly memory: number;
}

function percentOf(metric: string, { metrics, memory }: MeasuredKernel): number | null {
  const value = metrics[metric];
  if (value === undefined) return null;
  // Of its host's memory a kernel always shows little, so its own allocation is what counts.
  if (metric === 'mem') return memory > 0 ? (Number(value.current) / memory) * 100 : null;
  return Number(value.pct);
}

/** The present use of each metric, averaged over the kernels that report it. Percent. */
export function sampleOf(
  kernels: readonly MeasuredKernel[],
  wanted: Iterable<string>,
): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const metric of wanted) {
    const values = kernels.flatMap((kernel) => percentOf(metric, kernel) ?? []);
    if (values.length === 0) continue;
    found.set(metric, values.reduce((sum, value) => sum + value, 0) / values.length);
  }
  return found;
}

/** @returns the samples with one more, and without those that left the window. */
export function addSample(
  known: Utilization | null,
  sample: ReadonlyMap<string, number>,
  { nowMs, windowMs }: { readonly nowMs: number; readonly windowMs: number },
): Utilization {
  const width = Math.max(SAMPLE_MS, windowMs / MAX_BUCKETS);
  const buckets = (known?.buckets ?? []).filter(([start]) => start + width > nowMs - windowMs);
  const last = buckets.at(-1);
  const extends_ = last !== undefined && nowMs - last[0] < width;
  const [start, before] = extends_ ? last : [nowMs, {}];
  const after = { ...before };
  for (const [metric, value] of sample) {
    const [sum, count] = after[metric] ?? [0, 0];
    after[metric] = [sum + value, count + 1];
  }
  return {
    first: known?.first ?? nowMs,
    last: nowMs,
    buckets: [...(extends_ ? buckets.slice(0, -1) : buckets), [start, after]],
  };
}

/** The average of a metric over the window; null when nobody reported it. Percent. */
export function averageOf({ buckets }: Utilization, metric: string): number | null {
  let [total, samples] = [0, 0];
  for (const [, sumsOf] of buckets) {
    const [sum, count] = sumsOf[metric] ?? [0, 0];
    total += sum;
    samples += count;
  }
  return samples === 0 ? null : total / samples;
}

/** Metrics whose kind of slot the session has: one without a GPU cannot leave it idle. */
export function countedMetrics(
  { thresholds }: UtilizationSettings,
  requestedSlots: Readonly<Record<string, string>>,
): string[] {
  const held = new Set(
    Object.entries(requestedSlots).flatMap(([slot, amount]) =>
      Number(amount) > 0 ? (slot.split('.')[0] ?? []) : [],
    ),
  );
  return [...thresholds].flatMap(([metric, { resource }]) => (held.has(resource) ? metric : []));
}
