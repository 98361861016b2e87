/** NVIDIA's GPUs: whole, shared, or cut into slices (MIG). */
import { access, readFile } from 'node:fs/promises';
import { errorMessage } from '../common/errors.ts';
import type { Logger } from '../common/logger.ts';
import { CUDA_EXCLUSIVE, cudaResourceLines, describeHeld } from './cuda-slots.ts';
import {
  type Attachment,
  type Device,
  type DeviceFamily,
  type FamilyHealth,
  heldDeviceIds,
  noAttachment,
  type SlotAmounts,
} from './family.ts';
import { type FamilySettings, parseFamilySettings, ruleOf, sharesOf } from './family-settings.ts';
import { type NvidiaDevice, type NvidiaSlice, type NvidiaSmi, nvidiaSmi } from './nvidia-smi.ts';
import { deviceFormat } from './slot-format.ts';

const ONE = 1_000_000n;
const GIB = 1024 ** 3;
/** Driver of Docker's that attaches GPUs; the name of its runtime is the same. */
const DRIVER = 'nvidia';
const DEVICE_FILES = 'device-files';
const CAPABILITIES = ['utility', 'compute', 'video', 'graphics', 'display'];
/** Device files that belong to the driver, not to one GPU. */
const COMMON_FILES = [
  '/dev/nvidiactl',
  '/dev/nvidia-uvm',
  '/dev/nvidia-uvm-tools',
  '/dev/nvidia-modeset',
];

export interface CudaOptions {
  /** The path of nvidia-smi; null: there is none. */
  readonly program: string | null;
  /** How the backend can attach devices. */
  readonly drivers: readonly string[];
  readonly configured: (key: string) => Promise<Readonly<Record<string, unknown>>>;
  readonly log: Logger;
}

interface Gpu extends NvidiaDevice {
  readonly numaNode: number | null;
  /** `/dev/nvidia0`; null when the driver does not tell. */
  readonly deviceFile: string | null;
}

async function describeGpu(device: NvidiaDevice): Promise<Gpu> {
  const { pciAddress } = device;
  const [node, information] = await Promise.all(
    [
      `/sys/bus/pci/devices/${pciAddress}/numa_node`,
      `/proc/driver/nvidia/gpus/${pciAddress}/information`,
    ].map((path) => readFile(path, 'utf8').catch(() => '')),
  );
  const minor = /^Device Minor:\s*(\d+)/m.exec(information ?? '')?.[1];
  // -1 stands for a machine of one node.
  const numaNode = /^\d+$/.test(node?.trim() ?? '') ? Number(node) : null;
  return { ...device, numaNode, deviceFile: minor === undefined ? null : `/dev/nvidia${minor}` };
}

function wholeDevice(settings: FamilySettings, gpu: Gpu): Device {
  const { uuid, name, pciAddress, memoryBytes, numaNode } = gpu;
  const sizes = { memoryBytes, processingUnits: null };
  const isShared = settings.mode === 'fractional';
  return {
    deviceId: uuid,
    hwLocation: pciAddress,
    numaNode,
    modelName: name,
    ...sizes,
    slotName: isShared ? 'cuda.shares' : 'cuda.device',
    amount: isShared ? sharesOf(settings, sizes) : ONE,
  };
}

/** `1g.10gb` is of the slot `cuda.device:10g-mig`: slices are told apart by their memory. */
function sliceDevice(gpu: Gpu, { uuid, profile }: NvidiaSlice): Device | null {
  const gigabytes = /\.(\d+)gb/.exec(profile)?.[1];
  if (gigabytes === undefined) return null;
  return {
    deviceId: uuid,
    hwLocation: gpu.pciAddress,
    numaNode: gpu.numaNode,
    modelName: `${gpu.name} MIG ${profile}`,
    memoryBytes: Number(gigabytes) * GIB,
    processingUnits: null,
    slotName: `cuda.device:${gigabytes}g-mig`,
    amount: ONE,
  };
}

/** What can be given away; slices only where a driver attaches them. */
async function devicesOf(
  smi: NvidiaSmi,
  gpus: readonly Gpu[],
  settings: FamilySettings,
  { drivers, log }: CudaOptions,
): Promise<Device[]> {
  const sliced = gpus.filter(({ isSliced }) => isSliced);
  const hasDriver = drivers.includes(DRIVER);
  if (sliced.length > 0 && !hasDriver) {
    log.warn('GPUs cut into slices are not offered: this backend can give whole GPUs only', {
      devices: sliced.map(({ uuid }) => uuid),
    });
  }
  const slices = sliced.length > 0 && hasDriver ? await smi.slices() : [];
  const whole = gpus.filter(({ isSliced }) => !isSliced).map((gpu) => wholeDevice(settings, gpu));
  const parts = slices.flatMap((slice) => {
    const gpu = sliced.find(({ uuid }) => uuid === slice.parent);
    return (gpu && sliceDevice(gpu, slice)) ?? [];
  });
  const isMasked = ({ deviceId }: Device) => settings.deviceMask.includes(deviceId);
  return [...whole, ...parts].filter((device) => !isMasked(device));
}

