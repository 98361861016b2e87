/** Fair shares: what must hold whatever was used. */
import { expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { type DayUsage, fairShare, resourceWeight, type ShareRules } from './calculate.ts';

const rules: ShareRules = { halfLifeDays: 7, lookbackDays: 28, weight: 1, resourceWeights: {} };
const capacity = { cpu: 8, mem: 16 };
const day = (ageDays: number, cpu: number): DayUsage => ({ ageDays, usage: { cpu } });

const anyDays = fc.array(
  fc.record({
    ageDays: fc.integer({ min: -2, max: 40 }),
    usage: fc.record({ cpu: fc.nat(1e9), mem: fc.nat(1e9), unknown: fc.nat(1e9) }),
  }),
  { maxLength: 40 },
);
const anyRules = fc.record({
  halfLifeDays: fc.integer({ min: 1, max: 60 }),
  lookbackDays: fc.integer({ min: 1, max: 60 }),
  weight: fc.double({ min: 0, max: 100, noNaN: true }),
  resourceWeights: fc.dictionary(
    fc.constantFrom('cpu', 'mem'),
    fc.double({ min: 0, max: 9, noNaN: true }),
  ),
});

test('nobody who has used nothing is behind anybody', () => {
  expect(fairShare([], capacity, rules)).toEqual({
    decayedUsage: {},
    normalizedUsage: 0,
    factor: 1,
  });
});

test('usage counts half after the half-life, and not at all beyond the days that count', () => {
  expect(
    fairShare([day(0, 800), day(7, 800), day(28, 800), day(-1, 800)], capacity, rules).decayedUsage,
  ).toEqual({ cpu: 1200 });
});

test('the whole group for all the days, weighed once, is one half', () => {
  const everything = Array.from({ length: 28 }, (_, ageDays) => ({
    ageDays,
    usage: { cpu: 8 * 86_400, mem: 16 * 86_400 },
  }));
  const forever = { ...rules, halfLifeDays: 1e9 };
  const share = fairShare(everything, capacity, forever);
  expect(share.normalizedUsage).toBeCloseTo(1, 6);
  expect(share.factor).toBeCloseTo(0.5, 6);
  expect(fairShare(everything, capacity, { ...forever, weight: 2 }).factor).toBeCloseTo(
    2 ** -0.5,
    6,
  );
});

test('a factor lies between 0 and 1, and falls when more is used', () => {
  fc.assert(
    fc.property(
      anyDays,
      anyRules,
      fc.integer({ min: 0, max: 59 }),
      fc.nat(1e9),
      (days, any, age, more) => {
        const before = fairShare(days, capacity, any);
        const after = fairShare([...days, day(age, more)], capacity, any);
        expect(before.factor).toBeGreaterThanOrEqual(0);
        expect(before.factor).toBeLessThanOrEqual(1);
        expect(after.factor).toBeLessThanOrEqual(before.factor + 1e-12);
      },
    ),
  );
});

test('who is due more is not behind who is due less, having used the same', () => {
  fc.assert(
    fc.property(
      anyDays,
      anyRules,
      fc.double({ min: 0, max: 50, noNaN: true }),
      (days, any, more) => {
        const less = fairShare(days, capacity, any).factor;
        const due = fairShare(days, capacity, { ...any, weight: any.weight + more }).factor;
        expect(due).toBeGreaterThanOrEqual(less - 1e-12);
      },
    ),
  );
});

test('the order of days does not matter', () => {
  fc.assert(
    fc.property(anyDays, anyRules, (days, any) => {
      const there = fairShare(days, capacity, any).factor;
      expect(fairShare(days.toReversed(), capacity, any).factor).toBeCloseTo(there, 9);
    }),
  );
});

test("a slot's weight is somebody's choice or the usual one", () => {
  expect(resourceWeight('cpu', { cpu: 3 })).toEqual({ weight: 3, usesDefault: false });
  expect(resourceWeight('mem', {})).toEqual({ weight: 0.001, usesDefault: true });
  expect(resourceWeight('rng', {})).toEqual({ weight: 1, usesDefault: true });
  expect(resourceWeight('constructor', {})).toEqual({ weight: 1, usesDefault: true });
});
