/** What a session asks of the hardware, filled in from its image and checked against it. Pure. */
import { BackendError } from '../../common/errors.ts';
import { parseSize } from '../../common/sizes.ts';
import { formatAmount, parseAmount, type Slots } from '../../common/slots.ts';
import type { EnqueueRequest } from './types.ts';

export interface SlotDefinition {
  readonly name: string;
  readonly type: string;
  /** Every session must ask for some of it. */
  readonly required: boolean;
}

export interface ImageLimits {
  readonly canonical: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly resources: Readonly<Record<string, { min: string | null; max: string | null }>>;
}

export interface ResolvedResources {
  /** Slots greater than zero. Millionths. */
  readonly slots: Slots;
  /** Size of /dev/shm, counted inside the memory slot. */
  readonly shmemBytes: bigint;
}

const SHMEM_LABEL = 'ai.backend.resource.preferred.shmem';
const DEFAULT_SHMEM_BYTES = 64n * 1024n * 1024n;
const SCALE = 1_000_000n;
const MEBIBYTE = 1024n * 1024n;
/** For images that say nothing. */
const INTRINSIC_MIN: Slots = new Map([
  ['cpu', 1n * SCALE],
  ['mem', 1024n * 1024n * 1024n * SCALE],
]);
/** Largest amount that numeric(24,6) holds. Millionths. */
const MAX_AMOUNT = 10n ** 24n - 1n;

function refuse(message: string): BackendError {
  return new BackendError('InvalidAPIParameters', `Invalid resource allocation: ${message}`);
}

/** Bytes for people where the slot is memory; the plain number elsewhere. */
export function showAmount(slot: string, amount: bigint): string {
  const plain = formatAmount(amount);
  if (slot !== 'mem') return plain;
  for (const [unit, power] of [
    ['g', 3n],
    ['m', 2n],
    ['k', 1n],
  ] as const) {
    const size = 1024n ** power * SCALE;
    if (amount >= size && amount % size === 0n) return `${amount / size}${unit}`;
  }
  return plain;
}

function parseRequested(
  requested: EnqueueRequest['resources'],
  definitions: ReadonlyMap<string, SlotDefinition>,
): Map<string, bigint> {
  const out = new Map<string, bigint>();
  for (const [name, value] of Object.entries(requested)) {
    if (value === null) continue;
    if (!definitions.has(name)) {
      throw new BackendError(
        'UnknownResourceSlotType',
        `There is no resource slot '${name}'. Known slots: ${[...definitions.keys()].join(', ')}.`,
      );
    }
    const amount = parseAmount(value);
    if (amount === null || amount > MAX_AMOUNT) {
      throw refuse(`${name}: '${value}' is not an amount. Write a number, or a size such as 4g.`);
    }
    out.set(name, amount);
  }
  return out;
}

function resolveShmem(options: EnqueueRequest['resourceOpts'], image: ImageLimits): bigint {
  const { shmem } = options;
  if (typeof shmem === 'string' || typeof shmem === 'number') {
    const bytes = parseSize(shmem);
    if (bytes === null) throw refuse(`shmem: '${shmem}' is not a size such as 64m.`);
    return bytes;
  }
  return parseSize(image.labels[SHMEM_LABEL] ?? '') ?? DEFAULT_SHMEM_BYTES;
}

interface Minimums {
  readonly resources: Readonly<Record<string, { readonly min: string | null }>>;
}

function minimumOf(image: Minimums, slot: string): bigint {
  const text = image.resources[slot]?.min;
  return (text == null ? null : parseAmount(text)) ?? 0n;
}

/** What a kernel of the image must ask for at least. Millionths. */
export function leastOf(image: Minimums, shmemBytes: bigint): Slots {
  const out = new Map<string, bigint>([
    ['cpu', SCALE],
    ['mem', (shmemBytes + MEBIBYTE) * SCALE],
  ]);
  for (const slot of Object.keys(image.resources)) {
    const minimum = minimumOf(image, slot);
    if (minimum > (out.get(slot) ?? 0n)) out.set(slot, minimum);
  }
  return out;
}

