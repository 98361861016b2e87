/** Which part of a file is sent, for every kind of request header. */
import { expect, test } from 'bun:test';
import fc from 'fast-check';
import { wantedPart } from './ranges.ts';

const modified = 'Thu, 26 Nov 2026 10:00:00 GMT';
const version = { sizeBytes: 100, etag: '"v1"', modifiedMs: Date.parse(modified) + 500 };
const wanted = (headers: Record<string, string>, sizeBytes = 100) =>
  wantedPart(new Headers(headers), { ...version, sizeBytes });
const part = (first: number, last: number) => ({ kind: 'part', range: { first, last } }) as const;

test('single ranges', () => {
  const cases: [string, ReturnType<typeof wantedPart>][] = [
    ['bytes=0-9', part(0, 9)],
    ['bytes=90-', part(90, 99)],
    ['bytes=90-500', part(90, 99)],
    ['bytes=-10', part(90, 99)],
    ['bytes=-500', part(0, 99)],
    ['BYTES=5-5', part(5, 5)],
    ['bytes=100-', { kind: 'unsatisfiable' }],
    ['bytes=-0', { kind: 'unsatisfiable' }],
    // What is no single range of bytes is as good as absent.
    ['bytes=9-5', { kind: 'all' }],
    ['bytes=0-1,5-6', { kind: 'all' }],
    ['bytes=-', { kind: 'all' }],
    ['lines=0-9', { kind: 'all' }],
  ];
  for (const [range, expected] of cases)
    expect([range, wanted({ range })]).toEqual([range, expected]);
  expect(wanted({ range: 'bytes=0-' }, 0)).toEqual({ kind: 'unsatisfiable' });
  expect(wanted({}, 0)).toEqual({ kind: 'all' });
});

test('a part of another version is not sent', () => {
  const range = 'bytes=10-';
  expect(wanted({ range, 'if-range': '"v1"' })).toEqual(part(10, 99));
  expect(wanted({ range, 'if-range': '"v2"' })).toEqual({ kind: 'all' });
  expect(wanted({ range, 'if-range': 'W/"v1"' })).toEqual({ kind: 'all' });
  expect(wanted({ range, 'if-range': modified })).toEqual(part(10, 99));
  expect(wanted({ range, 'if-range': 'Thu, 26 Nov 2026 10:00:01 GMT' })).toEqual({ kind: 'all' });
  expect(wanted({ range, 'if-range': 'rubbish' })).toEqual({ kind: 'all' });
});

test('what has not changed is not sent again', () => {
  const same = { kind: 'not-modified' } as const;
  expect(wanted({ 'if-none-match': '"v0", W/"v1"' })).toEqual(same);
  expect(wanted({ 'if-none-match': '*' })).toEqual(same);
  expect(wanted({ 'if-none-match': '"v0"', 'if-modified-since': modified })).toEqual({
    kind: 'all',
  });
  expect(wanted({ 'if-modified-since': modified })).toEqual(same);
  expect(wanted({ 'if-modified-since': 'Thu, 26 Nov 2026 09:59:59 GMT' })).toEqual({ kind: 'all' });
});

test('preconditions', () => {
  expect(wanted({ 'if-match': '"v2"' })).toEqual({ kind: 'failed' });
  expect(wanted({ 'if-match': '"v2", "v1"' })).toEqual({ kind: 'all' });
  const earlier = 'Thu, 26 Nov 2026 09:00:00 GMT';
  expect(wanted({ 'if-unmodified-since': earlier })).toEqual({ kind: 'failed' });
  expect(wanted({ 'if-unmodified-since': modified })).toEqual({ kind: 'all' });
});

test('a part lies inside the file, whatever the header says', () => {
  fc.assert(
    fc.property(fc.string(), fc.nat(1000), fc.nat(1000), fc.nat(1000), (text, a, b, size) => {
      for (const range of [
        text,
        `bytes=${text}`,
        `bytes=${a}-${b}`,
        `bytes=-${a}`,
        `bytes=${a}-`,
      ]) {
        const found = wantedPart(
          { get: (name: string) => (name === 'range' ? range : null) },
          { ...version, sizeBytes: size },
        );
        if (found.kind !== 'part') continue;
        const { first, last } = found.range;
        expect(first).toBeGreaterThanOrEqual(0);
        expect(last).toBeGreaterThanOrEqual(first);
        expect(last).toBeLessThan(size);
      }
    }),
  );
});
