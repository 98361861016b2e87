/** Who gets which device, as properties: nothing is sold twice, and what comes back is what was taken. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import {
  type AllocationRule,
  type Device,
  type DeviceFamily,
  noAttachment,
} from '../../accelerator/family.ts';
import { memoryFamily } from '../../accelerator/memory.ts';
import { formatAmount, parseAmount, type SlotType } from '../../common/slots.ts';
import { AllocationError } from './allocation-map.ts';
import { totalSlots } from './allocations.ts';
import { Allocator } from './allocator.ts';

const ONE = 1_000_000n;
const shares = (quantum = '0.01', strategy: 'evenly' | 'fill' = 'evenly'): AllocationRule => ({
  kind: 'fraction',
  strategy,
  quantum: parseAmount(quantum) ?? 0n,
});
const whole = (strategy: 'evenly' | 'fill' = 'evenly', divisible = false): AllocationRule => ({
  kind: 'discrete',
  strategy,
  divisible,
});

interface Given {
  readonly id: string;
  readonly slot?: string;
  readonly amount?: string;
  readonly node?: number | null;
}

function family(
  key: string,
  rule: AllocationRule,
  given: readonly Given[],
  exclusiveSlots: readonly string[] = [],
): DeviceFamily {
  const devices = given.map(
    ({ id, slot = `${key}.device`, amount = '1', node = null }): Device => ({
      deviceId: id,
      hwLocation: '',
      numaNode: node,
      modelName: '',
      memoryBytes: 0,
      processingUnits: null,
      slotName: slot,
      amount: parseAmount(amount) ?? 0n,
    }),
  );
  const typeOf = (slot: string): SlotType => (slot.includes(':') ? 'unique' : 'count');
  return {
    key,
    devices,
    slotTypes: Object.fromEntries(devices.map(({ slotName }) => [slotName, typeOf(slotName)])),
    exclusiveSlots,
    rule,
    formats: {},
    info: {},
    attach: () => noAttachment,
    attachedDevices: () => [],
    health: async () => ({ status: 'healthy', status_info: null, metadata: {} }),
  };
}

const allocatorOf = (
  families: readonly DeviceFamily[],
  affinityPolicy: 'INTERLEAVED' | 'PREFER_SINGLE_NODE' = 'INTERLEAVED',
  allocationOrder: readonly string[] = ['cuda', 'cpu', 'mem'],
) => new Allocator({ families, allocationOrder, affinityPolicy });

let kernels = 0;
/** What a kernel is given of a slot: device → amount. */
function take(
  allocator: Allocator,
  slots: Record<string, string>,
  mayFragment = true,
): Record<string, Record<string, string>> {
  kernels += 1;
  const record = allocator.allocate(`k${kernels}`, slots, { mayFragment });
  return Object.assign({}, ...Object.values(record));
}

const gpus = (count: number, slot?: string, amount?: string): Given[] =>
  Array.from({ length: count }, (_, index) => ({
    id: `g${index}`,
    ...(slot ? { slot } : {}),
    ...(amount ? { amount } : {}),
  }));

/** A family of random devices: whole or shared, any strategy, on up to three nodes. */
const anyFamily = fc
  .record({
    isShared: fc.boolean(),
    strategy: fc.constantFrom('evenly', 'fill'),
    quantum: fc.constantFrom('0.01', '0.1', '0.25', '1'),
    divisible: fc.boolean(),
    devices: fc.array(
      fc.record({ units: fc.integer({ min: 0, max: 12 }), node: fc.option(fc.nat(2)) }),
      { minLength: 1, maxLength: 8 },
    ),
  })
  .map(({ isShared, strategy, quantum, divisible, devices }) => {
    const rule = isShared
      ? shares(quantum, strategy as 'evenly' | 'fill')
      : whole(strategy as 'evenly' | 'fill', divisible);
    return family(
      'cuda',
      rule,
      devices.map(({ units, node }, index) => ({ id: `g${index}`, amount: String(units), node })),
    );
  });
const anyStep = fc.record({
  hundredths: fc.integer({ min: 0, max: 1500 }),
  release: fc.boolean(),
  mayFragment: fc.boolean(),
});

function isWithinDevices(allocator: Allocator): boolean {
  return allocator.families.every(({ key, devices }) =>
    devices.every(
      ({ deviceId, slotName, amount }) =>
        (allocator.used.get(key)?.get(slotName)?.get(deviceId) ?? 0n) <= amount,
    ),
  );
}