/** The driver's own variables keep those without a GPU from seeing any. */
function attachByDriver(ids: readonly string[]): Partial<Attachment> {
  if (ids.length === 0) return { environment: { NVIDIA_VISIBLE_DEVICES: 'void' } };
  return { deviceRequests: [{ driver: DRIVER, deviceIds: ids, capabilities: CAPABILITIES }] };
}

function attachByFiles(
  ids: readonly string[],
  gpus: readonly Gpu[],
  common: readonly string[],
): Partial<Attachment> {
  const environment = { CUDA_VISIBLE_DEVICES: ids.join(',') };
  if (ids.length === 0) return { environment };
  const files = gpus.flatMap(({ uuid, deviceFile }) =>
    ids.includes(uuid) && deviceFile !== null ? [deviceFile] : [],
  );
  return { environment, deviceFiles: [...files, ...common] };
}

async function existing(paths: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    paths.map((path) =>
      access(path).then(
        () => [path],
        () => [],
      ),
    ),
  );
  return found.flat();
}

async function healthOf(smi: NvidiaSmi, gpus: readonly Gpu[]): Promise<FamilyHealth> {
  const metadata = { driver_version: gpus[0]?.driverVersion ?? '', devices: String(gpus.length) };
  try {
    const answering = await smi.usage();
    const lost = gpus.filter(({ uuid }) => !answering.has(uuid)).map(({ uuid }) => uuid);
    return lost.length > 0
      ? { status: 'degraded', status_info: `no answer from ${lost.join(', ')}`, metadata }
      : { status: 'healthy', status_info: null, metadata };
  } catch (error) {
    return { status: 'offline', status_info: errorMessage(error), metadata };
  }
}

/** The GPUs of this host, or null when there are none that this backend can give to kernels. */
export async function cudaFamily(options: CudaOptions): Promise<DeviceFamily | null> {
  const { program, drivers, configured, log } = options;
  if (program === null) return null;
  const usesDriver = drivers.includes(DRIVER);
  if (!usesDriver && !drivers.includes(DEVICE_FILES)) {
    log.warn('GPUs are not offered: the container engine has no NVIDIA runtime');
    return null;
  }
  const smi = nvidiaSmi(program);
  let gpus: Gpu[];
  try {
    gpus = await Promise.all((await smi.devices()).map(describeGpu));
  } catch (error) {
    log.warn('GPUs are not offered', { error: errorMessage(error) });
    return null;
  }
  return await familyOf(smi, gpus, parseFamilySettings('cuda', await configured('cuda')), options);
}

async function familyOf(
  smi: NvidiaSmi,
  gpus: readonly Gpu[],
  settings: FamilySettings,
  options: CudaOptions,
): Promise<DeviceFamily | null> {
  const devices = await devicesOf(smi, gpus, settings, options);
  if (devices.length === 0) return null;
  const [cudaVersion, common] = await Promise.all([smi.cudaVersion(), existing(COMMON_FILES)]);
  const slots = [...new Set(devices.map(({ slotName }) => slotName))];
  const usesDriver = options.drivers.includes(DRIVER);
  const attach = (held: SlotAmounts): Attachment => {
    const ids = heldDeviceIds(held);
    const attached = usesDriver ? attachByDriver(ids) : attachByFiles(ids, gpus, common);
    if (ids.length === 0) return { ...noAttachment, ...attached };
    const { hooks } = settings;
    return {
      ...noAttachment,
      ...attached,
      hooks,
      resourceLines: cudaResourceLines(settings, held),
    };
  };
  return {
    key: 'cuda',
    devices,
    slotTypes: Object.fromEntries(
      slots.map((slot) => [slot, slot.includes(':') ? 'unique' : 'count'] as const),
    ),
    exclusiveSlots: CUDA_EXCLUSIVE,
    rule: ruleOf(settings),
    formats: Object.fromEntries(
      slots.filter((slot) => slot.includes(':')).map((slot) => [slot, deviceFormat(slot)]),
    ),
    info: {
      cuda_support: true,
      nvidia_version: gpus[0]?.driverVersion ?? '',
      ...(cudaVersion === null ? {} : { cuda_version: cudaVersion }),
    },
    attach,
    attachedDevices: (held) => describeHeld(settings, devices, held),
    measure: () => smi.usage(),
    health: () => healthOf(smi, gpus),
  };
}
