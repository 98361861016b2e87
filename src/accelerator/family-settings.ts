/** What administrators set per family, in the configuration store or in agent.toml: how devices are shared. */
import * as v from 'valibot';
import { UserError } from '../common/errors.ts';
import { parseSize } from '../common/sizes.ts';
import { parseAmount } from '../common/slots.ts';
import type { AllocationRule, Strategy } from './family.ts';

const MIN_UNIT_BYTES = 512 * 1024 * 1024;
const MIN_UNIT_PROCESSORS = 2;
const HUNDREDTH = 10_000n;
const ONE = 1_000_000n;

const sizeBytes = v.pipe(
  v.union([v.string(), v.number()]),
  v.transform(parseSize),
  v.bigint('expected a size such as "2g"'),
  v.transform(Number),
);
const wholeNumber = v.pipe(v.union([v.string(), v.number()]), v.transform(Number), v.integer());
const list = v.pipe(
  v.union([v.string(), v.array(v.string())]),
  v.transform((value) => (typeof value === 'string' ? value.split(',') : value)),
  v.transform((items) => items.map((item) => item.trim()).filter((item) => item !== '')),
);

const settingsSchema = v.object({
  allocation_mode: v.optional(
    v.picklist(['discrete', 'fractional'], 'expected "discrete" or "fractional"'),
    'discrete',
  ),
  allocation_strategy: v.optional(
    v.picklist(['evenly', 'fill'], 'expected "evenly" or "fill"'),
    'evenly',
  ),
  unit_mem: v.optional(v.pipe(sizeBytes, v.minValue(MIN_UNIT_BYTES, 'at least 512m')), '2g'),
  unit_proc: v.optional(v.pipe(wholeNumber, v.minValue(MIN_UNIT_PROCESSORS, 'at least 2')), 8),
  device_mask: v.optional(list, ''),
  reserved_memory: v.optional(sizeBytes, '64m'),
  quantum_size: v.optional(
    v.pipe(
      v.union([v.string(), v.number()]),
      v.transform(parseAmount),
      v.bigint('expected a number such as 0.1'),
      v.check(
        (quantum) => quantum >= HUNDREDTH && quantum <= ONE && quantum % HUNDREDTH === 0n,
        'expected a multiple of 0.01 up to 1',
      ),
    ),
    '0.1',
  ),
  hooks: v.optional(list, ''),
});

export interface FamilySettings {
  readonly mode: 'discrete' | 'fractional';
  readonly strategy: Strategy;
  /** Memory and processors of one share. Bytes; count. */
  readonly unitMemoryBytes: number;
  readonly unitProcessors: number;
  /** Devices that kernels are not given. */
  readonly deviceMask: readonly string[];
  /** Memory of a device that hooks keep for themselves. Bytes. */
  readonly reservedMemoryBytes: number;
  /** The smallest share. Millionths. */
  readonly quantum: bigint;
  /** Libraries of the host that every program in a kernel with such a device loads first. */
  readonly hooks: readonly string[];
}

/**
 * @param key of the family, for messages.
 * @throws UserError naming the setting that is wrong.
 */
export function parseFamilySettings(
  key: string,
  raw: Readonly<Record<string, unknown>>,
): FamilySettings {
  const parsed = v.safeParse(settingsSchema, raw);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw new UserError(
      `The setting ${v.getDotPath(issue) ?? ''} of the ${key} accelerators is wrong: ${issue.message}.`,
      {
        hint: `Correct config/plugins/accelerator/${key} in the configuration store or in agent.toml.`,
      },
    );
  }
  const set = parsed.output;
  return {
    mode: set.allocation_mode,
    strategy: set.allocation_strategy,
    unitMemoryBytes: set.unit_mem,
    unitProcessors: set.unit_proc,
    deviceMask: set.device_mask,
    reservedMemoryBytes: set.reserved_memory,
    quantum: set.quantum_size,
    hooks: set.hooks,
  };
}

export const ruleOf = (settings: FamilySettings): AllocationRule =>
  settings.mode === 'fractional'
    ? { kind: 'fraction', strategy: settings.strategy, quantum: settings.quantum }
    : { kind: 'discrete', strategy: settings.strategy, divisible: false };

/**
 * How many shares a device is: the smaller of its shares of memory and of processors, rounded down to
 * what can be given away. Millionths.
 */
export function sharesOf(
  settings: FamilySettings,
  device: { readonly memoryBytes: number; readonly processingUnits: number | null },
): bigint {
  const { unitMemoryBytes, unitProcessors, quantum } = settings;
  const byMemory = (BigInt(device.memoryBytes) * ONE) / BigInt(unitMemoryBytes);
  const byProcessors =
    device.processingUnits === null
      ? byMemory
      : (BigInt(device.processingUnits) * ONE) / BigInt(unitProcessors);
  const shares = byMemory < byProcessors ? byMemory : byProcessors;
  return (shares / quantum) * quantum;
}
