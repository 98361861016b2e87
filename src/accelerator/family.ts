/**
 * What a family of devices must offer: the CPUs, the memory, the GPUs of one maker. A family knows its
 * devices, how kernels are given them and what they do at the moment. Who gets which device is the
 * agent's to decide, and how a kernel is started is its backends'.
 */
import type { SlotFormat } from '../common/protocol/manager.ts';
import type { SlotType } from '../common/slots.ts';

export interface Device {
  readonly deviceId: string;
  /** Where it is plugged in, such as a PCI address; for people. */
  readonly hwLocation: string;
  /** null: the machine does not tell, or it has one node only. */
  readonly numaNode: number | null;
  readonly modelName: string;
  /** Memory of its own. Bytes; 0 when it has none. */
  readonly memoryBytes: number;
  /** Cores or multiprocessors; null when unknown. */
  readonly processingUnits: number | null;
  /** The slot by which kernels hold it. */
  readonly slotName: string;
  /** How much of that slot it is. Millionths. */
  readonly amount: bigint;
}

/** Device id → amount in millionths. */
export type DeviceAmounts = ReadonlyMap<string, bigint>;
/** Slot name → what is held of each device. */
export type SlotAmounts = ReadonlyMap<string, DeviceAmounts>;

/** evenly: over many devices. fill: the freest device first, then the next. */
export type Strategy = 'evenly' | 'fill';

/** How amounts of the family's slots are cut. */
export type AllocationRule =
  | {
      readonly kind: 'discrete';
      readonly strategy: Strategy;
      /** Whether a part of a unit may be held, as of a CPU; a GPU is held whole. */
      readonly divisible: boolean;
    }
  | {
      readonly kind: 'fraction';
      readonly strategy: Strategy;
      /** The smallest share. Millionths. */
      readonly quantum: bigint;
    };

/** What a kernel needs to use the devices it holds. */
export interface Attachment {
  readonly environment: Readonly<Record<string, string>>;
  /** For container engines, whose drivers attach the devices. */
  readonly deviceRequests: readonly {
    readonly driver: string;
    readonly deviceIds: readonly string[];
    readonly capabilities: readonly string[];
  }[];
  /** For sandboxes: device files of the host. */
  readonly deviceFiles: readonly string[];
  /** Libraries of the host that every program in the kernel loads first. */
  readonly hooks: readonly string[];
  /** Further lines of the kernel's resource.txt, which hooks read. */
  readonly resourceLines: Readonly<Record<string, string>>;
}

/** A device as users and managers are told of it. */
export interface AttachedDevice {
  readonly device_id: string;
  readonly model_name: string;
  /** How much of it, such as `mem` in bytes and `smp`. */
  readonly data: Readonly<Record<string, string>>;
}

/** One look at a device. null: it does not tell. */
export interface DeviceUsage {
  readonly memoryUsedBytes: number | null;
  readonly memoryTotalBytes: number | null;
  /** 0 to 100. */
  readonly utilizationPercent: number | null;
  readonly powerWatts: number | null;
  readonly powerLimitWatts: number | null;
  readonly temperatureCelsius: number | null;
}

export interface FamilyHealth {
  readonly status: 'healthy' | 'degraded' | 'offline' | 'unavailable';
  /** What is wrong, in plain words; null when nothing is. */
  readonly status_info: string | null;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface DeviceFamily {
  /** What the names of its slots begin with: `cuda`. */
  readonly key: string;
  readonly devices: readonly Device[];
  readonly slotTypes: Readonly<Record<string, SlotType>>;
  /** Slots of which a kernel may hold one only; `*` stands for anything. */
  readonly exclusiveSlots: readonly string[];
  readonly rule: AllocationRule;
  /** Its slots as people see them; those that every cluster knows are left out. */
  readonly formats: Readonly<Record<string, SlotFormat>>;
  /** What clients read of it in an agent's `compute_plugins`. */
  readonly info: Readonly<Record<string, string | boolean>>;
  attach(held: SlotAmounts): Attachment;
  attachedDevices(held: SlotAmounts): AttachedDevice[];
  /** By device id. Absent: the node's own statistics tell it. @throws Error when they can't be asked. */
  measure?(): Promise<ReadonlyMap<string, DeviceUsage>>;
  health(): Promise<FamilyHealth>;
}

export const noAttachment: Attachment = {
  environment: {},
  deviceRequests: [],
  deviceFiles: [],
  hooks: [],
  resourceLines: {},
};

/** The ids of the devices of which something is held, in the order of the slots. */
export const heldDeviceIds = (held: SlotAmounts): string[] =>
  [...held.values()].flatMap((amounts) =>
    [...amounts].filter(([, amount]) => amount > 0n).map(([id]) => id),
  );

/** What the devices of a family offer together, by slot. Millionths. */
export function capacityOf(devices: readonly Device[]): Map<string, bigint> {
  const total = new Map<string, bigint>();
  for (const { slotName, amount } of devices) {
    total.set(slotName, (total.get(slotName) ?? 0n) + amount);
  }
  return total;
}
