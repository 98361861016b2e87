/**
 * Accelerators that are not there: mock-accelerator.toml describes them, and their figures are made
 * up. Everything but the silicon is real, so scheduling, shares and slices can be tried anywhere.
 */
import * as v from 'valibot';
import type { SearchPlaces } from '../common/config/find.ts';
import { loadConfigFile } from '../common/config/load.ts';
import { size } from '../common/config/values.ts';
import { UserError } from '../common/errors.ts';
import { type SlotFormat, slotFormat } from '../common/protocol/manager.ts';
import type { Random } from '../common/random.ts';
import type { SlotType } from '../common/slots.ts';
import { CUDA_EXCLUSIVE, cudaResourceLines, describeHeld, MIN_PROCESSORS } from './cuda-slots.ts';
import {
  type Attachment,
  type Device,
  type DeviceFamily,
  type DeviceUsage,
  heldDeviceIds,
  noAttachment,
  type SlotAmounts,
} from './family.ts';
import { type FamilySettings, parseFamilySettings, ruleOf, sharesOf } from './family-settings.ts';
import { deviceFormat, sharesFormat } from './slot-format.ts';

const ONE = 1_000_000n;
const MAX_DEVICES = 1024;
const POWER_LIMIT_WATTS = 250;
const LIMIT_CELSIUS = 120;

const deviceEntry = v.object({
  mother_uuid: v.pipe(v.string(), v.nonEmpty(), v.maxLength(128)),
  model_name: v.string(),
  numa_node: v.pipe(v.number(), v.integer(), v.minValue(0)),
  subproc_count: v.pipe(v.number(), v.integer(), v.minValue(1)),
  memory_size: size,
  is_mig_device: v.optional(v.boolean()),
});

const mockFile = v.object({
  /** The family's key, not a whole slot name. */
  slot_name: v.pipe(
    v.string(),
    v.regex(/^[a-z][a-z0-9-]{0,31}$/, 'expected a name such as "cuda"'),
  ),
  device_plugin_name: v.string(),
  devices: v.pipe(v.array(deviceEntry), v.maxLength(MAX_DEVICES)),
  attributes: v.optional(v.record(v.string(), v.union([v.string(), v.boolean()])), {}),
  formats: v.optional(v.record(v.string(), slotFormat), {}),
  /** Ours: settings that upstream keeps in the configuration store only, which wins over these. */
  config: v.optional(v.record(v.string(), v.unknown()), {}),
});
type MockFile = v.InferOutput<typeof mockFile>;

/** `MIG 10g` and `NVIDIA A100-10g` are slices of the slot `cuda.device:10g-mig`. */
function sliceSlot(modelName: string): string {
  const profile = modelName.slice(modelName.indexOf('-') + 1);
  if (!modelName.includes('-') || !/^[a-z0-9.+-]{1,32}$/.test(profile)) {
    throw new UserError(
      `mock-accelerator.toml: the model '${modelName}' of a MIG device does not end in "-" and its size.`,
      { hint: 'Write it as model_name = "CUDA GPU-10g".' },
    );
  }
  return `cuda.device:${profile}-mig`;
}

function toDevice(
  { slot_name: key }: MockFile,
  settings: FamilySettings,
  entry: MockFile['devices'][number],
  index: number,
): Device {
  const isSlice = key === 'cuda' && entry.is_mig_device === true;
  const sizes = { memoryBytes: Number(entry.memory_size), processingUnits: entry.subproc_count };
  const device = {
    deviceId: isSlice ? `MIG-${entry.mother_uuid}/${index}/0` : entry.mother_uuid,
    hwLocation: `0000:99:${String(index).padStart(2, '0')}.0`,
    numaNode: entry.numa_node,
    modelName: entry.model_name,
    ...sizes,
  };
  if (isSlice) return { ...device, slotName: sliceSlot(entry.model_name), amount: ONE };
  return settings.mode === 'fractional'
    ? { ...device, slotName: `${key}.shares`, amount: sharesOf(settings, sizes) }
    : { ...device, slotName: `${key}.device`, amount: ONE };
}

