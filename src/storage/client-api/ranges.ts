/** Which part of a file a request wants (RFC 9110): pure decisions about its headers. */

/** First and last byte, both included. */
export interface ByteRange {
  readonly first: number;
  readonly last: number;
}

export interface FileVersion {
  readonly sizeBytes: number;
  readonly etag: string;
  /** Milliseconds of the epoch. */
  readonly modifiedMs: number;
}

export type Wanted =
  | { readonly kind: 'all' }
  | { readonly kind: 'part'; readonly range: ByteRange }
  | { readonly kind: 'not-modified' }
  | { readonly kind: 'failed' }
  | { readonly kind: 'unsatisfiable' };

type HeaderReader = Pick<Headers, 'get'>;

const seconds = (ms: number): number => Math.floor(ms / 1000);

/** @returns null when it is no date. */
function dateSeconds(text: string): number | null {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? null : seconds(ms);
}

const tagsOf = (text: string): string[] => text.split(',').map((tag) => tag.trim());

/** A weak tag names a version that is the same for readers; parts of it may differ. */
const withoutWeakness = (tag: string): string => tag.replace(/^W\//, '');

function matchesAny(text: string, etag: string, isWeakFine: boolean): boolean {
  if (text.trim() === '*') return true;
  return tagsOf(text).some((tag) => (isWeakFine ? withoutWeakness(tag) : tag) === etag);
}

function failsCondition(headers: HeaderReader, version: FileVersion): boolean {
  const ifMatch = headers.get('if-match');
  if (ifMatch !== null) return !matchesAny(ifMatch, version.etag, false);
  const since = dateSeconds(headers.get('if-unmodified-since') ?? '');
  return since !== null && seconds(version.modifiedMs) > since;
}

function isUnmodified(headers: HeaderReader, version: FileVersion): boolean {
  const ifNoneMatch = headers.get('if-none-match');
  if (ifNoneMatch !== null) return matchesAny(ifNoneMatch, version.etag, true);
  const since = dateSeconds(headers.get('if-modified-since') ?? '');
  return since !== null && seconds(version.modifiedMs) <= since;
}

/** A part is only of use to whoever has the other part of the same version. */
function isSameVersion(ifRange: string | null, version: FileVersion): boolean {
  if (ifRange === null) return true;
  const text = ifRange.trim();
  if (text.startsWith('"') || text.startsWith('W/')) return text === version.etag;
  return dateSeconds(text) === seconds(version.modifiedMs);
}

/** @returns null for what is no single range of bytes, which is then ignored. */
function parseRange(text: string, sizeBytes: number): ByteRange | 'unsatisfiable' | null {
  const match = /^bytes=(\d*)-(\d*)$/i.exec(text.trim());
  if (!match) return null;
  const [, from = '', to = ''] = match;
  if (from === '' && to === '') return null;
  if (from === '') {
    const length = Math.min(Number(to), sizeBytes);
    return length === 0 ? 'unsatisfiable' : { first: sizeBytes - length, last: sizeBytes - 1 };
  }
  const first = Number(from);
  const last = to === '' ? sizeBytes - 1 : Math.min(Number(to), sizeBytes - 1);
  if (to !== '' && Number(to) < first) return null;
  return first >= sizeBytes ? 'unsatisfiable' : { first, last };
}

/** What to answer to a request for a file with these headers. */
export function wantedPart(headers: HeaderReader, version: FileVersion): Wanted {
  if (failsCondition(headers, version)) return { kind: 'failed' };
  if (isUnmodified(headers, version)) return { kind: 'not-modified' };
  const text = headers.get('range');
  if (text === null || !isSameVersion(headers.get('if-range'), version)) return { kind: 'all' };
  const range = parseRange(text, version.sizeBytes);
  if (range === 'unsatisfiable') return { kind: 'unsatisfiable' };
  return range === null ? { kind: 'all' } : { kind: 'part', range };
}
