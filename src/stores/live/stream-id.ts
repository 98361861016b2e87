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