/**
 * Fills in what is not asked for (cpu and memory from the image's minimum) and checks the rest.
 * @throws BackendError UnknownResourceSlotType, InvalidAPIParameters naming slot and numbers.
 */
export function resolveResources(
  request: Pick<EnqueueRequest, 'resources' | 'resourceOpts'>,
  image: ImageLimits,
  definitions: ReadonlyMap<string, SlotDefinition>,
): ResolvedResources {
  const slots = parseRequested(request.resources, definitions);
  const shmemBytes = resolveShmem(request.resourceOpts, image);
  for (const [slot, least] of INTRINSIC_MIN) {
    if (slots.has(slot) || !definitions.has(slot)) continue;
    const minimum = minimumOf(image, slot) || least;
    slots.set(slot, slot === 'mem' ? minimum + shmemBytes * SCALE : minimum);
  }
  checkImageLimits(slots, image);
  for (const { name, required } of definitions.values()) {
    if (required && !slots.get(name)) throw refuse(`${name} must be greater than 0.`);
  }
  const memory = slots.get('mem');
  if (memory !== undefined && shmemBytes * SCALE >= memory) {
    throw refuse(
      `shmem (${showAmount('mem', shmemBytes * SCALE)}) must be less than mem (${showAmount('mem', memory)}), of which it is a part. Ask for more mem or less shmem.`,
    );
  }
  return { slots: new Map([...slots].filter(([, amount]) => amount > 0n)), shmemBytes };
}

function checkImageLimits(slots: Slots, image: ImageLimits): void {
  for (const [slot, limit] of Object.entries(image.resources)) {
    const asked = slots.get(slot) ?? 0n;
    const minimum = minimumOf(image, slot);
    if (asked < minimum) {
      throw refuse(
        `image ${image.canonical} needs at least ${slot}=${showAmount(slot, minimum)}, asked for ${showAmount(slot, asked)}.`,
      );
    }
    const maximum = limit.max == null ? null : parseAmount(limit.max);
    if (maximum !== null && asked > maximum) {
      throw refuse(
        `image ${image.canonical} takes at most ${slot}=${showAmount(slot, maximum)}, asked for ${showAmount(slot, asked)}.`,
      );
    }
  }
}

export interface AgentCapacity {
  readonly id: string;
  readonly architecture: string;
  readonly capacity: Slots;
}

/**
 * Refuses what no agent of the group could ever run, even when idle. A group without agents is not
 * judged: one may still join.
 * @param kernels how many kernels of a single-node session ask for it together.
 * @throws BackendError InvalidAPIParameters naming the slot, what was asked and the largest there is.
 */
export function checkServable(
  slots: Slots,
  architecture: string,
  group: string,
  agents: readonly AgentCapacity[],
  kernels = 1,
): void {
  if (agents.length === 0) return;
  const advice = (alone: string) =>
    kernels > 1
      ? `The ${kernels} kernels of the session share one agent: ask for less, or use multi-node.`
      : alone;
  const able = agents.filter((agent) => agent.architecture === architecture);
  if (able.length === 0) {
    const others = [...new Set(agents.map((agent) => agent.architecture))].join(', ');
    throw refuse(
      `the image needs ${architecture}, the agents of resource group '${group}' are ${others}.`,
    );
  }
  for (const [slot, asked] of slots) {
    const largest = able.reduce((most, { capacity }) => {
      const have = capacity.get(slot) ?? 0n;
      return have > most ? have : most;
    }, 0n);
    if (asked > largest) {
      throw refuse(
        `${slot}: asked for ${showAmount(slot, asked)}, the largest agent of resource group '${group}' has ${showAmount(slot, largest)}. ${advice('Ask for less.')}`,
      );
    }
  }
  const fits = able.some(({ capacity }) =>
    [...slots].every(([slot, asked]) => asked <= (capacity.get(slot) ?? 0n)),
  );
  if (!fits) {
    const list = [...slots].map(([slot, asked]) => `${slot}=${showAmount(slot, asked)}`).join(', ');
    throw refuse(
      `no single agent of resource group '${group}' has ${list} together, though each slot alone is available. ${advice('Ask for less of one.')}`,
    );
  }
}
