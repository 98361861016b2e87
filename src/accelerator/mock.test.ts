/** What mock-accelerator.toml and the settings of its family make of a node. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { systemRandom } from '../common/random.ts';
import { capacityOf, type DeviceFamily, type SlotAmounts } from './family.ts';
import { mockFamily } from './mock.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'mock-accelerator-'));
});
afterAll(() => rm(folder, { recursive: true }));

const GIB = 1024 ** 3;
const device = (uuid: string, rest = 'is_mig_device = false') =>
  `{ mother_uuid = "${uuid}", model_name = "CUDA GPU", numa_node = 1, subproc_count = 108, memory_size = "40G", ${rest} }`;
const slice = (size: string) =>
  `{ mother_uuid = "m", model_name = "MIG-${size}g", numa_node = 0, subproc_count = 28, memory_size = "${size}G", is_mig_device = true }`;
const file = (devices: readonly string[], rest = '') => `
slot_name = "cuda"
device_plugin_name = "CUDADevice"
devices = [${devices.join(', ')}]
[attributes]
nvidia_driver = "450.0.0"
[formats.shares]
display_unit = "fGPU"
display_icon = "gpu1"
human_readable_name = "fGPU"
description = "CUDA-capable GPU (fractional)"
number_format = { binary = false, round_length = 2 }
${rest}`;

let files = 0;
async function family(text: string, settings: Record<string, unknown> = {}): Promise<DeviceFamily> {
  files += 1;
  const path = join(folder, `mock-${files}.toml`);
  await writeFile(path, text);
  return mockFamily({
    explicitPath: path,
    places: { cwd: folder, home: folder },
    configured: async (key) => (key === 'cuda' ? settings : {}),
    random: systemRandom,
  });
}

const held = (slot: string, amounts: Record<string, bigint>): SlotAmounts =>
  new Map([[slot, new Map(Object.entries(amounts))]]);

test('whole devices', async () => {
  const cuda = await family(file([device('a'), device('b')]));
  expect(capacityOf(cuda.devices)).toEqual(new Map([['cuda.device', 2_000_000n]]));
  expect(cuda.slotTypes).toEqual({ 'cuda.device': 'count' });
  expect(cuda.devices[0]).toMatchObject({ deviceId: 'a', numaNode: 1, memoryBytes: 40 * GIB });
  expect(cuda.info).toEqual({ cuda_support: true, nvidia_driver: '450.0.0' });
  const one = held('cuda.device', { b: 1_000_000n });
  expect(cuda.attachedDevices(one)).toEqual([
    { device_id: 'b', model_name: 'CUDA GPU', data: { smp: '108', mem: String(40 * GIB) } },
  ]);
  expect(cuda.attach(one)).toMatchObject({
    environment: { BACKENDAI_MOCK_CUDA_DEVICES: 'b', BACKENDAI_MOCK_CUDA_DEVICE_COUNT: '1' },
    resourceLines: { CUDA_GLOBAL_DEVICE_IDS: '0:b', CUDA_RESOURCE_VIRTUALIZED: '0' },
  });
  expect(cuda.attach(new Map()).environment).toEqual({});
});

describe('shares', () => {
  test('of a device are the smaller of those of its memory and its processors', async () => {
    const cuda = await family(file([device('a')]), { allocation_mode: 'fractional' });
    // 40 GiB are 20 shares of 2 GiB; 108 processors are 13.5 shares of 8.
    expect(capacityOf(cuda.devices)).toEqual(new Map([['cuda.shares', 13_500_000n]]));
    expect(cuda.rule).toEqual({ kind: 'fraction', strategy: 'evenly', quantum: 100_000n });
    expect(cuda.formats['cuda.shares']?.display_unit).toBe('fGPU');
  });

  test('come with the limits that hooks enforce', async () => {
    const settings = { allocation_mode: 'fractional', unit_mem: '10g', unit_proc: '20' };
    const cuda = await family(file([device('a'), device('b')]), settings);
    const half = held('cuda.shares', { a: 500_000n, b: 100_000n });
    expect(cuda.attach(half).resourceLines).toEqual({
      CUDA_GLOBAL_DEVICE_IDS: '0:a,1:b',
      CUDA_RESOURCE_VIRTUALIZED: '1',
      CUDA_MEMORY_LIMITS: `a:${5 * GIB},b:${GIB}`,
      // A device has at least four, or TensorFlow leaves it alone.
      CUDA_PROCESSOR_LIMITS: 'a:10,b:4',
      CUDA_RESERVED_MEMORY: String(64 * 1024 * 1024),
    });
    expect(cuda.attachedDevices(half)[0]).toMatchObject({
      data: { smp: '10', mem: String(5 * GIB), shares: '0.5' },
    });
  });

  test('a capacity that is no multiple of the quantum is offered rounded down', async () => {
    const settings = { allocation_mode: 'fractional', unit_proc: '10', quantum_size: '0.25' };
    expect(capacityOf((await family(file([device('a')]), settings)).devices)).toEqual(
      new Map([['cuda.shares', 10_750_000n]]),
    );
  });
});

test('slices have slots and ids of their own', async () => {
  const cuda = await family(file([device('a'), slice('10'), slice('10'), slice('5')]));
  expect(Object.fromEntries(capacityOf(cuda.devices))).toEqual({
    'cuda.device': 1_000_000n,
    'cuda.device:10g-mig': 2_000_000n,
    'cuda.device:5g-mig': 1_000_000n,
  });
  expect(cuda.slotTypes['cuda.device:5g-mig']).toBe('unique');
  expect(cuda.devices.map(({ deviceId }) => deviceId)).toEqual([
    ...['a', 'MIG-m/1/0', 'MIG-m/2/0', 'MIG-m/3/0'],
  ]);
  const shared = await family(file([device('a'), slice('10')]), { allocation_mode: 'fractional' });
  const one = held('cuda.device:10g-mig', { 'MIG-m/1/0': 1_000_000n });
  expect(shared.attach(one).resourceLines).toMatchObject({
    CUDA_RESOURCE_VIRTUALIZED: '0',
    CUDA_MEMORY_LIMITS: '',
  });
  expect(shared.attachedDevices(one)).toHaveLength(1);
});

test('masked devices are not offered; settings of the store win over those of the file', async () => {
  const text = file(
    [device('a'), device('b')],
    '[config]\ndevice_mask = "a"\nhooks = ["/lib/h.so"]',
  );
  expect((await family(text)).devices.map(({ deviceId }) => deviceId)).toEqual(['b']);
  const cuda = await family(text, { device_mask: 'b' });
  expect(cuda.devices.map(({ deviceId }) => deviceId)).toEqual(['a']);
  expect(cuda.attach(held('cuda.device', { a: 1n })).hooks).toEqual(['/lib/h.so']);
});

test('figures stay within what a device has', async () => {
  const cuda = await family(file([device('a')]));
  const usage = (await cuda.measure?.())?.get('a');
  expect(usage?.memoryUsedBytes).toBeGreaterThan(0);
  expect(usage?.memoryUsedBytes).toBeLessThanOrEqual(40 * GIB);
  expect(usage?.utilizationPercent).toBeLessThanOrEqual(100);
  expect(usage?.powerLimitWatts).toBe(250);
});

describe('what is wrong is named', () => {
  const wrong: [string, string, Record<string, unknown>, string][] = [
    ['a file with two equal devices', file([device('a'), device('a')]), {}, 'same mother_uuid'],
    ['a slice without a size', file([device('a', 'is_mig_device = true')]), {}, 'and its size'],
    ['a device without memory', file(['{ mother_uuid = "a" }']), {}, 'memory_size'],
    ['a mode', file([]), { allocation_mode: 'thirds' }, 'allocation_mode'],
    ['a unit', file([]), { unit_mem: '1m' }, 'unit_mem'],
    ['a quantum', file([]), { quantum_size: '0.005' }, 'a multiple of 0.01'],
  ];
  test.each(wrong)('%s', async (_, text, settings, complaint) => {
    await expect(family(text, settings)).rejects.toThrow(complaint);
  });
});

test.each([
  ['mock-accelerator.toml', { 'cuda.device': 'count' }, 2],
  ['mock-cuda-mig.toml', { 'cuda.device:10g-mig': 'unique', 'cuda.device:20g-mig': 'unique' }, 5],
  ['mock-rocm.toml', { 'rocm.device': 'count' }, 2],
] as const)('the sample %s describes devices', async (name, slotTypes, count) => {
  const sample = resolve(import.meta.dir, '../../config/accelerator', name);
  const { slotTypes: found, devices } = await family(await Bun.file(sample).text());
  expect(found).toEqual(slotTypes);
  expect(devices).toHaveLength(count);
});