test('no device is oversold, the sum is what was asked for, and all of it comes back', () => {
  fc.assert(
    fc.property(
      anyFamily,
      fc.constantFrom('INTERLEAVED' as const, 'PREFER_SINGLE_NODE' as const),
      fc.array(anyStep, { maxLength: 40 }),
      (devices, policy, steps) => {
        const allocator = allocatorOf([devices], policy);
        const held: string[] = [];
        for (const [index, { hundredths, release, mayFragment }] of steps.entries()) {
          const first = held[0];
          if (release && first !== undefined) {
            allocator.release(first);
            held.shift();
          }
          const before = allocator.used;
          const asked = BigInt(hundredths) * 10_000n;
          const id = `k${index}`;
          try {
            const slots = { 'cuda.device': formatAmount(asked) };
            const record = allocator.allocate(id, slots, { mayFragment });
            const { rule } = devices;
            const cut = rule.kind === 'fraction' ? (asked / rule.quantum) * rule.quantum : asked;
            expect(totalSlots(record)).toEqual(
              cut > 0n ? { 'cuda.device': formatAmount(cut) } : {},
            );
            held.push(id);
          } catch (error) {
            expect(error).toBeInstanceOf(AllocationError);
            expect(allocator.used).toEqual(before);
          }
          expect(isWithinDevices(allocator)).toBe(true);
        }
        for (const id of held) allocator.release(id);
        expect(allocator.used.get('cuda')).toEqual(new Map());
      },
    ),
  );
});

test('an allocation is refused only when there is too little, or fragmenting is forbidden', () => {
  fc.assert(
    fc.property(anyFamily, fc.array(fc.integer({ min: 1, max: 800 })), (devices, requests) => {
      const allocator = allocatorOf([devices]);
      const { rule } = devices;
      const unit = rule.kind === 'fraction' ? rule.quantum : rule.divisible ? 10_000n : ONE;
      const capacity = devices.devices.reduce((sum, { amount }) => sum + amount, 0n);
      let given = 0n;
      for (const [index, hundredths] of requests.entries()) {
        const asked = ((BigInt(hundredths) * 10_000n) / unit) * unit;
        if (asked === 0n) continue;
        const allocate = () =>
          allocator.allocate(
            `k${index}`,
            { 'cuda.device': formatAmount(asked) },
            { mayFragment: true },
          );
        if (given + asked > capacity) expect(allocate).toThrow(AllocationError);
        else {
          allocate();
          given += asked;
        }
      }
    }),
  );
});

test('an agent that starts again has the same books', () => {
  fc.assert(
    fc.property(anyFamily, fc.array(anyStep, { maxLength: 20 }), (devices, steps) => {
      const allocator = allocatorOf([devices]);
      const records = new Map<string, ReturnType<Allocator['allocate']>>();
      for (const [index, { hundredths, mayFragment }] of steps.entries()) {
        const slots = { 'cuda.device': formatAmount(BigInt(hundredths) * 10_000n) };
        try {
          records.set(`k${index}`, allocator.allocate(`k${index}`, slots, { mayFragment }));
        } catch (error) {
          expect(error).toBeInstanceOf(AllocationError);
        }
      }
      const again = allocatorOf([devices]);
      for (const [id, record] of records) {
        again.restore(id, JSON.parse(JSON.stringify(record)));
        again.restore(id, record);
      }
      expect(again.used).toEqual(allocator.used);
      for (const id of records.keys()) again.release(id);
      expect(again.used.get('cuda')).toEqual(new Map());
    }),
  );
});

