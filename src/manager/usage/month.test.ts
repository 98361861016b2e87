/** Bins of a month: whatever kernels there were, each bin sums those alive in it. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { BIN_SEC, BINS, type LivedKernel, MonthBins } from './month.ts';

const NOW = new Date('2026-05-31T12:34:56.789Z');
const startMs = NOW.getTime() - BINS * BIN_SEC * 1000;

const kernel = fc.record({
  fromSec: fc.integer({ min: -90_000, max: BINS * BIN_SEC }),
  lengthSec: fc.option(fc.integer({ min: 0, max: 3 * 86_400 })),
  cpu: fc.integer({ min: 0, max: 64 }),
  shares: fc.integer({ min: 0, max: 1000 }),
  read: fc.integer({ min: 0, max: 2 ** 40 }),
});

test('each bin has the sums of the kernels that were alive in it', () => {
  fc.assert(
    fc.property(
      fc.array(kernel, { maxLength: 8 }),
      fc.integer({ min: 0, max: BINS - 1 }),
      (all, bin) => {
        const bins = new MonthBins(NOW);
        let [sessions, cpu, gpu, read] = [0, 0, 0, 0];
        for (const { fromSec, lengthSec, ...had } of all) {
          const createdMs = startMs + fromSec * 1000;
          const endMs = lengthSec === null ? null : createdMs + lengthSec * 1000;
          const lived: LivedKernel = {
            createdAt: new Date(createdMs),
            terminatedAt: endMs === null ? null : new Date(endMs),
            occupiedSlots: { cpu: String(had.cpu), 'cuda.shares': String(had.shares / 1000) },
            lastStat: { io_read: { current: String(had.read) } },
          };
          bins.add(lived);
          const binStartMs = startMs + bin * BIN_SEC * 1000;
          const isAlive =
            createdMs < binStartMs + BIN_SEC * 1000 && (endMs ?? Infinity) >= binStartMs;
          if (!isAlive) continue;
          sessions += 1;
          cpu += had.cpu;
          gpu += had.shares;
          read += had.read;
        }
        const found = bins.toBins()[bin];
        expect(found?.num_sessions.value).toBe(sessions);
        expect(found?.cpu_allocated.value).toBe(cpu);
        expect(found?.gpu_allocated.value).toBeCloseTo(gpu / 1000, 9);
        expect(found?.io_read_bytes.value).toBe(read);
      },
    ),
    { numRuns: 60 },
  );
});

test('there are always as many bins, 15 minutes apart, and the last one ends now', () => {
  const bins = new MonthBins(NOW).toBins();
  expect(bins).toHaveLength(2880);
  expect(bins[0]).toEqual({
    date: startMs / 1000,
    num_sessions: { value: 0, unit_hint: 'count' },
    cpu_allocated: { value: 0, unit_hint: 'count' },
    mem_allocated: { value: 0, unit_hint: 'bytes' },
    gpu_allocated: { value: 0, unit_hint: 'count' },
    io_read_bytes: { value: 0, unit_hint: 'bytes' },
    io_write_bytes: { value: 0, unit_hint: 'bytes' },
    disk_used: { value: 0, unit_hint: 'bytes' },
  });
  expect(bins.at(-1)?.date).toBe(NOW.getTime() / 1000 - BIN_SEC);
});
