/** What a kernel is given, in the terms in which backends apply it and users see it. */
import {
  type AttachedDevice,
  type Attachment,
  type DeviceFamily,
  noAttachment,
} from '../../accelerator/family.ts';
import type { KernelSpec } from '../../common/protocol/kernel.ts';
import type { SlotType } from '../../common/slots.ts';
import { type Allocations, cpuIdsOf, heldOf } from './allocations.ts';

const MIB = 1024n * 1024n;
/** Devices that every kernel has a part of; the rest are accelerators. */
const INTRINSIC = new Set(['cpu', 'mem']);

export interface Grant {
  readonly allocations: Allocations;
  /** Logical CPUs the kernel may use; empty means no pinning. */
  readonly cpuIds: readonly number[];
  /** How to attach all devices of the kernel. */
  readonly attachment: Attachment;
  /** What programs read of the accelerators; the user's own variables win over these. */
  readonly environment: Readonly<Record<string, string>>;
  readonly slotTypes: Readonly<Record<string, SlotType>>;
}

/** Of a kernel that is given nothing in particular. */
export const noGrant: Grant = {
  allocations: {},
  cpuIds: [],
  attachment: noAttachment,
  environment: { GPU_COUNT: '0', N_GPUS: '0' },
  slotTypes: {},
};

function merged(attachments: readonly Attachment[]): Attachment {
  return {
    environment: Object.assign({}, ...attachments.map(({ environment }) => environment)),
    deviceRequests: attachments.flatMap(({ deviceRequests }) => deviceRequests),
    deviceFiles: [...new Set(attachments.flatMap(({ deviceFiles }) => deviceFiles))],
    hooks: [...new Set(attachments.flatMap(({ hooks }) => hooks))],
    resourceLines: Object.assign({}, ...attachments.map(({ resourceLines }) => resourceLines)),
  };
}

/** Upstream's variables; they tell of one family of accelerators only. */
function acceleratorEnvironment(key: string, devices: readonly AttachedDevice[]) {
  const memory = devices.map(({ data }) => data.mem ?? '0');
  const perDevice = (text: (bytes: string) => string) =>
    memory.map((bytes, local) => `${local}:${text(bytes)}`).join(',');
  return {
    GPU_TYPE: key,
    GPU_MODEL_NAME: devices[0]?.model_name ?? '',
    GPU_CONFIG: perDevice(sizeText),
    TF_GPU_MEMORY_ALLOC: perDevice((bytes) => String(BigInt(bytes) / MIB)),
    GPU_COUNT: String(devices.length),
    N_GPUS: String(devices.length),
  };
}

/** Family → the devices that are held of it. */
export function attachedDevicesOf(
  families: readonly DeviceFamily[],
  allocations: Allocations,
): Record<string, AttachedDevice[]> {
  return Object.fromEntries(
    families
      .map(
        (family) => [family.key, family.attachedDevices(heldOf(allocations, family.key))] as const,
      )
      .filter(([, devices]) => devices.length > 0),
  );
}

export function grantOf(families: readonly DeviceFamily[], allocations: Allocations): Grant {
  const attached = attachedDevicesOf(families, allocations);
  const accelerators = Object.entries(attached).find(([key]) => !INTRINSIC.has(key));
  return {
    allocations,
    cpuIds: cpuIdsOf(allocations),
    attachment: merged(families.map((family) => family.attach(heldOf(allocations, family.key)))),
    environment: accelerators ? acceleratorEnvironment(...accelerators) : noGrant.environment,
    slotTypes: Object.assign({}, ...families.map(({ slotTypes }) => slotTypes)),
  };
}

const SUFFIXES = ['', 'k', 'm', 'g', 't', 'p'];

/** Bytes with the largest unit that divides them, as upstream writes sizes: `1g`, `1536m`. */
function sizeText(amount: string): string {
  let bytes = BigInt(amount.split('.', 1)[0] ?? '0');
  let unit = 0;
  while (bytes > 0n && bytes % 1024n === 0n && unit < SUFFIXES.length - 1) {
    bytes /= 1024n;
    unit += 1;
  }
  return `${bytes}${SUFFIXES[unit]}`;
}

/** Upstream's record of what a kernel was given: the text of resource.txt. */
export function resourceText(
  { slots, mounts }: Pick<KernelSpec, 'slots' | 'mounts'>,
  { allocations, attachment, slotTypes }: Grant,
): string {
  const text = (slot: string, amount: string) =>
    slotTypes[slot] === 'bytes' ? sizeText(amount) : amount;
  const shares = Object.values(allocations).flatMap((family) =>
    Object.entries(family).map(([slot, amounts]) => {
      const parts = Object.entries(amounts).map(([id, amount]) => `${id}:${text(slot, amount)}`);
      return `${slot.toUpperCase()}_SHARES=${parts.join(',')}`;
    }),
  );
  const lines = [
    'SCRATCH_SIZE=0m',
    `MOUNTS=${mounts.map(({ root, target, readOnly }) => `${root}:${target}:${readOnly ? 'ro' : 'rw'}`).join(',')}`,
    `SLOTS=${JSON.stringify(slots)}`,
    'UNIFIED_DEVICES=[]',
    ...shares,
    ...Object.entries(attachment.resourceLines).map(([name, value]) => `${name}=${value}`),
  ];
  return `${lines.join('\n')}\n`;
}

/** `KEY=VALUE` lines, as in environ.txt; a line break inside a value is written as `\n`. */
export const environmentText = (variables: Readonly<Record<string, string>>): string =>
  Object.entries(variables)
    .map(([name, value]) => `${name}=${value.replaceAll('\n', '\\n')}\n`)
    .join('');
