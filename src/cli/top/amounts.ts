/** Amounts of resources as `top` writes them: short, of the same width in a column. */
import type { Amounts } from './snapshot.ts';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;
const CORE_SLOTS = ['cpu', 'mem'];

/** The sum of what is known; null when nothing is. */
export function sumOf(values: readonly (number | null)[]): number | null {
  const found = values.filter((value) => value !== null);
  return found.length === 0 ? null : found.reduce((sum, value) => sum + value, 0);
}

/** A number with at most one decimal: `4`, `1.5`. */
export const short = (value: number): string => String(Math.round(value * 10) / 10);

export const gib = (bytes: number): string => short(bytes / GIB);

/** `1.5G`, and below a gibibyte `192M`. */
export const memory = (bytes: number): string =>
  bytes >= GIB ? `${gib(bytes)}G` : `${Math.round(bytes / MIB)}M`;

/** `42%`; empty when it is not known. */
export const percent = (value: number | null): string =>
  value === null ? '' : `${Math.round(value)}%`;

/** `1 node`, `2 nodes`. */
export const counted = (count: number, noun: string): string =>
  `${count} ${noun}${count === 1 ? '' : 's'}`;

/** Slots other than processors and memory. */
export const acceleratorsOf = (amounts: Amounts): string[] =>
  Object.keys(amounts)
    .filter((slot) => !CORE_SLOTS.includes(slot))
    .toSorted();

/** `cpu 2 mem 4G cuda.device 1`, without what is zero. */
export function inWords(amounts: Amounts): string {
  const { cpu = 0, mem = 0 } = amounts;
  const parts = [
    ...(cpu > 0 ? [`cpu ${short(cpu)}`] : []),
    ...(mem > 0 ? [`mem ${memory(mem)}`] : []),
    ...acceleratorsOf(amounts)
      .filter((slot) => (amounts[slot] ?? 0) > 0)
      .map((slot) => `${slot} ${short(amounts[slot] ?? 0)}`),
  ];
  return parts.join(' ');
}

/** `used/total` of each accelerator that a node has. */
export const acceleratorUse = (used: Amounts, total: Amounts): string =>
  acceleratorsOf(total)
    .filter((slot) => (total[slot] ?? 0) > 0)
    .map((slot) => `${slot} ${short(used[slot] ?? 0)}/${short(total[slot] ?? 0)}`)
    .join(' ');

/** A bar of `width` cells, filled by the share of `used` in `total`. */
export function bar(used: number, total: number, width: number): string {
  const share = total > 0 ? Math.min(1, Math.max(0, used / total)) : 0;
  const filled = Math.round(share * width);
  return '█'.repeat(filled) + '░'.repeat(width - filled);
}

/** `3d 4h`, `5h 12m`, `12m 3s`, `41s`: the two largest units of a time that has passed. */
export function elapsed(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const units: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ];
  const first = units.findIndex(([amount]) => amount > 0);
  if (first === -1) return '0s';
  return units
    .slice(first, first + 2)
    .map(([amount, unit]) => `${amount}${unit}`)
    .join(' ');
}