describe('whole devices', () => {
  test('evenly takes one of each before it takes two of one, the first ones first', () => {
    const cpus = family('cpu', whole(), [
      { id: '0', slot: 'cpu', amount: '2' },
      { id: '1', slot: 'cpu', amount: '2' },
      { id: '2', slot: 'cpu', amount: '1' },
    ]);
    expect(take(allocatorOf([cpus]), { cpu: '4' })).toEqual({
      cpu: { '0': '2', '1': '1', '2': '1' },
    });
  });

  test('filling takes the freest device first', () => {
    const devices = family('cuda', whole('fill'), [
      { id: 'a', amount: '2' },
      { id: 'b', amount: '5' },
    ]);
    const allocator = allocatorOf([devices]);
    expect(take(allocator, { 'cuda.device': '4' })).toEqual({ 'cuda.device': { b: '4' } });
    expect(take(allocator, { 'cuda.device': '3' })).toEqual({ 'cuda.device': { a: '2', b: '1' } });
  });

  test('a part of a GPU is refused, a part of a CPU shares one', () => {
    expect(() =>
      take(allocatorOf([family('cuda', whole(), gpus(2))]), { 'cuda.device': '0.5' }),
    ).toThrow('cuda.device is given in whole units only, and 0.5 is asked for.');
    const allocator = allocatorOf([
      family('cpu', whole('evenly', true), [
        { id: '0', slot: 'cpu' },
        { id: '1', slot: 'cpu' },
      ]),
    ]);
    expect(take(allocator, { cpu: '0.5' })).toEqual({ cpu: { '0': '0.5' } });
    expect(take(allocator, { cpu: '1' })).toEqual({ cpu: { '1': '1' } });
    expect(take(allocator, { cpu: '0.5' })).toEqual({ cpu: { '0': '0.5' } });
    expect(() => take(allocator, { cpu: '0.1' })).toThrow(
      'The kernel asks for 0.1 cpu, but only 0 of 2 are free on this agent.',
    );
  });

  test('memory is exact to the byte', () => {
    const memory = memoryFamily({ bytes: 1000n, reservedBytes: 90n, alignBytes: 100n });
    const allocator = allocatorOf([memory]);
    expect(allocator.offered).toEqual({ mem: '900' });
    expect(take(allocator, { mem: '899' })).toEqual({ mem: { root: '899' } });
    expect(() => take(allocator, { mem: '2' })).toThrow('only 1 of 900 are free');
    expect(
      allocatorOf([memoryFamily({ bytes: 5n, reservedBytes: 9n, alignBytes: 0n })]).offered,
    ).toEqual({
      mem: '0',
    });
  });
});

describe('shares', () => {
  const four = () => family('cuda', shares('0.1'), gpus(4, 'cuda.shares', '1'));

  test('what fits one device goes to the one where it is tightest', () => {
    const allocator = allocatorOf([four()]);
    expect(take(allocator, { 'cuda.shares': '0.7' })).toEqual({ 'cuda.shares': { g0: '0.7' } });
    expect(take(allocator, { 'cuda.shares': '0.4' })).toEqual({ 'cuda.shares': { g1: '0.4' } });
    expect(take(allocator, { 'cuda.shares': '0.3' })).toEqual({ 'cuda.shares': { g0: '0.3' } });
  });

  test('what does not fit is spread as evenly as can be over few devices', () => {
    const allocator = allocatorOf([four()]);
    expect(take(allocator, { 'cuda.shares': '1.5' })).toEqual({
      'cuda.shares': { g0: '0.7', g1: '0.8' },
    });
    expect(take(allocator, { 'cuda.shares': '2.3' })).toEqual({
      'cuda.shares': { g0: '0.3', g2: '1', g3: '1' },
    });
  });

  test('are cut to the quantum, and refused below it', () => {
    const allocator = allocatorOf([four()]);
    expect(take(allocator, { 'cuda.shares': '0.59' })).toEqual({ 'cuda.shares': { g0: '0.5' } });
    expect(() => take(allocator, { 'cuda.shares': '0.05' })).toThrow(
      '0.05 cuda.shares is less than the smallest share, 0.1.',
    );
  });

  test('are not put together from parts when that is forbidden', () => {
    const allocator = allocatorOf([four()]);
    for (let index = 0; index < 4; index += 1) take(allocator, { 'cuda.shares': '0.6' });
    expect(() => take(allocator, { 'cuda.shares': '0.8' }, false)).toThrow(
      "0.8 cuda.shares can't be given without splitting them over devices that are partly used: " +
        'free are 0.4 of g0, 0.4 of g1, 0.4 of g2, 0.4 of g3.',
    );
    // More than a device has goes over several, in equal parts.
    expect(take(allocator, { 'cuda.shares': '1.5' }, false)).toEqual({
      'cuda.shares': { g0: '0.4', g1: '0.4', g2: '0.4', g3: '0.3' },
    });
  });

  test('filling empties one device after the other', () => {
    const filled = family('cuda', shares('0.1', 'fill'), gpus(3, 'cuda.shares', '1'));
    expect(take(allocatorOf([filled]), { 'cuda.shares': '1.5' })).toEqual({
      'cuda.shares': { g0: '1', g1: '0.5' },
    });
  });
});

