/** The memory of the host, as one device that kernels hold a part of. */
import { readFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { formatAmount } from '../common/slots.ts';
import { type DeviceFamily, type FamilyHealth, noAttachment } from './family.ts';

/** Where Linux tells of memory errors that it could not correct, on machines that count them. */
const MEMORY_ERRORS = '/sys/devices/system/edac/mc/mc0/ue_count';
const ONE = 1_000_000n;

async function health(): Promise<FamilyHealth> {
  const text = await readFile(MEMORY_ERRORS, 'utf8').catch(() => '');
  const errors = /^\d+\n?$/.test(text) ? Number(text) : 0;
  return {
    status: errors > 0 ? 'degraded' : 'healthy',
    status_info: errors > 0 ? `${errors} uncorrected memory errors` : null,
    metadata: { total_bytes: String(totalmem()) },
  };
}

/**
 * @param options.bytes what the host has.
 * @param options.reservedBytes kept for the system.
 * @param options.alignBytes what is left is rounded down to a multiple of this.
 */
export function memoryFamily(options: {
  readonly bytes: bigint;
  readonly reservedBytes: bigint;
  readonly alignBytes: bigint;
}): DeviceFamily {
  const align = options.alignBytes > 0n ? options.alignBytes : 1n;
  const left = options.bytes - options.reservedBytes;
  const usable = left > 0n ? (left / align) * align : 0n;
  return {
    key: 'mem',
    devices: [
      {
        deviceId: 'root',
        hwLocation: 'root',
        numaNode: null,
        modelName: '',
        memoryBytes: Number(usable),
        processingUnits: null,
        slotName: 'mem',
        amount: usable * ONE,
      },
    ],
    slotTypes: { mem: 'bytes' },
    exclusiveSlots: [],
    rule: { kind: 'discrete', strategy: 'fill', divisible: false },
    formats: {},
    info: {},
    attach: () => noAttachment,
    attachedDevices: (held) => {
      const amounts = [...(held.get('mem') ?? [])];
      return amounts.map(([id, amount]) => ({
        device_id: id,
        model_name: '',
        data: { size: formatAmount(amount) },
      }));
    },
    health,
  };
}
