/** Figures of accelerators: of each, of all, and of what kernels hold of them. */
import { expect, test } from 'bun:test';
import { type DeviceFamily, type DeviceUsage, noAttachment } from '../../accelerator/family.ts';
import type { Logger } from '../../common/logger.ts';
import { AcceleratorMeter } from './accelerators.ts';
import { MetricTracker } from './metrics.ts';
import type { NodeUsage } from './usage.ts';

const GIB = 1024 ** 3;
const usage = (used: number, busy: number | null): DeviceUsage => ({
  memoryUsedBytes: used * GIB,
  memoryTotalBytes: 40 * GIB,
  utilizationPercent: busy,
  powerWatts: 100,
  powerLimitWatts: 250,
  temperatureCelsius: 60,
});
const node: NodeUsage = {
  ...{ cpuUsedMs: [], memoryUsedBytes: 0, memoryTotalBytes: 1, disks: [] },
  ...{ netRxBytes: 0, netTxBytes: 0 },
};
const kernel = {
  ...{ cpuUsedMs: null, memoryBytes: null, memoryLimitBytes: null, ioReadBytes: null },
  ...{ ioWriteBytes: null, netRxBytes: null, netTxBytes: null, scratchBytes: null },
};

const warnings: string[] = [];
const log: Logger = {
  ...{ trace() {}, debug() {}, error() {}, child: () => log },
  info: (message) => void warnings.push(message),
  warn: (message) => void warnings.push(message),
};

function family(measure: () => Promise<Map<string, DeviceUsage>>): DeviceFamily {
  const device = (deviceId: string) => ({
    ...{ deviceId, hwLocation: '', numaNode: null, modelName: '', memoryBytes: 40 * GIB },
    ...{ processingUnits: null, slotName: 'cuda.shares', amount: 2_000_000n },
  });
  return {
    ...{
      key: 'cuda',
      devices: [device('g0'), device('g1')],
      slotTypes: { 'cuda.shares': 'count' },
    },
    ...{ exclusiveSlots: [], formats: {}, info: {}, measure },
    rule: { kind: 'fraction', strategy: 'evenly', quantum: 10_000n },
    attach: () => noAttachment,
    attachedDevices: () => [],
    health: async () => ({ status: 'healthy', status_info: null, metadata: {} }),
  };
}

test('a node tells of each device and of all of them', async () => {
  const usages = new Map([
    ['g0', usage(10, 50)],
    ['g1', usage(20, null)],
    // Masked: not offered, so not told of.
    ['g2', usage(40, 100)],
  ]);
  const figures = await new AcceleratorMeter([family(async () => usages)], log).look();
  const { node: whole, devices } = new MetricTracker().takeNode(node, figures.node, 0);
  expect(whole.cuda_mem).toMatchObject({
    ...{ current: String(30 * GIB), capacity: String(80 * GIB), pct: '37.50', unit_hint: 'bytes' },
  });
  expect(whole.cuda_util).toMatchObject({ current: '50', capacity: '100', unit_hint: 'percent' });
  expect(whole.cuda_power).toMatchObject({ current: '200', capacity: '500', unit_hint: 'Watts' });
  expect(whole.cuda_temperature).toMatchObject({ current: '60', unit_hint: 'Celsius' });
  expect(Object.keys(devices.cuda_mem ?? {})).toEqual(['g0', 'g1']);
  expect(Object.keys(devices.cuda_util ?? {})).toEqual(['g0']);
});

test('a kernel is told its part of the memory, and how busy its devices are', async () => {
  const usages = new Map([
    ['g0', usage(10, 50)],
    ['g1', usage(20, 30)],
  ]);
  const figures = await new AcceleratorMeter([family(async () => usages)], log).look();
  const of = (record: Parameters<typeof figures.of>[0]) =>
    new MetricTracker()
      .takeKernels(new Map([['k', kernel]]), 1, () => figures.of(record), 0)
      .get('k');
  expect(of({ cuda: { 'cuda.shares': { g0: '0.5', g1: '2' } } })).toMatchObject({
    cuda_mem: { current: String(22.5 * GIB), capacity: String(50 * GIB) },
    cuda_util: { current: '80', capacity: '200', pct: '40.00' },
  });
  expect(of({ cpu: { cpu: { '0': '1' } } })).toEqual({});
});

test('devices that stop answering are left out and told of once', async () => {
  let isAway = true;
  const meter = new AcceleratorMeter(
    [
      family(async () => {
        if (isAway) throw new Error('the driver is gone');
        return new Map([['g0', usage(1, 1)]]);
      }),
    ],
    log,
  );
  warnings.length = 0;
  expect((await meter.look()).node).toEqual([]);
  expect((await meter.look()).node).toEqual([]);
  isAway = false;
  expect((await meter.look()).node).not.toEqual([]);
  expect(warnings).toEqual(['Accelerators do not tell what they do', 'Accelerators answer again']);
});
