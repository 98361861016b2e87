/** Stream entry ids, `<milliseconds>-<sequence>`, ordered numerically by both parts. */

function parse(id: string): [number, number] {
  const [ms = '0', sequence = '0'] = id.split('-');
  return [Number(ms), Number(sequence)];
}

/** Negative, zero or positive as `a` comes before, equals or comes after `b`. A bare `0` is `0-0`. */
export function compareStreamIds(a: string, b: string): number {
  const [aMs, aSequence] = parse(a);
  const [bMs, bSequence] = parse(b);
  return aMs - bMs || aSequence - bSequence;
}

/** The id after `last` for an entry made at `nowMs`; grows even when the clock does not. */
export function nextStreamId(last: string, nowMs: number): string {
  const [lastMs, lastSequence] = parse(last);
  return nowMs > lastMs ? `${nowMs}-0` : `${lastMs}-${lastSequence + 1}`;
}

const STREAM_ID = /^\d{1,15}-\d{1,15}$/;

/** Whether a text from outside can be an entry's id. */
export const isStreamId = (text: string): boolean => STREAM_ID.test(text);

/** An id after which the entry `id` is the first, if it exists. */
export function precedingStreamId(id: string): string {
  const [ms, sequence] = parse(id);
  if (sequence > 0) return `${ms}-${sequence - 1}`;
  return ms > 0 ? `${ms - 1}-${Number.MAX_SAFE_INTEGER}` : '0-0';
}
