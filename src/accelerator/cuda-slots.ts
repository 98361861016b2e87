/** What real and simulated CUDA devices have in common: slots, resource lines, what users are told. */
import { formatAmount } from '../common/slots.ts';
import type { AttachedDevice, Device, SlotAmounts } from './family.ts';
import { heldDeviceIds } from './family.ts';
import type { FamilySettings } from './family-settings.ts';

/** TensorFlow leaves devices with fewer processors than this alone unless it is told otherwise. */
export const MIN_PROCESSORS = 4;
const ONE = 1_000_000n;

/** Whole devices, shares and slices of devices are not given together. */
export const CUDA_EXCLUSIVE = ['cuda.device:*-mig', 'cuda.device', 'cuda.shares'] as const;

const isSlice = (slotName: string): boolean => slotName.includes(':');

/** What a share of a device comes to. Bytes; processors. */
export function shareToSpec(
  settings: FamilySettings,
  share: bigint,
): { memoryBytes: bigint; processors: number } {
  const processors = Number((BigInt(settings.unitProcessors) * share) / ONE);
  return {
    memoryBytes: (BigInt(settings.unitMemoryBytes) * share) / ONE,
    processors: Math.max(processors, MIN_PROCESSORS),
  };
}

/** The lines of resource.txt that hooks and the runner read. */
export function cudaResourceLines(
  settings: FamilySettings,
  held: SlotAmounts,
): Record<string, string> {
  const ids = heldDeviceIds(held);
  const shares = [...(held.get('cuda.shares') ?? [])];
  const hasSlice = [...held.keys()].some(isSlice);
  const lines: Record<string, string> = {
    CUDA_GLOBAL_DEVICE_IDS: ids.map((id, local) => `${local}:${id}`).join(','),
    CUDA_RESOURCE_VIRTUALIZED: settings.mode === 'discrete' || hasSlice ? '0' : '1',
  };
  if (settings.mode === 'discrete') return lines;
  const specs = shares.map(([id, share]) => ({ id, ...shareToSpec(settings, share) }));
  return {
    ...lines,
    CUDA_MEMORY_LIMITS: specs.map(({ id, memoryBytes }) => `${id}:${memoryBytes}`).join(','),
    CUDA_PROCESSOR_LIMITS: specs.map(({ id, processors }) => `${id}:${processors}`).join(','),
    CUDA_RESERVED_MEMORY: String(settings.reservedMemoryBytes),
  };
}

/** Devices with their whole memory and processors, or with those of the share that is held. */
export function describeHeld(
  settings: FamilySettings,
  devices: readonly Device[],
  held: SlotAmounts,
): AttachedDevice[] {
  const byId = new Map(devices.map((device) => [device.deviceId, device]));
  return [...held].flatMap(([slot, amounts]) =>
    [...amounts].flatMap(([id, amount]) => {
      const device = byId.get(id);
      if (!device || amount <= 0n) return [];
      const { modelName, memoryBytes, processingUnits } = device;
      if (!slot.endsWith('.shares')) {
        const smp: Record<string, string> =
          processingUnits === null ? {} : { smp: String(processingUnits) };
        return [
          { device_id: id, model_name: modelName, data: { ...smp, mem: String(memoryBytes) } },
        ];
      }
      const spec = shareToSpec(settings, amount);
      const data = {
        ...(processingUnits === null ? {} : { smp: String(spec.processors) }),
        mem: String(spec.memoryBytes),
        shares: formatAmount(amount),
      };
      return [{ device_id: id, model_name: modelName, data }];
    }),
  );
}