function slotTypesOf(devices: readonly Device[]): Record<string, SlotType> {
  return Object.fromEntries(
    devices.map(({ slotName }) => [slotName, slotName.includes(':') ? 'unique' : 'count']),
  );
}

function formatOf({ slot_name: key, formats }: MockFile, slotName: string): SlotFormat {
  if (slotName.includes(':')) return formats['*-mig'] ?? deviceFormat(slotName);
  if (slotName.endsWith('.shares')) return formats.shares ?? sharesFormat(key);
  return formats.device ?? deviceFormat(key);
}

/** A number from 0 up to 1. */
function fraction(random: Random): number {
  const [high = 0, low = 0] = random.bytes(2);
  return (high * 256 + low) / 65_536;
}

/** Figures of a device that is neither idle nor quite full. */
function inventUsage(device: Device, random: Random): DeviceUsage {
  return {
    memoryUsedBytes: Math.floor(device.memoryBytes * (0.2 + 0.8 * fraction(random))),
    memoryTotalBytes: device.memoryBytes,
    utilizationPercent: Math.floor(100 * fraction(random)),
    powerWatts: Math.floor(POWER_LIMIT_WATTS * (0.2 + 0.8 * fraction(random))),
    powerLimitWatts: POWER_LIMIT_WATTS,
    temperatureCelsius: Math.floor(30 + (LIMIT_CELSIUS - 60) * fraction(random)),
  };
}

function attach(key: string, settings: FamilySettings, held: SlotAmounts): Attachment {
  const ids = heldDeviceIds(held);
  if (ids.length === 0) return noAttachment;
  const { hooks } = settings;
  if (key !== 'cuda') return { ...noAttachment, hooks };
  return {
    ...noAttachment,
    hooks,
    environment: {
      TF_MIN_GPU_MULTIPROCESSOR_COUNT: String(MIN_PROCESSORS),
      BACKENDAI_MOCK_CUDA_DEVICES: ids.join(','),
      BACKENDAI_MOCK_CUDA_DEVICE_COUNT: String(ids.length),
    },
    resourceLines: cudaResourceLines(settings, held),
  };
}

/**
 * The family that a mock-accelerator.toml describes.
 * @param options.configured the settings of a family by its key, which win over the file's.
 * @throws UserError when there is no such file or something in it is wrong.
 */
export async function mockFamily(options: {
  readonly explicitPath?: string;
  readonly places: SearchPlaces;
  readonly configured: (key: string) => Promise<Readonly<Record<string, unknown>>>;
  readonly random: Random;
}): Promise<DeviceFamily> {
  const { explicitPath, places, configured, random } = options;
  const { value: file } = loadConfigFile({
    component: 'mock-accelerator',
    explicitPath,
    places,
    env: {},
    overrides: {},
    schema: mockFile,
  });
  const key = file.slot_name;
  const settings = parseFamilySettings(key, { ...file.config, ...(await configured(key)) });
  const devices = file.devices
    .map((entry, index) => toDevice(file, settings, entry, index))
    .filter(({ deviceId }) => !settings.deviceMask.includes(deviceId));
  if (new Set(devices.map(({ deviceId }) => deviceId)).size < devices.length) {
    throw new UserError('mock-accelerator.toml: two devices have the same mother_uuid.');
  }
  const slotTypes = slotTypesOf(devices);
  return {
    key,
    devices,
    slotTypes,
    exclusiveSlots: key === 'cuda' ? CUDA_EXCLUSIVE : [],
    rule: ruleOf(settings),
    formats: Object.fromEntries(
      Object.keys(slotTypes).map((slotName) => [slotName, formatOf(file, slotName)]),
    ),
    info: { [`${key}_support`]: devices.length > 0, ...file.attributes },
    attach: (held) => attach(key, settings, held),
    attachedDevices: (held) => describeHeld(settings, devices, held),
    measure: async () =>
      new Map(devices.map((device) => [device.deviceId, inventUsage(device, random)])),
    health: async () => ({
      status: 'healthy',
      status_info: null,
      metadata: { name: `Simulated ${key} devices`, devices: String(devices.length) },
    }),
  };
}