describe('slices of devices', () => {
  const sliced = () =>
    family(
      'cuda',
      whole(),
      [
        { id: 'g0' },
        { id: 'm0', slot: 'cuda.device:10g-mig' },
        { id: 'm1', slot: 'cuda.device:10g-mig' },
        { id: 'm2', slot: 'cuda.device:5g-mig' },
      ],
      ['cuda.device:*-mig', 'cuda.device', 'cuda.shares'],
    );

  test('come one at a time', () => {
    const allocator = allocatorOf([sliced()]);
    expect(() => take(allocator, { 'cuda.device:10g-mig': '2' })).toThrow('just one');
    expect(take(allocator, { 'cuda.device:10g-mig': '1' })).toEqual({
      'cuda.device:10g-mig': { m0: '1' },
    });
    expect(take(allocator, { 'cuda.device:10g-mig': '1' })).toEqual({
      'cuda.device:10g-mig': { m1: '1' },
    });
    expect(() => take(allocator, { 'cuda.device:10g-mig': '1' })).toThrow(
      'All 2 cuda.device:10g-mig of this agent are in use.',
    );
  });

  test('and whole devices are not given together', () => {
    const allocator = allocatorOf([sliced()]);
    expect(() => take(allocator, { 'cuda.device': '1', 'cuda.device:5g-mig': '1' })).toThrow(
      "A kernel can't have cuda.device and cuda.device:5g-mig together; ask for one of them.",
    );
    expect(take(allocator, { 'cuda.device': '1', 'cuda.device:5g-mig': '0' })).toEqual({
      'cuda.device': { g0: '1' },
    });
  });
});

describe('nearness', () => {
  const twoNodes = (key: string, count: number, slot: string): DeviceFamily =>
    family(
      key,
      whole('evenly', key === 'cpu'),
      Array.from({ length: count }, (_, index) => ({ id: `${index}`, slot, node: index % 2 })),
    );
  const machine = () => [twoNodes('cuda', 4, 'cuda.device'), twoNodes('cpu', 8, 'cpu')];

  test('devices come from one node where that is preferred, and the CPUs from the same', () => {
    const allocator = allocatorOf(machine(), 'PREFER_SINGLE_NODE');
    expect(take(allocator, { cpu: '2', 'cuda.device': '2' })).toEqual({
      'cuda.device': { '0': '1', '2': '1' },
      cpu: { '0': '1', '2': '1' },
    });
    // The other node is used less.
    expect(take(allocator, { cpu: '1', 'cuda.device': '1' })).toEqual({
      'cuda.device': { '1': '1' },
      cpu: { '1': '1' },
    });
  });

  test('interleaved, they come from each node in turn', () => {
    expect(take(allocatorOf(machine()), { cpu: '4', 'cuda.device': '2' })).toEqual({
      'cuda.device': { '0': '1', '1': '1' },
      cpu: { '0': '1', '1': '1', '2': '1', '3': '1' },
    });
  });

  test('when a node is full the next one helps out', () => {
    const allocator = allocatorOf(machine(), 'PREFER_SINGLE_NODE');
    expect(take(allocator, { cpu: '6', 'cuda.device': '1' }).cpu).toEqual({
      ...{ '0': '1', '2': '1', '4': '1', '6': '1' },
      ...{ '1': '1', '3': '1' },
    });
  });

  test('families that nobody named are allocated before CPU and memory', () => {
    const families = [
      twoNodes('cpu', 2, 'cpu'),
      family('npu', whole(), gpus(1)),
      ...machine().slice(0, 1),
    ];
    const order = new Allocator({
      families,
      allocationOrder: ['cuda', 'cpu'],
      affinityPolicy: 'INTERLEAVED',
    }).families.map(({ key }) => key);
    expect(order).toEqual(['cuda', 'npu', 'cpu']);
  });
});

test('all or nothing: what was taken first is given back when the next is not there', () => {
  const allocator = allocatorOf([
    family('cuda', whole(), gpus(1)),
    family('cpu', whole('evenly', true), [{ id: '0', slot: 'cpu' }]),
  ]);
  expect(() => take(allocator, { cpu: '2', 'cuda.device': '1' })).toThrow('asks for 2 cpu');
  expect(allocator.used.get('cuda')).toEqual(new Map());
  expect(() => take(allocator, { cpu: '1', 'rocm.device': '1' })).toThrow(
    'This agent has no rocm.device; it offers cuda.device, cpu.',
  );
  expect(take(allocator, { cpu: '1', 'rocm.device': '0' })).toEqual({ cpu: { '0': '1' } });
});

test('restored kernels count, even when they hold too much', () => {
  const allocator = allocatorOf([family('cuda', whole(), gpus(2))]);
  allocator.restore('old', {
    cuda: { 'cuda.device': { g0: '1', gone: '1' } },
    npu: { x: { y: '1' } },
  });
  allocator.restore('older', { cuda: { 'cuda.device': { g0: '1' } } });
  expect(take(allocator, { 'cuda.device': '1' })).toEqual({ 'cuda.device': { g1: '1' } });
  allocator.release('old');
  expect(() => take(allocator, { 'cuda.device': '1' })).toThrow('only 0 of 2');
  allocator.release('older');
  expect(take(allocator, { 'cuda.device': '1' })).toEqual({ 'cuda.device': { g0: '1' } });
});
