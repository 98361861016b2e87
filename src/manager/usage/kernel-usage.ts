/** What one kernel was given and used, in the figures of usage reports. Pure. */
import { parseAmount, type SlotMap } from '../../common/slots.ts';

/** A metric's figures as decimal text, as far as usage reports look at them. */
export type Figures = Readonly<Record<string, Readonly<Record<string, string | null>>>>;

export interface UsedKernel {
  readonly occupiedSlots: SlotMap;
  /** Null when nobody measured it. */
  readonly lastStat: Figures | null;
  /** Size of the shared memory, decimal text or a number. */
  readonly shmem: unknown;
  readonly attachedDevices: unknown;
  /** Folders of the hosts that were mounted. */
  readonly mountedPaths: readonly string[];
}

/** Sizes in bytes, cpu_used in milliseconds, the rest counts. */
export interface UsageFigures {
  readonly cpu_allocated: number;
  readonly cpu_used: number;
  readonly mem_allocated: number;
  readonly mem_used: number;
  readonly shared_memory: number;
  readonly disk_allocated: number;
  readonly disk_used: number;
  readonly io_read: number;
  readonly io_write: number;
  readonly smp: number;
  readonly gpu_mem_allocated: number;
  readonly gpu_allocated: number;
}

const numberOf = (value: unknown): number => {
  const number = Number(value ?? 0);
  return Number.isFinite(number) ? number : 0;
};
const wholeOf = (value: unknown): number => Math.trunc(numberOf(value));

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Slots of devices are named `device.unit`; CPU and memory have no dot. */
export const isAcceleratorSlot = (name: string): boolean => name.includes('.');

const SCALE = 1_000_000;
const amountOf = (slots: SlotMap, name: string): number =>
  Number(parseAmount(slots[name] ?? '0') ?? 0n) / SCALE;

export const acceleratorsOf = (slots: SlotMap): number =>
  Object.keys(slots)
    .filter(isAcceleratorSlot)
    .reduce((sum, name) => sum + amountOf(slots, name), 0);

export const cpusOf = (slots: SlotMap): number => amountOf(slots, 'cpu');
export const memoryOf = (slots: SlotMap): number => Math.trunc(amountOf(slots, 'mem'));

export interface InputOutput {
  readonly read: number;
  readonly written: number;
  readonly disk: number;
}

/** Bytes read and written so far, and the most that the kernel's own folder ever held. */
export const inputOutputOf = (stat: Figures | null): InputOutput => ({
  read: wholeOf(stat?.io_read?.current),
  written: wholeOf(stat?.io_write?.current),
  disk: wholeOf(stat?.io_scratch_size?.['stats.max']),
});

/** The CUDA devices of a kernel, as agents list them. */
function cudaDevices(attached: unknown): Record<string, unknown>[] {
  const devices = isObject(attached) ? attached.cuda : null;
  return Array.isArray(devices) ? devices.filter(isObject) : [];
}

const dataOf = (device: Record<string, unknown>, name: string): number =>
  isObject(device.data) ? wholeOf(device.data[name]) : 0;

/** Models of the devices, without repetition. */
export const deviceTypesOf = ({ attachedDevices }: UsedKernel): string[] => [
  ...new Set(
    cudaDevices(attachedDevices).flatMap(({ model_name: name }) =>
      typeof name === 'string' ? [name] : [],
    ),
  ),
];

export function figuresOf(kernel: UsedKernel): UsageFigures {
  const { occupiedSlots: slots, lastStat: stat } = kernel;
  const { read, written, disk } = inputOutputOf(stat);
  const devices = cudaDevices(kernel.attachedDevices);
  const sumOf = (name: string) => devices.reduce((sum, device) => sum + dataOf(device, name), 0);
  return {
    cpu_allocated: cpusOf(slots),
    cpu_used: numberOf(stat?.cpu_used?.current),
    mem_allocated: memoryOf(slots),
    mem_used: wholeOf(stat?.mem?.capacity),
    shared_memory: wholeOf(kernel.shmem),
    // No backend limits a kernel's disk space.
    disk_allocated: 0,
    disk_used: disk,
    io_read: read,
    io_write: written,
    smp: sumOf('smp'),
    gpu_mem_allocated: sumOf('mem'),
    gpu_allocated: acceleratorsOf(slots),
  };
}

export const NO_USAGE: UsageFigures = {
  cpu_allocated: 0,
  cpu_used: 0,
  mem_allocated: 0,
  mem_used: 0,
  shared_memory: 0,
  disk_allocated: 0,
  disk_used: 0,
  io_read: 0,
  io_write: 0,
  smp: 0,
  gpu_mem_allocated: 0,
  gpu_allocated: 0,
};

export function addFigures(a: UsageFigures, b: UsageFigures): UsageFigures {
  return {
    cpu_allocated: a.cpu_allocated + b.cpu_allocated,
    cpu_used: a.cpu_used + b.cpu_used,
    mem_allocated: a.mem_allocated + b.mem_allocated,
    mem_used: a.mem_used + b.mem_used,
    shared_memory: a.shared_memory + b.shared_memory,
    disk_allocated: a.disk_allocated + b.disk_allocated,
    disk_used: a.disk_used + b.disk_used,
    io_read: a.io_read + b.io_read,
    io_write: a.io_write + b.io_write,
    smp: a.smp + b.smp,
    gpu_mem_allocated: a.gpu_mem_allocated + b.gpu_mem_allocated,
    gpu_allocated: a.gpu_allocated + b.gpu_allocated,
  };
}
