/**
 * Turns measurements into the figures clients read. Rates need the measurement before, extremes and
 * averages all of them, so what a metric was is remembered as long as its subject is measured.
 */
import {
  type Metrics,
  type MetricValue,
  type NodeStatistics,
  UNBOUNDED,
} from '../../common/protocol/statistics.ts';
import type { KernelUsage, NodeUsage } from './usage.ts';

export interface Measurement {
  readonly metric: string;
  readonly unit: 'msec' | 'percent' | 'bytes' | 'bps' | 'Watts' | 'Celsius';
  readonly value: number;
  /** null: unbounded. Given the time since the measurement before. */
  readonly capacity: ((elapsedMs: number) => number) | null;
  /**
   * What `current` is: the value itself, how much it grew since the measurement before, or that per
   * second.
   */
  readonly current: 'value' | 'growth' | 'rate';
  /** Which further figures mean something for this metric. */
  readonly also?: readonly ('stats.rate' | 'stats.diff')[];
}

interface Memory {
  value: number;
  atMs: number;
  min: number;
  max: number;
  sum: number;
  count: number;
}

/** A figure with three decimals at most, as plain decimal text. */
const figure = (value: number): string =>
  Number.isFinite(value) ? decimalText(Math.round(value * 1000)) : '0';

function decimalText(thousandths: number): string {
  const text = BigInt(thousandths).toString().padStart(4, '0');
  return `${text.slice(0, -3)}.${text.slice(-3)}`.replace(/\.?0+$/, '');
}

const percentOf = (current: number, capacity: number | null): string =>
  capacity !== null && capacity > 0 ? ((current / capacity) * 100).toFixed(2) : '0.00';

/** The metrics of one subject: a kernel, the node, or one device. */
class MetricSeries {
  readonly #memories = new Map<string, Memory>();

  take(measurement: Measurement, atMs: number): MetricValue {
    const { metric, value } = measurement;
    const before = this.#memories.get(metric);
    const elapsedMs = before ? atMs - before.atMs : 0;
    // A counter that went back began anew.
    const growth = before ? Math.max(0, value - before.value) : 0;
    const rate = elapsedMs > 0 ? (growth * 1000) / elapsedMs : 0;
    const current = { value, growth, rate }[measurement.current];
    const memory: Memory = {
      value,
      atMs,
      min: Math.min(before?.min ?? current, current),
      max: Math.max(before?.max ?? current, current),
      sum: (before?.sum ?? 0) + current,
      count: (before?.count ?? 0) + 1,
    };
    this.#memories.set(metric, memory);
    const capacity = measurement.capacity?.(elapsedMs) ?? null;
    const also = (name: 'stats.rate' | 'stats.diff', amount: number) =>
      measurement.also?.includes(name) ? figure(amount) : '0';
    return {
      current: figure(current),
      capacity: capacity === null ? UNBOUNDED : figure(capacity),
      pct: percentOf(current, capacity),
      unit_hint: measurement.unit,
      'stats.min': figure(memory.min),
      'stats.max': figure(memory.max),
      'stats.sum': figure(memory.sum),
      'stats.avg': figure(memory.sum / memory.count),
      'stats.diff': also('stats.diff', measurement.current === 'rate' ? rate : growth),
      'stats.rate': also('stats.rate', rate),
      'stats.version': null,
    };
  }
}

/** Milliseconds of CPU time per second that one CPU gives. */
const ONE_CPU = 1000;

function kernelMeasurements(usage: KernelUsage, nodeMemoryBytes: number): Measurement[] {
  const found: Measurement[] = [];
  const add = (value: number | null, rest: Omit<Measurement, 'value'>) => {
    if (value !== null) found.push({ ...rest, value });
  };
  const { cpuUsedMs, memoryLimitBytes } = usage;
  const io = { unit: 'bytes', capacity: null, current: 'value', also: ['stats.rate'] } as const;
  const net = { unit: 'bps', capacity: null, current: 'rate', also: ['stats.rate'] } as const;
  add(cpuUsedMs, { metric: 'cpu_used', unit: 'msec', capacity: null, current: 'value' });
  add(cpuUsedMs, {
    metric: 'cpu_util',
    unit: 'percent',
    capacity: () => ONE_CPU,
    current: 'rate',
    also: ['stats.diff'],
  });
  const limit = Math.min(memoryLimitBytes ?? nodeMemoryBytes, nodeMemoryBytes);
  add(usage.memoryBytes, {
    metric: 'mem',
    unit: 'bytes',
    capacity: () => limit,
    current: 'value',
  });
  add(usage.ioReadBytes, { metric: 'io_read', ...io });
  add(usage.ioWriteBytes, { metric: 'io_write', ...io });
  add(usage.netRxBytes, { metric: 'net_rx', ...net });
  add(usage.netTxBytes, { metric: 'net_tx', ...net });
  add(usage.scratchBytes, {
    metric: 'io_scratch_size',
    unit: 'bytes',
    capacity: () => 0,
    current: 'value',
  });
  return found;
}

