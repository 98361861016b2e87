/**
 * The last 30 days in bins of 15 minutes: what the kernels alive in each bin had. Pure; the work is
 * one step per kernel and one per bin, however long the kernels lived.
 */

import type { SlotMap } from '../../common/slots.ts';
import { acceleratorsOf, cpusOf, type Figures, inputOutputOf, memoryOf } from './kernel-usage.ts';

/** Length of a bin. Seconds. */
export const BIN_SEC = 900;
export const BINS = 2880;

export interface LivedKernel {
  readonly createdAt: Date;
  /** Null while it runs. */
  readonly terminatedAt: Date | null;
  readonly occupiedSlots: SlotMap;
  readonly lastStat: Figures | null;
}

const METRICS = {
  num_sessions: 'count',
  cpu_allocated: 'count',
  mem_allocated: 'bytes',
  gpu_allocated: 'count',
  io_read_bytes: 'bytes',
  io_write_bytes: 'bytes',
  disk_used: 'bytes',
} as const;
type Metric = keyof typeof METRICS;
const METRIC_NAMES = [
  ...(['num_sessions', 'cpu_allocated', 'mem_allocated', 'gpu_allocated'] as const),
  ...(['io_read_bytes', 'io_write_bytes', 'disk_used'] as const),
];

export type Bin = { readonly date: number } & {
  readonly [M in Metric]: { readonly value: number; readonly unit_hint: 'count' | 'bytes' };
};

function valuesOf({ occupiedSlots, lastStat }: LivedKernel): Record<Metric, number> {
  const { read, written, disk } = inputOutputOf(lastStat);
  return {
    num_sessions: 1,
    cpu_allocated: Math.trunc(cpusOf(occupiedSlots)),
    mem_allocated: memoryOf(occupiedSlots),
    gpu_allocated: acceleratorsOf(occupiedSlots),
    io_read_bytes: read,
    io_write_bytes: written,
    disk_used: disk,
  };
}

/** Everything is counted in millionths, so that sums return to zero exactly. */
const SCALE = 1_000_000;
const toMillionths = (value: number): bigint => {
  const whole = Math.trunc(value);
  return BigInt(whole) * BigInt(SCALE) + BigInt(Math.round((value - whole) * SCALE));
};
const fromMillionths = (value: bigint): number =>
  Number(value / BigInt(SCALE)) + Number(value % BigInt(SCALE)) / SCALE;

export class MonthBins {
  readonly #startMs: number;
  /** By metric, what changes at the beginning of each bin. */
  readonly #changes: Record<Metric, bigint[]>;

  /** @param now the end of the last bin. */
  constructor(now: Date) {
    this.#startMs = now.getTime() - BINS * BIN_SEC * 1000;
    const zeros = () => Array<bigint>(BINS + 1).fill(0n);
    this.#changes = {
      num_sessions: zeros(),
      cpu_allocated: zeros(),
      mem_allocated: zeros(),
      gpu_allocated: zeros(),
      io_read_bytes: zeros(),
      io_write_bytes: zeros(),
      disk_used: zeros(),
    };
  }

  #binOf(time: Date): number {
    return Math.floor((time.getTime() - this.#startMs) / (BIN_SEC * 1000));
  }

  /** Counts a kernel in every bin in which it was alive. */
  add(kernel: LivedKernel): void {
    const first = Math.max(0, this.#binOf(kernel.createdAt));
    const last = kernel.terminatedAt === null ? BINS - 1 : this.#binOf(kernel.terminatedAt);
    if (first >= BINS || last < first) return;
    const values = valuesOf(kernel);
    for (const metric of METRIC_NAMES) {
      const changes = this.#changes[metric];
      const value = toMillionths(values[metric]);
      const end = Math.min(last, BINS - 1) + 1;
      changes[first] = (changes[first] ?? 0n) + value;
      changes[end] = (changes[end] ?? 0n) - value;
    }
  }

  /** All bins, the oldest first; `date` is the bin's beginning in seconds since 1970. */
  toBins(): Bin[] {
    const sums: Record<Metric, bigint> = {
      num_sessions: 0n,
      cpu_allocated: 0n,
      mem_allocated: 0n,
      gpu_allocated: 0n,
      io_read_bytes: 0n,
      io_write_bytes: 0n,
      disk_used: 0n,
    };
    return Array.from({ length: BINS }, (_, index) => {
      for (const metric of METRIC_NAMES) sums[metric] += this.#changes[metric][index] ?? 0n;
      const at = <M extends Metric>(metric: M) => ({
        value: fromMillionths(sums[metric]),
        unit_hint: METRICS[metric],
      });
      return {
        date: this.#startMs / 1000 + index * BIN_SEC,
        num_sessions: at('num_sessions'),
        cpu_allocated: at('cpu_allocated'),
        mem_allocated: at('mem_allocated'),
        gpu_allocated: at('gpu_allocated'),
        io_read_bytes: at('io_read_bytes'),
        io_write_bytes: at('io_write_bytes'),
        disk_used: at('disk_used'),
      };
    });
  }
}
