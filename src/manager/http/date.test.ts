/** Dates as clients write them in signed requests. */
import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { parseRequestDate } from './date.ts';

const moment = Date.UTC(2026, 0, 2, 3, 4, 5);

describe('request dates', () => {
  test.each([
    ['2026-01-02T03:04:05+00:00', moment, '20260102'],
    ['2026-01-02T03:04:05Z', moment, '20260102'],
    ['2026-01-02T03:04:05.678Z', moment + 678, '20260102'],
    ['2026-01-02T03:04:05.678901+00:00', moment + 678, '20260102'],
    ['2026-01-02T12:04:05.678901+09:00', moment + 678, '20260102'],
    ['2026-01-01T22:04:05-0500', moment, '20260101'],
    ['2026-01-02 03:04:05', moment, '20260102'],
    ['2026-01-02 03:04', moment - 5000, '20260102'],
    ['2026-01-02 12:04:05 KST', moment, '20260102'],
    ['2026-01-01 19:04:05 PST', moment, '20260101'],
    ['20260102T030405Z', moment, '20260102'],
    ['Fri, 02 Jan 2026 03:04:05 GMT', moment, '20260102'],
    ['Fri, 02 Jan 2026 12:04:05 +0900', moment, '20260102'],
    ['02 Jan 2026 03:04:05', moment, '20260102'],
    ['Friday, 02-Jan-26 03:04:05 GMT', moment, '20260102'],
    ['Fri Jan  2 03:04:05 2026', moment, '20260102'],
    ['Fri Jan  2 12:04:05 KST 2026', moment, '20260102'],
    ['Fri Jan 02 2026 12:04:05 GMT+0900 (Korean Standard Time)', moment, '20260102'],
    ['  2026-01-02T03:04:05Z  ', moment, '20260102'],
    ['2026-01-02', Date.UTC(2026, 0, 2), '20260102'],
  ])('%s', (text, epochMs, day) => {
    expect(parseRequestDate(text, 2026)).toEqual({ epochMs, day });
  });

  test.each([
    '',
    'yesterday',
    '2026-13-01T00:00:00Z',
    '2026-02-30T00:00:00Z',
    '2026-01-02T25:00:00Z',
    '12345',
  ])('not a date: %p', (text) => {
    expect(parseRequestDate(text, 2026)).toBeNull();
  });

  test('two-digit years lie near the present', () => {
    const parse = (year: string) =>
      parseRequestDate(`Sunday, 06-Nov-${year} 08:49:37 GMT`, 2026)?.day.slice(0, 4);
    expect(parse('94')).toBe('1994');
    expect(parse('30')).toBe('2030');
  });

  test('every form that platforms print is read back exactly', () => {
    const date = fc.date({
      min: new Date('2000-01-01T00:00:00Z'),
      max: new Date('2099-12-31T23:59:59Z'),
      noInvalidDate: true,
    });
    fc.assert(
      fc.property(date, (value) => {
        expect(parseRequestDate(value.toISOString(), 2026)?.epochMs).toBe(value.getTime());
        const seconds = Math.floor(value.getTime() / 1000) * 1000;
        expect(parseRequestDate(value.toUTCString(), 2026)?.epochMs).toBe(seconds);
        expect(parseRequestDate(value.toString(), 2026)?.epochMs).toBe(seconds);
      }),
    );
  });

  test('any text is answered without throwing', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const parsed = parseRequestDate(text, 2026);
        if (parsed) expect(parsed.day).toMatch(/^\d{8}$/);
      }),
    );
  });
});
