/** CPU allocation and offered capacity, as properties. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { BackendError } from '../../common/errors.ts';
import { offeredSlots } from './capacity.ts';
import { allocateCpus, CpuAllocator, parseCpuList } from './cpu.ts';

const ONE = 1_000_000n;

test('CPU lists as Linux prints them', () => {
  expect(parseCpuList('0-3,8,10-11\n')).toEqual([0, 1, 2, 3, 8, 10, 11]);
  expect(parseCpuList('')).toEqual([]);
});

test('whole CPUs are never given twice, and released ones can be given again', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 16 }),
      fc.array(fc.record({ want: fc.integer({ min: 1, max: 4 }), release: fc.boolean() })),
      (count, requests) => {
        const allocator = new CpuAllocator(Array.from({ length: count }, (_, id) => id));
        const held = new Map<string, number[]>();
        requests.forEach(({ want, release }, index) => {
          const [first] = held.keys();
          if (release && first !== undefined) {
            allocator.release(first);
            held.delete(first);
          }
          const taken = [...held.values()].flat();
          const id = `k${index}`;
          if (taken.length + want > count) {
            expect(() => allocator.allocate(id, BigInt(want) * ONE)).toThrow(BackendError);
            return;
          }
          const ids = allocator.allocate(id, BigInt(want) * ONE);
          expect(ids).toHaveLength(want);
          expect(ids.some((cpu) => taken.includes(cpu))).toBe(false);
          held.set(id, ids);
        });
      },
    ),
  );
});

test('an amount is spread over the least loaded CPUs', () => {
  const load = new Map([
    [0, ONE],
    [1, 0n],
    [2, ONE / 2n],
  ]);
  expect(allocateCpus(load, ONE)).toEqual([1]);
  expect(allocateCpus(load, ONE + ONE / 2n)).toEqual([1, 2]);
  expect(allocateCpus(load, 0n)).toEqual([]);
  expect(() => allocateCpus(load, 2n * ONE)).toThrow('only 1.5 of 3');
});

test('restored kernels count, even when they hold too much', () => {
  const allocator = new CpuAllocator([0, 1]);
  allocator.restore('old', [0, 1], 4n * ONE);
  expect(() => allocator.allocate('new', ONE)).toThrow('only 0 of 2');
  allocator.release('old');
  expect(allocator.allocate('new', ONE)).toEqual([0]);
});

test('what is offered is capacity less reservation, aligned, never negative', () => {
  fc.assert(
    fc.property(fc.nat(64), fc.nat(2 ** 40), fc.nat(70), fc.nat(2 ** 40), (cpu, mem, rc, rm) => {
      const align = 16n * 1024n * 1024n;
      const offered = offeredSlots(
        { cpu: String(cpu), mem: String(mem), 'cuda.device': '2' },
        { reservedCpu: rc, reservedMemBytes: BigInt(rm), memoryAlignBytes: align },
      );
      expect(Number(offered.cpu)).toBe(Math.max(0, cpu - rc));
      const bytes = BigInt(offered.mem ?? '-1');
      expect(bytes % align).toBe(0n);
      expect(bytes).toBeGreaterThanOrEqual(0n);
      expect(bytes).toBeLessThanOrEqual(BigInt(Math.max(0, mem - rm)));
      expect(offered['cuda.device']).toBe('2');
    }),
  );
});
