/** Statistics: arithmetic on made-up measurements, parsing of what Linux prints, and a look at this host. */
import { afterEach, describe, expect, test } from 'bun:test';
import { link, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { systemClock } from '../../common/clock.ts';
import { statisticsReport } from '../../common/protocol/statistics.ts';
import { createRegistry } from '../../metrics/registry.ts';
import { utilizationMetrics } from '../../metrics/utilization.ts';
import { until } from '../../testing/until.ts';
import { RecordingManager, silentLog } from '../testing/fakes.ts';
import { MetricTracker } from './metrics.ts';
import {
  parseCpuTimes,
  parseMemory,
  parseMounts,
  parseNetwork,
  readNodeUsage,
} from './node-usage.ts';
import { StatisticsReporter } from './reporter.ts';
import { folderBytes, ScratchSizes } from './scratch-size.ts';
import type { KernelUsage, NodeUsage } from './usage.ts';

const GIB = 1024 ** 3;
const idle: KernelUsage = {
  cpuUsedMs: 0,
  memoryBytes: 0,
  memoryLimitBytes: GIB,
  ioReadBytes: 0,
  ioWriteBytes: 0,
  netRxBytes: 0,
  netTxBytes: 0,
  scratchBytes: 0,
};

describe('figures of a kernel', () => {
  const after = (...looks: [Partial<KernelUsage>, number][]) => {
    const tracker = new MetricTracker();
    let last = new Map();
    for (const [usage, atMs] of looks) {
      last = tracker.takeKernels(new Map([['k', { ...idle, ...usage }]]), 8 * GIB, () => [], atMs);
    }
    return last.get('k');
  };

  test('the first look has amounts and no rates', () => {
    const first = after([{ cpuUsedMs: 500.1234, memoryBytes: GIB / 4, netRxBytes: 77 }, 1000]);
    expect(first.cpu_used).toMatchObject({ current: '500.123', capacity: '9223372036854775807' });
    expect(first.cpu_util).toMatchObject({ current: '0', capacity: '1000', pct: '0.00' });
    expect(first.mem).toEqual({
      current: '268435456',
      capacity: '1073741824',
      pct: '25.00',
      unit_hint: 'bytes',
      'stats.min': '268435456',
      'stats.max': '268435456',
      'stats.sum': '268435456',
      'stats.avg': '268435456',
      'stats.diff': '0',
      'stats.rate': '0',
      'stats.version': null,
    });
    expect(first.net_rx).toMatchObject({ current: '0', unit_hint: 'bps', 'stats.rate': '0' });
  });

  test('rates are per second, extremes and averages over all looks', () => {
    const last = after(
      [{ cpuUsedMs: 0, netRxBytes: 0, ioReadBytes: 10, memoryBytes: 300 }, 0],
      [{ cpuUsedMs: 1500, netRxBytes: 4096, ioReadBytes: 10, memoryBytes: 100 }, 2000],
      [{ cpuUsedMs: 1750, netRxBytes: 4096, ioReadBytes: 30, memoryBytes: 200 }, 2500],
    );
    expect(last.cpu_util).toMatchObject({
      ...{ current: '500', pct: '50.00', unit_hint: 'percent' },
      ...{ 'stats.max': '750', 'stats.min': '0', 'stats.diff': '500' },
      ...{ 'stats.sum': '1250', 'stats.avg': '416.667' },
    });
    expect(last.net_rx).toMatchObject({ current: '0', 'stats.max': '2048' });
    expect(last.io_read).toMatchObject({ current: '30', 'stats.rate': '40', pct: '0.00' });
    expect(last.mem).toMatchObject({ current: '200', 'stats.min': '100', 'stats.avg': '200' });
  });

  test('a counter that went back counts as nothing, not as less', () => {
    const last = after([{ cpuUsedMs: 900 }, 0], [{ cpuUsedMs: 100 }, 1000]);
    expect(last.cpu_util.current).toBe('0');
    expect(last.cpu_used.current).toBe('100');
  });

  test('what the host can not tell is left out; without a limit the memory is the node’s', () => {
    const only = after([{ netRxBytes: null, netTxBytes: null, memoryLimitBytes: null }, 0]);
    expect(Object.keys(only).sort()).toEqual(
      ['cpu_used', 'cpu_util', 'io_read', 'io_scratch_size', 'io_write', 'mem'].sort(),
    );
    expect(only.mem.capacity).toBe(String(8 * GIB));
  });

  test('a kernel that was away begins anew', () => {
    const tracker = new MetricTracker();
    const look = (ids: string[], cpuUsedMs: number, atMs: number) =>
      tracker.takeKernels(
        new Map(ids.map((id) => [id, { ...idle, cpuUsedMs }])),
        GIB,
        () => [],
        atMs,
      );
    look(['k'], 0, 0);
    look([], 0, 1000);
    expect(look(['k'], 900, 2000).get('k')?.cpu_util?.current).toBe('0');
  });
});

test('figures of a node: CPU time of the interval, memory, disks, network, and each device', () => {
  const tracker = new MetricTracker();
  const node: NodeUsage = {
    cpuUsedMs: [1000, 2000],
    memoryUsedBytes: GIB,
    memoryTotalBytes: 4 * GIB,
    disks: [
      { mountPoint: '/', usedBytes: 10, totalBytes: 100 },
      { mountPoint: '/data', usedBytes: 30, totalBytes: 100 },
    ],
    netRxBytes: 0,
    netTxBytes: 0,
  };
  tracker.takeNode(node, [], 0);
  const later = { ...node, cpuUsedMs: [3000, 2500], netTxBytes: 8000 };
  const { node: whole, devices } = tracker.takeNode(later, [], 4000);
  expect(whole.cpu_util).toMatchObject({ current: '2500', capacity: '4000', pct: '62.50' });
  expect(devices.cpu_util?.['0']).toMatchObject({
    current: '2000',
    capacity: '4000',
    pct: '50.00',
  });
  expect(devices.cpu_util?.['1']).toMatchObject({ current: '500', pct: '12.50' });
  expect(whole.mem).toMatchObject({ current: String(GIB), pct: '25.00' });
  expect(devices.mem).toHaveProperty('root');
  expect(whole.disk).toMatchObject({ current: '40', capacity: '200', pct: '20.00' });
  expect(devices.disk?.['/data']?.pct).toBe('30.00');
  expect(whole.net_tx).toMatchObject({ current: '2000', unit_hint: 'bps' });
});

test('what Linux prints is understood', () => {
  expect(parseCpuTimes('cpu  9 9 9 9\ncpu0 100 10 5 900 0\ncpu1 7 0 1 3 0\nintr 1\n')).toEqual([
    1150, 80,
  ]);
  expect(parseMemory('MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:  400 kB\n')).toEqual({
    usedBytes: 600 * 1024,
    totalBytes: 1000 * 1024,
  });
  const header = 'Inter-|   Receive   |  Transmit\n face |bytes packets\n';
  const lines =
    '    lo: 5 1 0 0 0 0 0 0 5 1\n  eth0:100 1 0 0 0 0 0 0 200 1 0\n eth1: 1 0 0 0 0 0 0 0 2 0\n';
  expect(parseNetwork(header + lines)).toEqual({ rxBytes: 101, txBytes: 202 });
  expect(
    parseMounts(
      '/dev/sda1 / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/sda1 /again ext4 rw 0 0\n' +
        '/dev/sdb /my\\040data xfs rw 0 0\n/dev/loop0 /snap squashfs ro 0 0\n',
    ),
  ).toEqual(['/', '/my data']);
});

test('this host can be looked at', async () => {
  const usage = await readNodeUsage();
  expect(usage.cpuUsedMs.length).toBeGreaterThan(0);
  expect(usage.memoryUsedBytes).toBeGreaterThan(0);
  expect(usage.memoryTotalBytes).toBeGreaterThan(usage.memoryUsedBytes);
  for (const disk of usage.disks) expect(disk.totalBytes).toBeGreaterThan(0);
});

describe('sizes of folders', () => {
  const folders: string[] = [];
  afterEach(async () => {
    for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
  });
  const newFolder = async () => {
    const folder = await mkdtemp(join(tmpdir(), 'scratch-'));
    folders.push(folder);
    return folder;
  };

  test('files at any depth count, links to one file once, and too many are not counted', async () => {
    const folder = await newFolder();
    const empty = (await folderBytes(folder)) ?? 0;
    await mkdir(join(folder, 'a/b'), { recursive: true });
    await writeFile(join(folder, 'a/b/file'), 'x'.repeat(1_000_000));
    const once = (await folderBytes(folder)) ?? 0;
    expect(once - empty).toBeGreaterThanOrEqual(1_000_000);
    await link(join(folder, 'a/b/file'), join(folder, 'a/again'));
    expect(await folderBytes(folder)).toBe(once);
    expect(await folderBytes(folder, 3)).toBeNull();
    expect(await folderBytes(join(folder, 'gone'))).toBe(0);
  });

  test('are known after the first look, and forgotten with the kernel', async () => {
    const folder = await newFolder();
    await writeFile(join(folder, 'file'), 'x'.repeat(100_000));
    const sizes = new ScratchSizes(systemClock);
    const wanted = new Map([['k', folder]]);
    expect(sizes.sizes(wanted).get('k')).toBeNull();
    await sizes.settled();
    expect(sizes.sizes(wanted).get('k')).toBeGreaterThanOrEqual(100_000);
    await sizes.settled();
    expect(sizes.sizes(new Map()).size).toBe(0);
    await sizes.settled();
    expect(sizes.sizes(wanted).get('k')).toBeNull();
    await sizes.settled();
  });
});

describe('reports', () => {
  const start = (manager: RecordingManager, kernelIds: string[]) => {
    const reporter = new StatisticsReporter({
      agentId: 'i-test',
      intervalMs: 10,
      running: () => kernelIds,
      measure: async (ids) => new Map(ids.map((id) => [id, idle])),
      accelerators: async () => ({ node: [], of: () => [] }),
      heldBy: () => ({}),
      metrics: utilizationMetrics(createRegistry(), 'i-test'),
      labelsOf: (id) => ({ kernel_id: id, session_id: '', user_id: '', project_id: '' }),
      send: (report) => manager.reportStatistics(report),
      clock: systemClock,
      log: silentLog,
    });
    reporter.start();
    return reporter;
  };
  const ids = (count: number) => Array.from({ length: count }, () => crypto.randomUUID());

  test('are well-formed, hold every kernel, and go on after the manager was away', async () => {
    const manager = new RecordingManager();
    manager.isAway = true;
    const kernelIds = ids(450);
    const reporter = start(manager, kernelIds);
    manager.isAway = false;
    await until(() => manager.statistics.length >= 3, 'three reports came');
    await reporter.stop();
    const [first, second, third] = manager.statistics.map((r) => v.parse(statisticsReport, r));
    expect(first?.node?.node.mem?.current).toMatch(/^\d+$/);
    expect(second?.node).toBeNull();
    const sizes = [first, second, third].map((report) => Object.keys(report?.kernels ?? {}).length);
    expect(sizes).toEqual([200, 200, 50]);
  });

  test('of an agent without kernels tell the node', async () => {
    const manager = new RecordingManager();
    const reporter = start(manager, []);
    await until(() => manager.statistics.length > 0, 'a report came');
    await reporter.stop();
    expect(manager.statistics[0]).toMatchObject({ agentId: 'i-test', intervalMs: 10, kernels: {} });
  });
});
