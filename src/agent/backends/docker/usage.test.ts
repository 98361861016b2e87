/** The daemon's statistics in our terms: as control groups of both versions, Podman and dead ones give them. */
import { expect, test } from 'bun:test';
import { usageFrom } from './usage.ts';

const cpu_stats = { cpu_usage: { total_usage: 2_500_000_000 } };

test('version 1: caches are subtracted, interfaces and disks added up', () => {
  expect(
    usageFrom({
      cpu_stats,
      memory_stats: { usage: 1000, limit: 4096, stats: { total_inactive_file: 300, cache: 9 } },
      blkio_stats: {
        io_service_bytes_recursive: [
          { op: 'Read', value: 10 },
          { op: 'Write', value: 7 },
          { op: 'Read', value: 5 },
          { op: 'Total', value: 22 },
        ],
      },
      networks: { eth0: { rx_bytes: 1, tx_bytes: 2 }, eth1: { rx_bytes: 3, tx_bytes: 4 } },
    }),
  ).toEqual({
    ...{ cpuUsedMs: 2500, memoryBytes: 700, memoryLimitBytes: 4096 },
    ...{ ioReadBytes: 15, ioWriteBytes: 7, netRxBytes: 4, netTxBytes: 6 },
  });
});

test('version 2 without limit, disk activity or a network of its own', () => {
  expect(
    usageFrom({
      cpu_stats,
      memory_stats: { usage: 1000, limit: 2 ** 63, stats: { inactive_file: 100 } },
      blkio_stats: { io_service_bytes_recursive: null },
    }),
  ).toEqual({
    ...{ cpuUsedMs: 2500, memoryBytes: 900, memoryLimitBytes: null },
    ...{ ioReadBytes: null, ioWriteBytes: null, netRxBytes: null, netTxBytes: null },
  });
});

test('a container that does not run has no usage', () => {
  expect(usageFrom({ cpu_stats: { cpu_usage: {} }, memory_stats: {} })).toBeNull();
});
