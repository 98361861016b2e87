/** Byte sizes and durations as people write them: `4g`, `256m`, `1h`, `30s`. */

const UNITS: Record<string, number> = { '': 0, k: 1, m: 2, g: 3, t: 4, p: 5, e: 6 };

/**
 * Parses a binary size such as `512`, `1.5g`, `64m` or `64MiB` into bytes.
 * @returns bytes, rounded down, or null when the text is not a size.
 */
export function parseSize(text: string | number): bigint | null {
  if (typeof text === 'number') {
    return Number.isFinite(text) && text >= 0 ? BigInt(Math.floor(text)) : null;
  }
  const match = /^\s*(\d+)(?:\.(\d+))?\s*([kmgtpe]?)(?:i?b)?\s*$/i.exec(text);
  if (!match) return null;
  const [, whole = '0', fraction = '', unit = ''] = match;
  const factor = 1024n ** BigInt(UNITS[unit.toLowerCase()] ?? 0);
  const fractionBytes = fraction
    ? (BigInt(fraction) * factor) / 10n ** BigInt(fraction.length)
    : 0n;
  return BigInt(whole) * factor + fractionBytes;
}

/** Formats bytes with a binary unit and one decimal, as the CLI prints them: `256.0M`. */
export function formatSize(bytes: bigint | number): string {
  const names = ['', 'K', 'M', 'G', 'T', 'P', 'E'];
  let value = Number(bytes);
  let unit = 0;
  while (value >= 1024 && unit < names.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return unit === 0 ? `${value}` : `${value.toFixed(1)}${names[unit]}`;
}

const DURATION_UNITS_MS: Record<string, number> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/**
 * Parses a duration: a number means seconds; text is `30s`, `5m`, `1h`, `2d`, `1w` or a bare number
 * of seconds.
 * @returns milliseconds, or null when the text is not a duration.
 */
export function parseDurationMs(text: string | number): number | null {
  if (typeof text === 'number') return Number.isFinite(text) ? text * 1000 : null;
  const match = /^\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)?\s*$/i.exec(text);
  if (!match) return null;
  return Number(match[1]) * (DURATION_UNITS_MS[(match[2] ?? 's').toLowerCase()] ?? 1000);
}
