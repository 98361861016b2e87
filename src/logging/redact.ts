/** Keeps secrets out of logs: fields whose name says so are replaced, at any depth. */

const SECRET_NAME =
  /passw(or)?d|passphrase|secret|token|authorization|signature|credential|cookie/i;
const PRIVATE_KEY_NAME = /(private|secret|api)[-_]?key$/i;
/** Deeper structures are cut; a log line is no place for them. */
const MAX_DEPTH = 6;
const MAX_ITEMS = 100;

export const REDACTED = '[redacted]';

const isSecretName = (name: string): boolean =>
  SECRET_NAME.test(name) || PRIVATE_KEY_NAME.test(name);

/**
 * A copy of `value` that can be written as JSON: secrets replaced, errors as their message, bigints
 * as text, cycles and depths beyond six cut, long lists shortened to 100 items.
 */
export function redact(value: unknown, depth = 0): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'function' || typeof value === 'symbol') return String(value);
  if (value === null || typeof value !== 'object') return value;
  if (value instanceof Error) return describeError(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (value instanceof Uint8Array) return `<${value.byteLength} bytes>`;
  if (depth >= MAX_DEPTH) return '[…]';
  if (Array.isArray(value) || value instanceof Set) {
    const items = [...value];
    const shown = items.slice(0, MAX_ITEMS).map((item) => redact(item, depth + 1));
    return items.length > MAX_ITEMS ? [...shown, `[${items.length - MAX_ITEMS} more]`] : shown;
  }
  const entries: [unknown, unknown][] = value instanceof Map ? [...value] : Object.entries(value);
  return Object.fromEntries(
    entries
      .slice(0, MAX_ITEMS)
      .map(([name, item]) => [
        String(name),
        isSecretName(String(name)) && item !== null && item !== undefined
          ? REDACTED
          : redact(item, depth + 1),
      ]),
  );
}

function describeError(error: Error): string {
  const cause = error.cause instanceof Error ? ` (cause: ${error.cause.message})` : '';
  return `${error.name}: ${error.message}${cause}`;
}
