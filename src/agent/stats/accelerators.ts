/** What accelerators do, for the node and for the kernels that hold them. */
import type { DeviceFamily, DeviceUsage } from '../../accelerator/family.ts';
import { errorMessage } from '../../common/errors.ts';
import type { Logger } from '../../common/logger.ts';
import { type Allocations, heldOf } from '../resources/allocations.ts';
import type { DeviceMeasurement, Measurement } from './metrics.ts';

/** Above this devices slow down or stop. Degrees Celsius. */
const LIMIT_CELSIUS = 120;
const MILLIONTHS = 1_000_000;

/** Device id → its usage. */
type Usages = ReadonlyMap<string, DeviceUsage>;

interface Figure {
  readonly value: number;
  /** null: none is known. */
  readonly capacity: number | null;
}

type Reading = (usage: DeviceUsage) => Figure | null;

const figure = (value: number | null, capacity: number | null): Figure | null =>
  value === null ? null : { value, capacity };

const memory: Reading = (usage) => figure(usage.memoryUsedBytes, usage.memoryTotalBytes);
const utilization: Reading = (usage) => figure(usage.utilizationPercent, 100);
const power: Reading = (usage) => figure(usage.powerWatts, usage.powerLimitWatts);
const temperature: Reading = (usage) => figure(usage.temperatureCelsius, LIMIT_CELSIUS);

/** `atom_plus_mem` for the family `atom-plus`. */
const metricOf = (key: string, name: string): string => `${key.replaceAll('-', '_')}_${name}`;

const measurement = (
  metric: string,
  unit: Measurement['unit'],
  { value, capacity }: Figure,
): Measurement => ({
  metric,
  unit,
  value,
  capacity: capacity === null ? null : () => capacity,
  current: 'value',
});

function summed(figures: readonly Figure[]): Figure | null {
  if (figures.length === 0) return null;
  const capacities = figures.flatMap(({ capacity }) => capacity ?? []);
  const sum = (numbers: readonly number[]) => numbers.reduce((total, one) => total + one, 0);
  return {
    value: sum(figures.map(({ value }) => value)),
    capacity: capacities.length < figures.length ? null : sum(capacities),
  };
}

function mean(figures: readonly Figure[]): Figure | null {
  const total = summed(figures);
  return total && { value: total.value / figures.length, capacity: figures[0]?.capacity ?? null };
}

const KINDS = [
  { name: 'mem', unit: 'bytes', read: memory, together: summed },
  { name: 'util', unit: 'percent', read: utilization, together: summed },
  { name: 'power', unit: 'Watts', read: power, together: summed },
  { name: 'temperature', unit: 'Celsius', read: temperature, together: mean },
] as const;

/** Per device and, as `null`, of all devices of the family. */
function familyMeasurements(key: string, usages: Usages): DeviceMeasurement[] {
  return KINDS.flatMap(({ name, unit, read, together }) => {
    const figures = [...usages].flatMap(([id, usage]) => {
      const found = read(usage);
      return found ? [{ id, figure: found }] : [];
    });
    const metric = metricOf(key, name);
    const all = together(figures.map((one) => one.figure));
    return [
      ...(all ? [[null, measurement(metric, unit, all)] as const] : []),
      ...figures.map((one) => [one.id, measurement(metric, unit, one.figure)] as const),
    ];
  });
}

/**
 * What a kernel uses of the devices it holds. A share's part of the memory is taken for its own; how
 * busy a shared device is can't be told apart.
 */
function heldMeasurements(
  family: DeviceFamily,
  usages: Usages,
  record: Allocations,
): Measurement[] {
  const byId = new Map(family.devices.map((device) => [device.deviceId, device]));
  const memories: Figure[] = [];
  const utilizations: Figure[] = [];
  for (const amounts of heldOf(record, family.key).values()) {
    for (const [id, amount] of amounts) {
      const device = byId.get(id);
      const usage = usages.get(id);
      if (!device || !usage || amount <= 0n) continue;
      const part = Number((amount * BigInt(MILLIONTHS)) / device.amount) / MILLIONTHS;
      const used = memory(usage);
      if (used) {
        const capacity = used.capacity === null ? null : used.capacity * part;
        memories.push({ value: used.value * part, capacity });
      }
      const busy = utilization(usage);
      if (busy) utilizations.push(busy);
    }
  }
  const [used, busy] = [summed(memories), summed(utilizations)];
  return [
    ...(used ? [measurement(metricOf(family.key, 'mem'), 'bytes', used)] : []),
    ...(busy ? [measurement(metricOf(family.key, 'util'), 'percent', busy)] : []),
  ];
}

/** One look at all accelerators of the node. */
export interface AcceleratorFigures {
  readonly node: readonly DeviceMeasurement[];
  of(record: Allocations): Measurement[];
}

/** Looks at the accelerators; a family that does not answer is left out, and told of once. */
export class AcceleratorMeter {
  readonly #families: readonly DeviceFamily[];
  readonly #log: Logger;
  readonly #silent = new Set<string>();

  constructor(families: readonly DeviceFamily[], log: Logger) {
    this.#families = families;
    this.#log = log;
  }

  async look(): Promise<AcceleratorFigures> {
    const looks = await Promise.all(
      this.#families.map(async (family) => ({ family, usages: await this.#usagesOf(family) })),
    );
    return {
      node: looks.flatMap(({ family, usages }) => familyMeasurements(family.key, usages)),
      of: (record) =>
        looks.flatMap(({ family, usages }) => heldMeasurements(family, usages, record)),
    };
  }

  async #usagesOf(family: DeviceFamily): Promise<Usages> {
    const { key, devices } = family;
    try {
      const usages = await family.measure?.();
      if (this.#silent.delete(key)) this.#log.info('Accelerators answer again', { family: key });
      const own = new Set(devices.map(({ deviceId }) => deviceId));
      return new Map([...(usages ?? [])].filter(([id]) => own.has(id)));
    } catch (error) {
      if (!this.#silent.has(key)) {
        this.#log.warn('Accelerators do not tell what they do', {
          ...{ family: key, error: errorMessage(error) },
        });
      }
      this.#silent.add(key);
      return new Map();
    }
  }
}
