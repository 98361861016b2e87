/** Measurements as agents report them and clients read them: one record per metric, all text. */
import * as v from 'valibot';

/** Upstream's name for a metric: `cpu_util`, `cuda_mem`, … */
const metricName = v.pipe(v.string(), v.regex(/^[a-z][a-z0-9_.-]{0,63}$/));
const figure = v.pipe(v.string(), v.regex(/^-?\d{1,30}(\.\d{1,6})?$/));

/** One metric. Figures are decimal text; what is not counted for a metric is "0". */
export const metricValue = v.object({
  current: figure,
  capacity: figure,
  /** `current` in percent of `capacity`, with two decimals. */
  pct: figure,
  /** Unit of `current`: msec, percent, bytes or bps (bytes per second). */
  unit_hint: v.pipe(v.string(), v.maxLength(16)),
  'stats.min': figure,
  'stats.max': figure,
  'stats.sum': figure,
  'stats.avg': figure,
  'stats.diff': figure,
  'stats.rate': figure,
  'stats.version': v.null(),
});
export type MetricValue = v.InferOutput<typeof metricValue>;

export const metrics = v.record(metricName, metricValue);
/** Metric → its value. */
export type Metrics = v.InferOutput<typeof metrics>;

export const nodeStatistics = v.object({
  node: metrics,
  /** Metric → device → value; CPUs by number, memory as `root`, disks by mount point. */
  devices: v.record(metricName, v.record(v.pipe(v.string(), v.maxLength(255)), metricValue)),
});
/** What a node as a whole uses. */
export type NodeStatistics = v.InferOutput<typeof nodeStatistics>;

/** Kernels in one report. An agent with more sends several. */
export const MAX_KERNELS_PER_REPORT = 200;

export const statisticsReport = v.object({
  agentId: v.string(),
  /** After how long the next report comes. Milliseconds. */
  intervalMs: v.pipe(v.number(), v.minValue(1), v.maxValue(3_600_000)),
  /** null in the further reports of an agent that sends several. */
  node: v.nullable(nodeStatistics),
  /** By kernel id. */
  kernels: v.pipe(
    v.record(v.pipe(v.string(), v.uuid()), metrics),
    v.maxEntries(MAX_KERNELS_PER_REPORT),
  ),
});
export type StatisticsReport = v.InferOutput<typeof statisticsReport>;

/** Stands for "unbounded" as the capacity of a metric that has none. */
export const UNBOUNDED = '9223372036854775807';
