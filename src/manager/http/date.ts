/**
 * Reads the date of a signed request. Clients send whatever their platform prints, so this takes
 * ISO-8601 in its variants, RFC 7231 with its two obsolete forms, and zone names.
 */
import { zoneOffsetMinutes } from './zone-abbreviations.ts';

export interface RequestDate {
  /** Milliseconds since 1970 UTC. */
  readonly epochMs: number;
  /** The calendar day as written, in the zone of the header: YYYYMMDD. It enters the signing key. */
  readonly day: string;
}

interface Fields {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
  ms: number;
  offsetMinutes: number;
}

const TIME = String.raw`(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?`;
const COMPACT_TIME = String.raw`(\d{2})(\d{2})(?:(\d{2})(?:[.,](\d+))?)?`;
const ZONE = String.raw`\s*((?:[A-Za-z]{1,5})?\s*(?:[+-]\d{1,2}(?::?\d{2})?(?::\d{2})?)?)\s*(?:\([^)]*\))?`;
const MONTH = '(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*';
const WEEKDAY = '(?:[A-Za-z]{3,9},?\\s+)?';

const forms = {
  iso: new RegExp(String.raw`^(\d{4})-(\d{2})-(\d{2})(?:[T\s]\s*${TIME}${ZONE})?$`, 'i'),
  compact: new RegExp(String.raw`^(\d{4})(\d{2})(\d{2})(?:T${COMPACT_TIME}${ZONE})?$`, 'i'),
  /** RFC 7231 and RFC 850: `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`. */
  dayFirst: new RegExp(
    String.raw`^${WEEKDAY}(\d{1,2})[\s-]${MONTH}[\s-](\d{4}|\d{2})\s+${TIME}${ZONE}$`,
    'i',
  ),
  /** What JavaScript's Date prints: `Fri Jan 02 2026 03:04:05 GMT+0900 (KST)`. */
  monthFirst: new RegExp(
    String.raw`^${WEEKDAY}${MONTH}\s+(\d{1,2}),?\s+(\d{4})\s+${TIME}${ZONE}$`,
    'i',
  ),
  /** C's asctime: `Sun Nov  6 08:49:37 1994`, with a zone before the year as `date` prints it. */
  asctime: new RegExp(
    String.raw`^${WEEKDAY}${MONTH}\s+(\d{1,2})\s+${TIME}(?:\s+([A-Za-z]{1,5}))?\s+(\d{4})$`,
    'i',
  ),
};

const monthNames = [
  'jan',
  'feb',
  'mar',
  'apr',
  'may',
  'jun',
  'jul',
  'aug',
  'sep',
  'oct',
  'nov',
  'dec',
];
const monthNumber = (name = ''): number => monthNames.indexOf(name.slice(0, 3).toLowerCase()) + 1;

const int = (text: string | undefined): number => (text === undefined ? 0 : Number(text));

/** Two-digit years lie within fifty years of `now`'s century, as RFC 7231 asks. */
function fullYear(text: string, currentYear: number): number {
  const year = Number(text);
  if (text.length > 2) return year;
  const candidate = Math.floor(currentYear / 100) * 100 + year;
  return candidate > currentYear + 50 ? candidate - 100 : candidate;
}

/** Minutes east of UTC of `Z`, `+09:00`, `-0800`, `KST`, `GMT+0900`; no or an unknown zone is UTC. */
function parseOffset(zone = ''): number {
  const [, name = '', sign, hours, minutes] =
    /^([A-Za-z]*)\s*(?:([+-])(\d{1,2}):?(\d{2})?)?/.exec(zone.trim()) ?? [];
  if (sign === undefined) return zoneOffsetMinutes(name) ?? 0;
  return (sign === '-' ? -1 : 1) * (int(hours) * 60 + int(minutes));
}

function readFields(text: string, currentYear: number): Fields | null {
  const time = (parts: (string | undefined)[], zone?: string) => ({
    hour: int(parts[0]),
    minute: int(parts[1]),
    second: int(parts[2]),
    ms: Math.floor(Number(`0.${parts[3] ?? '0'}`) * 1000),
    offsetMinutes: parseOffset(zone),
  });
  let m = forms.iso.exec(text) ?? forms.compact.exec(text);
  if (m) {
    const [, year, month, day] = m;
    return { year: int(year), month: int(month), day: int(day), ...time(m.slice(4, 8), m[8]) };
  }
  m = forms.dayFirst.exec(text);
  if (m) {
    const year = fullYear(m[3] ?? '', currentYear);
    return { year, month: monthNumber(m[2]), day: int(m[1]), ...time(m.slice(4, 8), m[8]) };
  }
  m = forms.monthFirst.exec(text);
  if (m) {
    const [, month, day, year] = m;
    return {
      year: int(year),
      month: monthNumber(month),
      day: int(day),
      ...time(m.slice(4, 8), m[8]),
    };
  }
  m = forms.asctime.exec(text);
  if (m) {
    const [, month, day] = m;
    return {
      year: int(m[8]),
      month: monthNumber(month),
      day: int(day),
      ...time(m.slice(3, 7), m[7]),
    };
  }
  return null;
}

/**
 * @param currentYear decides the century of two-digit years.
 * @returns null when the text is not a date.
 */
export function parseRequestDate(text: string, currentYear: number): RequestDate | null {
  const fields = readFields(text.trim(), currentYear);
  if (!fields) return null;
  const { year, month, day, hour, minute, second, ms, offsetMinutes } = fields;
  if (hour > 23 || minute > 59 || second > 60 || Math.abs(offsetMinutes) >= 24 * 60) return null;
  const midnight = new Date(Date.UTC(year, month - 1, day));
  if (midnight.getUTCMonth() !== month - 1 || midnight.getUTCDate() !== day) return null;
  return {
    epochMs:
      midnight.getTime() + (hour * 60 + minute - offsetMinutes) * 60_000 + second * 1000 + ms,
    day: `${String(year).padStart(4, '0')}${String(month).padStart(2, '0')}${String(day).padStart(2, '0')}`,
  };
}
