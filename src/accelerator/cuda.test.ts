/** NVIDIA's GPUs as `nvidia-smi` tells of them: answers of real machines, and a stand-in for the program. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '../common/logger.ts';
import { cudaFamily } from './cuda.ts';
import { capacityOf, type SlotAmounts } from './family.ts';
import { parseCudaVersion, parseDevices, parseSlices, parseUsage } from './nvidia-smi.ts';

const MIB = 1024 * 1024;
const H200 = 'GPU-8fee73ff-c580-0963-9bd8-84f29253dce8';
const A100 = 'GPU-5d5ba0d6-d33d-2b2c-524d-9e3d8d2b8a77';
const SLICE = 'MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f';

const DEVICES = `${H200}, NVIDIA H200, 00000000:00:06.0, 143771, 580.159.04, Disabled\n`;
const SLICED = `${A100}, NVIDIA A100-SXM4-40GB, 0000000A:07:00.0, 40960, 470.57.02, Enabled\n`;
const USAGE = `${H200}, 0, 143771, 3, 76.52, 700.00, 27\n`;
const LIST = `GPU 0: NVIDIA H200 (UUID: ${H200})
GPU 1: NVIDIA A100-SXM4-40GB (UUID: ${A100})
  MIG 1g.5gb      Device  0: (UUID: ${SLICE})
  MIG 3g.20gb+me  Device  1: (UUID: MIG-4ab5bd7d-0000-5d5c-9a3c-0a1a0a1a0a1a)
`;
const HEADING = `
==============NVSMI LOG==============

Timestamp                                              : Thu Nov 26 20:24:46 2026
Driver Version                                         : 580.159.04
CUDA Version                                           : 13.0

Attached GPUs                                          : 1
`;

describe('what nvidia-smi prints', () => {
  test('devices', () => {
    expect(parseDevices(DEVICES + SLICED)).toEqual([
      {
        uuid: H200,
        name: 'NVIDIA H200',
        pciAddress: '0000:00:06.0',
        memoryBytes: 143_771 * MIB,
        driverVersion: '580.159.04',
        isSliced: false,
      },
      expect.objectContaining({ uuid: A100, pciAddress: '000a:07:00.0', isSliced: true }),
    ]);
    expect(parseDevices('')).toEqual([]);
    // Cards without slices, and those that share the host's memory.
    expect(
      parseDevices(`${H200}, Orin (nvgpu), 00000000:01:00.0, [N/A], 540.3.0, [N/A]\n`),
    ).toMatchObject([{ memoryBytes: 0, isSliced: false }]);
    expect(() => parseDevices('No devices were found\n')).toThrow('No devices were found');
  });

  test('usage, as far as a card tells', () => {
    expect(parseUsage(USAGE).get(H200)).toEqual({
      memoryUsedBytes: 0,
      memoryTotalBytes: 143_771 * MIB,
      utilizationPercent: 3,
      powerWatts: 76.52,
      powerLimitWatts: 700,
      temperatureCelsius: 27,
    });
    const silent = `${A100}, 12, 40960, [N/A], [Not Supported], [Unknown Error], 30\n`;
    expect(parseUsage(silent).get(A100)).toMatchObject({
      ...{ memoryUsedBytes: 12 * MIB, utilizationPercent: null, powerWatts: null },
    });
  });

  test('slices below their devices', () => {
    expect(parseSlices(LIST)).toEqual([
      { uuid: SLICE, parent: A100, profile: '1g.5gb' },
      { uuid: expect.any(String), parent: A100, profile: '3g.20gb+me' },
    ]);
  });

  test('the version of CUDA', () => {
    expect(parseCudaVersion(HEADING)).toBe('13.0');
    expect(parseCudaVersion('NVIDIA-SMI has failed')).toBeNull();
  });
});

describe('the family', () => {
  let folder = '';
  const warnings: string[] = [];
  const log: Logger = {
    ...{ trace() {}, debug() {}, info() {}, error() {}, child: () => log },
    warn: (message) => void warnings.push(message),
  };
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cuda-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  /** A program that answers as nvidia-smi does. */
  async function standIn(devices: string): Promise<string> {
    const path = join(folder, `nvidia-smi-${Bun.hash(devices).toString(36)}`);
    await writeFile(
      path,
      `#!/bin/sh
case $1 in
  *driver_version*) cat <<'END'
${devices}END
  ;;
  *power.draw*) cat <<'END'
${USAGE}END
  ;;
  -L) cat <<'END'
${LIST}END
  ;;
  -q) cat <<'END'
${HEADING}END
  ;;
esac
`,
    );
    await chmod(path, 0o755);
    return path;
  }
  const open = (program: string | null, drivers: readonly string[], settings = {}) =>
    cudaFamily({ program, drivers, log, configured: async () => settings });
  const held = (slot: string, id: string): SlotAmounts =>
    new Map([[slot, new Map([[id, 1_000_000n]])]]);

  test('is not there without the program, without a way to attach, and when the driver fails', async () => {
    expect(await open(null, ['nvidia'])).toBeNull();
    expect(await open(await standIn(DEVICES), ['runc'])).toBeNull();
    expect(await open('/bin/false', ['nvidia'])).toBeNull();
    expect(await open('/nonexistent', ['nvidia'])).toBeNull();
    expect(warnings).toEqual([
      'GPUs are not offered: the container engine has no NVIDIA runtime',
      ...['GPUs are not offered', 'GPUs are not offered'],
    ]);
  });

  test('gives GPUs by the driver of the container engine, and hides them from others', async () => {
    const cuda = await open(await standIn(DEVICES), ['runc', 'nvidia']);
    expect(cuda?.info).toEqual({
      ...{ cuda_support: true, nvidia_version: '580.159.04', cuda_version: '13.0' },
    });
    expect(cuda?.attach(held('cuda.device', H200))).toMatchObject({
      deviceRequests: [{ driver: 'nvidia', deviceIds: [H200] }],
      deviceFiles: [],
      resourceLines: { CUDA_GLOBAL_DEVICE_IDS: `0:${H200}` },
    });
    expect(cuda?.attach(new Map())).toMatchObject({
      environment: { NVIDIA_VISIBLE_DEVICES: 'void' },
      deviceRequests: [],
    });
    expect(cuda?.attachedDevices(held('cuda.device', H200))).toEqual([
      { device_id: H200, model_name: 'NVIDIA H200', data: { mem: String(143_771 * MIB) } },
    ]);
    expect((await cuda?.measure?.())?.get(H200)?.temperatureCelsius).toBe(27);
    expect(await cuda?.health()).toMatchObject({ status: 'healthy' });
  });

  test('gives them by device files to sandboxes', async () => {
    const cuda = await open(await standIn(DEVICES), ['device-files']);
    expect(cuda?.attach(held('cuda.device', H200))).toMatchObject({
      environment: { CUDA_VISIBLE_DEVICES: H200 },
      deviceRequests: [],
    });
    expect(cuda?.attach(new Map()).environment).toEqual({ CUDA_VISIBLE_DEVICES: '' });
  });

  test('shares count memory, as the number of processors is not told', async () => {
    const settings = { allocation_mode: 'fractional', unit_mem: '10g' };
    const cuda = await open(await standIn(DEVICES), ['nvidia'], settings);
    expect(capacityOf(cuda?.devices ?? [])).toEqual(new Map([['cuda.shares', 14_000_000n]]));
  });

  test('slices are offered instead of the GPU they are cut from, where a driver attaches them', async () => {
    const program = await standIn(DEVICES + SLICED);
    const cuda = await open(program, ['nvidia']);
    expect(Object.fromEntries(capacityOf(cuda?.devices ?? []))).toEqual({
      'cuda.device': 1_000_000n,
      'cuda.device:5g-mig': 1_000_000n,
      'cuda.device:20g-mig': 1_000_000n,
    });
    expect(cuda?.attach(held('cuda.device:5g-mig', SLICE)).deviceRequests[0]?.deviceIds).toEqual([
      SLICE,
    ]);
    expect(cuda?.formats['cuda.device:5g-mig']).toBeDefined();
    const sandboxed = await open(program, ['device-files']);
    expect(sandboxed?.devices.map(({ deviceId }) => deviceId)).toEqual([H200]);
    expect(warnings.at(-1)).toContain('whole GPUs only');
  });

  test('a GPU that has stopped answering is told', async () => {
    const cuda = await open(await standIn(DEVICES + SLICED), ['nvidia']);
    expect(await cuda?.health()).toMatchObject({
      status: 'degraded',
      status_info: `no answer from ${A100}`,
    });
  });
});
