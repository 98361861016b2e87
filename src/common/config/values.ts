/** The kinds of values that configuration files hold, as valibot schemas. */
import * as v from 'valibot';
import { parseDurationMs, parseSize } from '../sizes.ts';

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

const port = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65535));

/** Splits `host:port`, `[v6]:port` and `:port`. @returns null when it is none of them. */
export function parseHostPort(text: string): HostPort | null {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]\s]*)):(\d{1,5})$/i.exec(text.trim());
  if (!match) return null;
  const parsed = v.safeParse(port, Number(match[3]));
  return parsed.success ? { host: match[1] ?? match[2] ?? '', port: parsed.output } : null;
}

/** `host:port`, with IPv6 hosts in brackets. */
export const formatHostPort = ({ host, port: number }: HostPort): string =>
  host.includes(':') ? `[${host}]:${number}` : `${host}:${number}`;

/** A schema that reads with `parse`, whose null means "not of this kind". */
export function readBy<T>(kind: string, parse: (value: unknown) => T | null) {
  return v.pipe(
    v.unknown(),
    v.rawTransform<unknown, T>(({ dataset, addIssue, NEVER }) => {
      const value = parse(dataset.value);
      if (value !== null) return value;
      addIssue({ expected: kind, message: `expected ${kind}` });
      return NEVER;
    }),
  );
}

/** A number; text is accepted, since environment variables hold nothing else. */
export const number = readBy<number>('a number', (value) => {
  if (typeof value === 'number') return value;
  if (typeof value !== 'string' || value.trim() === '') return null;
  const parsed = Number(value);
  return Number.isFinite(parsed) ? parsed : null;
});

/** A table with `host` and `port`, either of which may come from `fallback`. */
function hostPortTable(value: unknown, fallback: HostPort | null): HostPort | null {
  const table = v.safeParse(
    v.object({ host: v.optional(v.string()), port: v.optional(number) }),
    value,
  );
  if (!table.success) return null;
  const host = table.output.host ?? fallback?.host;
  const checked = v.safeParse(port, table.output.port ?? fallback?.port);
  return host !== undefined && checked.success ? { host, port: checked.output } : null;
}

/**
 * `"127.0.0.1:5432"` or `{ host = "127.0.0.1", port = 5432 }`.
 * @param fallback gives the host or the port that a table leaves out.
 */
export const hostPort = (fallback: HostPort | null = null) =>
  readBy<HostPort>('an address such as "127.0.0.1:8081"', (value) =>
    typeof value === 'string' ? parseHostPort(value) : hostPortTable(value, fallback),
  );

/** One address or a list of them; always a list when read. Text may hold several, comma-separated. */
export const hostPorts = readBy<HostPort[]>('an address or a list of addresses', (value) => {
  const items =
    typeof value === 'string' ? value.split(',') : Array.isArray(value) ? value : [value];
  const parsed = v.safeParse(v.pipe(v.array(hostPort()), v.minLength(1)), items);
  return parsed.success ? parsed.output : null;
});

/** The first of the addresses that `hostPorts` read, and the others. */
export function firstAndOthers([first, ...others]: readonly HostPort[]) {
  if (!first) throw new RangeError('there is no address in the list');
  return { ...first, others };
}

/** A size such as `"1G"` or a number of bytes; bytes when read. */
export const size = readBy<bigint>('a size such as "1G"', (value) =>
  typeof value === 'string' || typeof value === 'number' ? parseSize(value) : null,
);

/** A duration such as `"30s"` or a number of seconds; milliseconds when read. */
export const durationMs = readBy<number>('a duration such as "30s"', (value) =>
  typeof value === 'string' || typeof value === 'number' ? parseDurationMs(value) : null,
);

export const integer = v.pipe(number, v.integer('expected a whole number'));

/** `true`, `false`, and the same as text. */
export const boolean = readBy<boolean>('true or false', (value) => {
  if (typeof value === 'boolean') return value;
  if (typeof value !== 'string') return null;
  if (/^(true|yes|on|1)$/i.test(value)) return true;
  return /^(false|no|off|0)$/i.test(value) ? false : null;
});

/** Text of which the empty string means "not set". */
export const textOrNothing = v.pipe(
  v.string(),
  v.transform((text) => (text === '' ? undefined : text)),
);

/** Contents that belong to a part which is not read here; any table is accepted. */
export const anyTable = v.record(v.string(), v.unknown());
