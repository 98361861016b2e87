/** The logical CPUs of the host: kernels are pinned to those they hold. */
import { readdir, readFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { formatAmount } from '../common/slots.ts';
import { type DeviceFamily, noAttachment } from './family.ts';

const NODES = '/sys/devices/system/node';
const ONE = 1_000_000n;

/** Parses a Linux CPU list such as `0-3,8`. */
export function parseCpuList(text: string): number[] {
  return text
    .trim()
    .split(',')
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [first = Number.NaN, last = first] = part.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
}

/** CPU → NUMA node, as far as Linux tells. */
async function numaNodes(): Promise<ReadonlyMap<number, number>> {
  const names = await readdir(NODES).catch((): string[] => []);
  const nodes = names.flatMap((name) => /^node(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  const byNode = await Promise.all(
    nodes.map(async (node) => {
      const text = await readFile(join(NODES, `node${node}`, 'cpulist'), 'utf8').catch(() => '');
      return parseCpuList(text).map((cpu) => [cpu, node] as const);
    }),
  );
  return new Map(byNode.flat());
}

/** The CPUs this process may use when there are `count`, else simply the first ones. */
async function allowedCpus(count: number): Promise<number[]> {
  const status = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const allowed = parseCpuList(/^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1] ?? '');
  return allowed.length === count ? allowed : Array.from({ length: count }, (_, id) => id);
}

/**
 * @param options.count CPUs that kernels run on.
 * @param options.reserved how many of them are kept for the system.
 */
export async function cpuFamily(options: {
  readonly count: number;
  readonly reserved: number;
}): Promise<DeviceFamily> {
  const [ids, nodes] = await Promise.all([allowedCpus(options.count), numaNodes()]);
  const models = cpus();
  const devices = ids.slice(Math.max(0, Math.round(options.reserved))).map((id) => ({
    deviceId: String(id),
    hwLocation: 'root',
    numaNode: nodes.get(id) ?? null,
    modelName: '',
    memoryBytes: 0,
    processingUnits: 1,
    slotName: 'cpu',
    amount: ONE,
  }));
  return {
    key: 'cpu',
    devices,
    slotTypes: { cpu: 'count' },
    exclusiveSlots: [],
    rule: { kind: 'discrete', strategy: 'evenly', divisible: true },
    formats: {},
    info: {},
    attach: () => noAttachment,
    attachedDevices: (held) => {
      const amounts = [...(held.get('cpu') ?? [])].filter(([, amount]) => amount > 0n);
      const cores = formatAmount(amounts.reduce((sum, [, amount]) => sum + amount, 0n));
      return amounts.map(([id]) => ({ device_id: id, model_name: '', data: { cores } }));
    },
    health: async () => ({
      status: models.length > 0 ? 'healthy' : 'unavailable',
      status_info: null,
      metadata: { model_name: models[0]?.model ?? '', logical_cpus: String(models.length) },
    }),
  };
}
