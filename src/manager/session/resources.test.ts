/** What a session asks of the hardware: filling in, checking, explaining. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { BackendError } from '../../common/errors.ts';
import { formatSlots, parseSlots } from '../../common/slots.ts';
import { checkServable, type ImageLimits, resolveResources, showAmount } from './resources.ts';

const definitions = new Map(
  ['cpu', 'mem', 'cuda.device'].map((name) => [
    name,
    { name, type: name === 'mem' ? 'bytes' : 'count', required: name !== 'cuda.device' },
  ]),
);
const plain: ImageLimits = { canonical: 'local/x:1', labels: {}, resources: {} };
const modest: ImageLimits = {
  canonical: 'local/y:1',
  labels: { 'ai.backend.resource.preferred.shmem': '32m' },
  resources: { cpu: { min: '1', max: '4' }, mem: { min: '67108864', max: null } },
};

const resolve = (
  resources: Record<string, string | number | null>,
  image = plain,
  resourceOpts: Record<string, unknown> = {},
) => {
  const { slots, shmemBytes } = resolveResources({ resources, resourceOpts }, image, definitions);
  return { slots: formatSlots(slots), shmemBytes };
};

function refusal(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof BackendError) return `${error.problem}: ${error.message}`;
    throw error;
  }
  return 'accepted';
}

describe('resources', () => {
  test('that are left out come from the image, else from the intrinsic minimum', () => {
    expect(resolve({})).toEqual({
      slots: { cpu: '1', mem: String(2 ** 30 + 64 * 2 ** 20) },
      shmemBytes: 64n * 2n ** 20n,
    });
    expect(resolve({}, modest)).toEqual({
      slots: { cpu: '1', mem: String(96 * 2 ** 20) },
      shmemBytes: 32n * 2n ** 20n,
    });
  });

  test('may be sizes, fractions and null; zeros are dropped', () => {
    const asked = { cpu: '0.5', mem: '2g', 'cuda.device': 0 };
    expect(resolve(asked).slots).toEqual({ cpu: '0.5', mem: String(2 * 2 ** 30) });
    expect(resolve({ ...asked, 'cuda.device': null }).slots['cuda.device']).toBeUndefined();
  });

  test('outside the limits of the image are refused with the numbers', () => {
    expect(refusal(() => resolve({ mem: '32m' }, modest))).toContain(
      'at least mem=64m, asked for 32m',
    );
    expect(refusal(() => resolve({ cpu: 5 }, modest))).toContain('at most cpu=4, asked for 5');
    expect(refusal(() => resolve({ cpu: 0 }))).toContain('cpu must be greater than 0');
    expect(refusal(() => resolve({ mem: '64m' }))).toContain(
      'shmem (64m) must be less than mem (64m)',
    );
    expect(refusal(() => resolve({}, plain, { shmem: 'lots' }))).toContain("'lots' is not a size");
    expect(refusal(() => resolve({ cpu: '9'.repeat(40) }))).toContain('is not an amount');
  });

  test('never end up negative, zero or above what was asked', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 999 }),
        fc.integer({ min: 65, max: 9999 }),
        (cpu, mem) => {
          expect(resolve({ cpu, mem: `${mem}m` }).slots).toEqual({
            ...{ cpu: String(cpu), mem: String(mem * 2 ** 20) },
          });
        },
      ),
    );
  });
});

describe('a group of agents', () => {
  const agents = [
    { id: 'i-a', architecture: 'x86_64', capacity: parseSlots({ cpu: 8, mem: '1g' }) },
    { id: 'i-b', architecture: 'x86_64', capacity: parseSlots({ cpu: 2, mem: '8g' }) },
  ];
  const check = (slots: Record<string, string | number>, architecture = 'x86_64') =>
    refusal(() => checkServable(parseSlots(slots), architecture, 'default', agents));

  test('refuses what none of them could ever run', () => {
    expect(check({ cpu: 2, mem: '8g' })).toBe('accepted');
    expect(check({ cpu: 9 })).toContain('cpu: asked for 9, the largest agent');
    expect(check({ mem: '9g' })).toContain('mem: asked for 9g');
    expect(check({ cpu: 8, mem: '8g' })).toContain('no single agent');
    expect(check({ cpu: 1 }, 'aarch64')).toContain('needs aarch64');
    expect(check({ 'cuda.device': 1 })).toContain('has 0');
  });

  test('without agents judges nothing', () => {
    expect(refusal(() => checkServable(parseSlots({ cpu: 99 }), 'x86_64', 'g', []))).toBe(
      'accepted',
    );
  });
});

test('amounts of memory are shown with a unit where it is exact', () => {
  expect(showAmount('mem', 1_073_741_824_000_000n)).toBe('1g');
  expect(showAmount('mem', 1_000_000_000n)).toBe('1000');
  expect(showAmount('cpu', 1_500_000n)).toBe('1.5');
});