/** Device (null: the node as a whole) and what was measured of it. */
export type DeviceMeasurement = readonly [string | null, Measurement];

function nodeMeasurements(usage: NodeUsage): DeviceMeasurement[] {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  // Against one processor's time, of the whole node too: readers divide by the number of devices.
  const cpu = (usedMs: number): Measurement => ({
    metric: 'cpu_util',
    unit: 'msec',
    value: usedMs,
    capacity: (elapsedMs) => elapsedMs,
    current: 'growth',
  });
  const amount = (metric: string, used: number, total: number): Measurement => ({
    metric,
    unit: 'bytes',
    value: used,
    capacity: () => total,
    current: 'value',
  });
  const net = (metric: string, value: number): Measurement => ({
    metric,
    unit: 'bps',
    value,
    capacity: null,
    current: 'rate',
    also: ['stats.rate'],
  });
  const { cpuUsedMs, disks, memoryUsedBytes, memoryTotalBytes } = usage;
  const memory = amount('mem', memoryUsedBytes, memoryTotalBytes);
  const rx = net('net_rx', usage.netRxBytes);
  const tx = net('net_tx', usage.netTxBytes);
  return [
    [null, cpu(sum(cpuUsedMs))],
    ...cpuUsedMs.map((usedMs, id): [string, Measurement] => [String(id), cpu(usedMs)]),
    [null, memory],
    ['root', memory],
    [
      null,
      amount(
        'disk',
        sum(disks.map((disk) => disk.usedBytes)),
        sum(disks.map((disk) => disk.totalBytes)),
      ),
    ],
    ...disks.map((disk): [string, Measurement] => [
      disk.mountPoint,
      amount('disk', disk.usedBytes, disk.totalBytes),
    ]),
    [null, rx],
    ['node', rx],
    [null, tx],
    ['node', tx],
  ];
}

/** Keeps the series of all that an agent measures. */
export class MetricTracker {
  readonly #node = new MetricSeries();
  readonly #devices = new Map<string, MetricSeries>();
  #kernels = new Map<string, MetricSeries>();

  /**
   * @param accelerators what was measured of them, by device; null: of all of a family.
   * @param atMs monotonic time of the measurement.
   */
  takeNode(
    usage: NodeUsage,
    accelerators: readonly DeviceMeasurement[],
    atMs: number,
  ): NodeStatistics {
    const statistics: NodeStatistics = { node: {}, devices: {} };
    for (const [device, measurement] of [...nodeMeasurements(usage), ...accelerators]) {
      const { metric } = measurement;
      if (device === null) {
        statistics.node[metric] = this.#node.take(measurement, atMs);
        continue;
      }
      const series = this.#devices.get(device) ?? new MetricSeries();
      this.#devices.set(device, series);
      const devices = statistics.devices[metric] ?? {};
      devices[device] = series.take(measurement, atMs);
      statistics.devices[metric] = devices;
    }
    return statistics;
  }

  /**
   * Kernels that are not in `usages` any more are forgotten.
   * @param acceleratorsOf what was measured of the accelerators that a kernel holds.
   * @param atMs monotonic time.
   */
  takeKernels(
    usages: ReadonlyMap<string, KernelUsage>,
    nodeMemoryBytes: number,
    acceleratorsOf: (kernelId: string) => readonly Measurement[],
    atMs: number,
  ): Map<string, Metrics> {
    const kept = new Map<string, MetricSeries>();
    const all = new Map<string, Metrics>();
    for (const [kernelId, usage] of usages) {
      const series = this.#kernels.get(kernelId) ?? new MetricSeries();
      kept.set(kernelId, series);
      const metrics: Metrics = {};
      const measured = [...kernelMeasurements(usage, nodeMemoryBytes), ...acceleratorsOf(kernelId)];
      for (const measurement of measured) {
        metrics[measurement.metric] = series.take(measurement, atMs);
      }
      all.set(kernelId, metrics);
    }
    this.#kernels = kept;
    return all;
  }
}
